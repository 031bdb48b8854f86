//! Peerway beside the servers' own Mixed Version Proxy: where both merge, they merge alike.
//!
//! The servers' own proxy knows each server by its host name, so each runs under one of its own. That
//! takes `unshare` (util-linux) and root, or a kernel that lets users have namespaces.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Answer, Client, Protocol};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::process::wait_until;
use peerway_harness::workload::direct;

use crate::merged::aggregated;
use crate::rig::no_vm_died;

const LOOKS: usize = 20;
/// A server learns of another by its lease, and then asks it.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_document_is_the_one_of_the_servers_own_proxy_byte_for_byte() {
    let all = ["--runtime-config=api/all=true"];
    let plane = ControlPlane::builder().peered();
    let plane = plane.server_with("old", "1.36.3", &all).server("new", "1.37.2");
    let plane = plane.start().await.unwrap();
    let own = answer_of_both(&plane).await.unwrap();

    let by_id = servers_by_id(&plane).await.unwrap();
    let mut balancer = Builder::of(by_id, plane.pki()).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    for _ in 0..LOOKS {
        // A connection each: both workers answer.
        is_the_same(&balancer, &own).await.unwrap();
    }
    no_vm_died(&mut balancer).await.unwrap();
}

/// What the servers answer by their own proxy: the same, once each has read the other, since neither
/// has everything.
async fn answer_of_both(plane: &ControlPlane) -> Result<Answer> {
    let [old, new] = ["old", "new"].map(|name| direct(plane, name, Protocol::Http1));
    let (old, new) = (old?, new?);
    let both = async || anyhow::Ok([discovery(&old).await?, discovery(&new).await?]);
    let is_merged = async || both().await.is_ok_and(|[old, new]| old.body == new.body);
    wait_until("answering alike, by their own proxy", SOON, is_merged).await?;
    discovery(&new).await
}

async fn is_the_same(balancer: &Balancer, own: &Answer) -> Result<()> {
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http1)?;
    let merged = discovery(&client).await?;
    ensure!(merged.header("x-peerway-reason") == Some("merged"), "{:?}", merged.headers);
    ensure!(merged.body == own.body, "{}\nis not\n{}", merged.text(), own.text());
    for header in ["etag", "content-type", "vary", "cache-control"] {
        ensure!(own.header(header).is_some(), "{header}: {:?}", own.headers);
        ensure!(merged.header(header) == own.header(header), "{header}: {:?}", merged.headers);
    }
    let etag = own.header("etag").unwrap_or_default();
    let again = client.send(aggregated("/apis").header("if-none-match", etag)).await?;
    ensure!(again.status == 304, "{} {}", again.status, again.text());
    Ok(())
}

async fn discovery(client: &Client) -> Result<Answer> {
    let answer = client.send(aggregated("/apis")).await?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    Ok(answer)
}

/// Name and address of each server, named so that lists are merged in the order in which the servers
/// themselves do it: that of their ids, which are the names of their leases.
async fn servers_by_id(plane: &ControlPlane) -> Result<Vec<(String, String)>> {
    let (first, _) = *plane.servers().first().context("no server")?;
    let answer = plane.ask(first, LEASES).await?;
    let leases: serde_json::Value = serde_json::from_str(&answer.body)?;
    let mut by_id = BTreeMap::new();
    for lease in leases["items"].as_array().context("no list of leases")? {
        let id = lease["metadata"]["name"].as_str().context("a lease without a name")?;
        let name = lease["metadata"]["labels"]["kubernetes.io/hostname"].as_str();
        let name = name.context("a lease without a host name")?;
        by_id.insert(id.to_owned(), plane.address(name)?.to_owned());
    }
    ensure!(by_id.len() == plane.servers().len(), "{by_id:?}");
    Ok(by_id.into_iter().collect())
}

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases\
                      ?labelSelector=apiserver.kubernetes.io/identity=kube-apiserver";
