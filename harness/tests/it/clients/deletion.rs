//! The real kube-controller-manager, which finds by discovery what there is to delete, talks to
//! Peerway: namespaces and what is owned go completely, and nothing goes whose owner is there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peerway_harness::client::{Client, Protocol};
use peerway_harness::pod_certificate::pod_certificate_request;
use peerway_harness::process::wait_until;
use peerway_harness::workload::direct;
use serde_json::{Value, json};

use super::Mixed;

/// Its controllers start one after the other, and what is owned is looked at again with pauses.
const LIMIT: Duration = Duration::from_secs(120);
/// Only the newest server has it.
const REQUESTS: &str = "certificates.k8s.io/v1/podcertificaterequests";
const WIDGETS: &str = "example.com/v1/widgets";
const FLUNDERS: &str = "wardle.example.com/v1alpha1/flunders";
const MAPS: &str = "v1/configmaps";
const KINDS: [&str; 4] = [REQUESTS, WIDGETS, FLUNDERS, MAPS];

/// An error unless what is to go goes, and what is to stay stays. `newest` is the server that has all
/// of [`KINDS`].
pub(super) async fn is_complete(mixed: &Mixed, newest: &str) -> Result<()> {
    let client = direct(&mixed.plane, newest, Protocol::Http1)?;
    for namespace in ["kept", "deleted"] {
        let object = json!({"metadata": {"name": namespace}});
        create(&client, "/api/v1/namespaces", &object).await?;
        for kind in KINDS {
            object_of(&client, namespace, kind, "alone", None).await?;
        }
    }
    // Of each kind one that a ConfigMap owns, and a ConfigMap that one of each kind owns.
    let map = object_of(&client, "kept", MAPS, "owner", None).await?;
    for kind in KINDS {
        object_of(&client, "kept", kind, "owned", Some(&map)).await?;
        let owner = object_of(&client, "kept", kind, "owning", None).await?;
        object_of(&client, "kept", MAPS, &owned_by(kind), Some(&owner)).await?;
    }
    let nobody = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "none"});
    object_of(&client, "kept", MAPS, "orphan", Some(&nobody)).await?;

    let _controllers = mixed.plane.controller_manager(&mixed.kubeconfig).await?;
    is_gone(&client, &path("kept", MAPS, "orphan")).await?;
    // The collector has been through.
    for kind in KINDS {
        is_there(&client, &path("kept", kind, "owned")).await?;
        is_there(&client, &path("kept", MAPS, &owned_by(kind))).await?;
    }
    delete(&client, &path("kept", MAPS, "owner")).await?;
    for kind in KINDS {
        delete(&client, &path("kept", kind, "owning")).await?;
    }
    delete(&client, "/api/v1/namespaces/deleted").await?;
    for kind in KINDS {
        is_gone(&client, &path("kept", kind, "owned")).await?;
        is_gone(&client, &path("kept", MAPS, &owned_by(kind))).await?;
    }
    is_gone(&client, "/api/v1/namespaces/deleted").await?;
    for kind in KINDS {
        let left = client.get(&path("deleted", kind, "alone")).await?;
        ensure!(left.status == 404, "{kind}: {} {}", left.status, left.text());
        is_there(&client, &path("kept", kind, "alone")).await?;
    }
    Ok(())
}

/// Makes an object, and returns how another one refers to it as its owner.
async fn object_of(
    client: &Client,
    namespace: &str,
    kind: &str,
    name: &str,
    owner: Option<&Value>,
) -> Result<Value> {
    let (api_version, _) = kind.rsplit_once('/').context("no resource")?;
    let mut object = match kind {
        REQUESTS => pod_certificate_request(namespace, name)?,
        WIDGETS => json!({"kind": "Widget"}),
        FLUNDERS => json!({"kind": "Flunder"}),
        _ => json!({"kind": "ConfigMap"}),
    };
    object["apiVersion"] = json!(api_version);
    object["metadata"] = json!({"name": name, "namespace": namespace});
    if let Some(owner) = owner {
        object["metadata"]["ownerReferences"] = json!([owner]);
    }
    let made = create(client, path(namespace, kind, "").trim_end_matches('/'), &object).await?;
    let uid = &made["metadata"]["uid"];
    Ok(json!({"apiVersion": api_version, "kind": object["kind"], "name": name, "uid": uid}))
}

async fn create(client: &Client, path: &str, object: &Value) -> Result<Value> {
    let answer = client.post(path, object).await?;
    ensure!(answer.status == 201, "{path}: {} {}", answer.status, answer.text());
    answer.json()
}

async fn delete(client: &Client, path: &str) -> Result<()> {
    let answer = client.delete(path).await?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
    Ok(())
}

async fn is_there(client: &Client, path: &str) -> Result<()> {
    let answer = client.get(path).await?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
    Ok(())
}

async fn is_gone(client: &Client, path: &str) -> Result<()> {
    let is_gone = async || client.get(path).await.is_ok_and(|answer| answer.status == 404);
    wait_until("gone", LIMIT, is_gone).await.with_context(|| path.to_owned())
}

/// The name of the ConfigMap that an object of this kind owns.
fn owned_by(kind: &str) -> String {
    format!("owned-by-{}", kind.rsplit('/').next().unwrap_or_default())
}

fn path(namespace: &str, kind: &str, name: &str) -> String {
    let root = if kind.starts_with("v1/") { "/api" } else { "/apis" };
    let (group_version, resource) = kind.rsplit_once('/').unwrap_or_default();
    format!("{root}/{group_version}/namespaces/{namespace}/{resource}/{name}")
}
