//! What false 404s do: namespaces are deleted by the real kube-controller-manager, which talks to
//! one of the balancers, and what then still lies in etcd is asked of the server that can tell.
//!
//! Each namespace holds an object that only the new server knows. Who does not find it, or gets 404
//! for it, takes the namespace for empty; the object stays in a namespace that no longer exists.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::kubeconfig::{kubectl, kubectl_with_input};
use peerway_harness::pod_certificate::pod_certificate_request;
use peerway_harness::process::wait_until;
use serde_json::{Value, json};

use crate::screen::Screen;
use crate::stage::{NEW_SERVER, Stage, Way};

/// How many namespaces are deleted through each balancer.
pub(crate) const NAMESPACES: usize = 4;

/// Deletes namespaces through a balancer, and returns which objects outlived their namespace, each
/// as `namespace/name`.
pub(crate) async fn through(stage: &Stage, screen: &Screen, way: Way) -> Result<Vec<String>> {
    let names: Vec<String> =
        (1..=NAMESPACES).map(|number| format!("{}-{number}", way.slug())).collect();
    let what = format!("kube-controller-manager deletes namespaces through {way}");
    screen.alive(&what, delete(stage, screen, way, &names)).await?;
    let left = items(stage, LEFT_IN).await?;
    let left = left.iter().filter_map(|object| {
        let namespace = text(object, "/metadata/namespace")?;
        let name = text(object, "/metadata/name")?;
        names.iter().any(|one| one == namespace).then(|| format!("{namespace}/{name}"))
    });
    Ok(left.collect())
}

async fn delete(stage: &Stage, screen: &Screen, way: Way, names: &[String]) -> Result<()> {
    screen.note("making them");
    fill(stage, names).await?;
    screen.note("starting it");
    let kubeconfig = &stage.entrance(way).kubeconfig;
    let mut controllers = stage.plane.controller_manager(kubeconfig).await?;
    // One of its controllers puts this into each namespace: they are at work.
    let at_work = async || {
        let roots = items(stage, "/api/v1/configmaps").await.unwrap_or_default();
        let has_one = |name: &String| {
            roots.iter().any(|root| text(root, "/metadata/namespace") == Some(name))
        };
        names.iter().all(has_one)
    };
    controllers.wait_until("at work", LIMIT, at_work).await?;

    let arguments = ["delete", "namespace", "--wait=false"].into_iter();
    let arguments: Vec<&str> = arguments.chain(names.iter().map(String::as_str)).collect();
    let deleted = kubectl(kubeconfig, &arguments).await?;
    ensure!(deleted.succeeded(), "kubectl {} through {way}: {deleted}", arguments.join(" "));
    let all_gone = async || {
        let Ok(there) = items(stage, "/api/v1/namespaces").await else { return false };
        let is_there = |name: &&String| {
            there.iter().any(|namespace| text(namespace, "/metadata/name") == Some(name))
        };
        let left = names.iter().filter(is_there).count();
        screen.note(&format!("{} of {} gone", names.len() - left, names.len()));
        left == 0
    };
    wait_until("rid of the namespaces", LIMIT, all_gone).await?;
    controllers.terminate(GRACE).await
}

/// Makes the namespaces, and in each an object that only the new server knows.
async fn fill(stage: &Stage, names: &[String]) -> Result<()> {
    let mut objects = Vec::new();
    for name in names {
        let metadata = json!({"name": name});
        objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
        objects.push(pod_certificate_request(name, "request")?);
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let directly = stage.plane.kubeconfig(NEW_SERVER, ADMIN_TOKEN)?;
    let created = kubectl_with_input(&directly, &["create", "-f", "-"], &list).await?;
    ensure!(created.succeeded(), "kubectl create of namespaces and what they hold: {created}");
    Ok(())
}

/// The items of a list, asked of the new server itself.
async fn items(stage: &Stage, path: &str) -> Result<Vec<Value>> {
    let answer = stage.plane.ask(NEW_SERVER, path).await?;
    ensure!(answer.status == 200, "{NEW_SERVER}: {path}: {} {}", answer.status, answer.body);
    let mut list: Value = serde_json::from_str(&answer.body)?;
    let items = list.get_mut("items").map(Value::take);
    Ok(serde_json::from_value(items.context("a list without items")?)?)
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

const LEFT_IN: &str = "/apis/certificates.k8s.io/v1/podcertificaterequests";
/// Its controllers start one after the other, and a namespace's deletion is tried again with pauses.
const LIMIT: Duration = Duration::from_secs(120);
const GRACE: Duration = Duration::from_secs(20);
