//! An Envoy that is taken out of service by its own means: who stands before it is told, clients are
//! asked to go elsewhere with each answer, and nothing that runs is cut until Envoy ends.

use anyhow::{Context, Result, ensure};
use hyper::Method;
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Client, Lines, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::process::wait_until;
use serde_json::json;
use tokio::net::TcpStream;

use crate::rig::{SOON, no_vm_died};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_drains_is_left_by_clients_and_cuts_nothing_that_runs() {
    let plane = ControlPlane::builder().server("a", "1.37.2").start().await.unwrap();
    let mut balancer = Builder::before(&plane).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let clients = [Protocol::Http1, Protocol::Http2]
        .map(|protocol| balancer.client(ADMIN_TOKEN, protocol).unwrap());
    let mut watches = Vec::new();
    for client in &clients {
        let watch = Request::get(format!("{MAPS}?watch=1&resourceVersion=0"));
        watches.push(client.lines(watch).await.unwrap());
    }
    let direct = peerway_harness::workload::direct(&plane, "a", Protocol::Http2).unwrap();
    hear(&direct, &mut watches, "before").await.unwrap();
    assert_eq!(readiness(&balancer).await.unwrap(), 200);
    assert_eq!(says_close(&balancer).await.unwrap(), None);

    admin(&mut balancer, "/healthcheck/fail").await;
    assert_eq!(readiness(&balancer).await.unwrap(), 503);
    assert_eq!(says_close(&balancer).await.unwrap().as_deref(), Some("close"));
    for client in &clients {
        assert_eq!(client.get(MAPS).await.unwrap().status, 200);
    }
    hear(&direct, &mut watches, "failing").await.unwrap();
    admin(&mut balancer, "/healthcheck/ok").await;
    assert_eq!(readiness(&balancer).await.unwrap(), 200);
    admin(&mut balancer, "/healthcheck/fail").await;

    admin(&mut balancer, "/drain_listeners?graceful").await;
    let address = balancer.address();
    let refused = async || TcpStream::connect(address).await.is_err();
    wait_until("new connections are refused", SOON, refused).await.unwrap();
    hear(&direct, &mut watches, "drained").await.unwrap();
    no_vm_died(&mut balancer).await.unwrap();

    // Envoy does not wait at its end: what still runs breaks off, and a client resumes it elsewhere.
    balancer.envoy().process().terminate(SOON).await.unwrap();
    for watch in &mut watches {
        assert!(watch.next(SOON).await.is_err());
    }
}

async fn admin(balancer: &mut Balancer, path: &str) {
    balancer.envoy().admin(Method::POST, path).await.unwrap();
}

/// What the loopback listener tells whoever stands before this Envoy.
async fn readiness(balancer: &Balancer) -> Result<u16> {
    Ok(balancer.fetcher()?.get("/readyz").await?.status.as_u16())
}

/// `Connection` of an answer over HTTP/1.1.
async fn says_close(balancer: &Balancer) -> Result<Option<String>> {
    let answer = balancer.client(ADMIN_TOKEN, Protocol::Http1)?.get(MAPS).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    Ok(answer.header("connection").map(str::to_owned))
}

/// Makes an object, and waits until each watch tells of it.
async fn hear(direct: &Client, watches: &mut [Lines], name: &str) -> Result<()> {
    let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}});
    let made = direct.post(MAPS, &map).await?;
    ensure!(made.status == 201, "{}", made.text());
    for watch in watches {
        loop {
            let line = watch.next(SOON).await?.with_context(|| format!("ended before {name}"))?;
            if String::from_utf8_lossy(&line).contains(&format!("\"name\":\"{name}\"")) {
                break;
            }
        }
    }
    Ok(())
}
