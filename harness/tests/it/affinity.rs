//! Which server a connection is given, for as long as that server is there.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use peerway_harness::balancer::Balancer;
use peerway_harness::client::{Client, Protocol};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::process::wait_until;
use peerway_harness::simulated::Discovery;
use serde_json::json;

use crate::rig::{SOON, SimulatedPlane, no_vm_died};

const EVERYBODYS: &str = "/api/v1/things";
/// Known to two of the three servers.
const SOMES: &str = "/apis/example.com/v1/things";
/// So many that one of three servers is left out once in some million runs.
const CONNECTIONS: usize = 40;
const READS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_keeps_its_server_and_loses_it_only_with_the_server() {
    let all = || Discovery::of(&[EVERYBODYS, SOMES]).unwrap();
    let fewer = Discovery::of(&[EVERYBODYS, "/apis/apps/v1/deployments"]).unwrap();
    let servers = vec![("a", all()), ("b", all()), ("c", fewer)];
    let mut plane = SimulatedPlane::start(servers).await.unwrap();
    let balancer = plane.balancer().setting("affinity", json!("connection"));
    let mut balancer = balancer.start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let clients = connections(&balancer).unwrap();
    are_answered_by(&clients, EVERYBODYS, of(["a", "b", "c"])).await;
    are_answered_by(&clients, SOMES, of(["a", "b"])).await;

    plane.servers[0].close().await;
    balancer.server_is("a", "gone").await.unwrap();
    are_answered_by(&clients, EVERYBODYS, of(["b", "c"])).await;
    plane.servers[0].open().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    are_answered_by(&clients, EVERYBODYS, of(["a", "b", "c"])).await;
    no_vm_died(&mut balancer).await.unwrap();
}

fn connections(balancer: &Balancer) -> Result<Vec<Client>> {
    (0..CONNECTIONS).map(|_| balancer.client(ADMIN_TOKEN, Protocol::Http2)).collect()
}

/// Envoy's own health checks and the workers' maps follow the fetcher a moment later. From then on
/// each connection keeps its server.
async fn are_answered_by(clients: &[Client], path: &str, expected: BTreeSet<String>) {
    let are = async || servers_of(clients, path).await.is_ok_and(|servers| servers == expected);
    wait_until(&format!("{path} is answered by {expected:?}"), SOON, are).await.unwrap();
    assert_eq!(servers_of(clients, path).await.unwrap(), expected);
}

/// Who answers at all; an error when one connection is answered by two.
async fn servers_of(clients: &[Client], path: &str) -> Result<BTreeSet<String>> {
    let mut servers = BTreeSet::new();
    for client in clients {
        let mut own = BTreeSet::new();
        for _ in 0..READS {
            let answer = client.get(path).await?.json()?;
            own.insert(answer["server"].as_str().context("who answered")?.to_owned());
        }
        anyhow::ensure!(own.len() == 1, "{path}: one connection was answered by {own:?}");
        servers.append(&mut own);
    }
    Ok(servers)
}

fn of<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}
