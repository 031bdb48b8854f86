//! A map that comes back after nobody renewed it, and servers that were never there.

use anyhow::Result;
use peerway_harness::balancer::Builder;
use peerway_harness::client::{Client, Protocol, Request};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::process::{free_port, wait_until};
use peerway_harness::simulated::{BlackHole, Discovery, Fault, Matcher};
use serde_json::json;

use super::asks_to_come_back;
use crate::rig::{SOON, SimulatedPlane, no_vm_died};

const EVERYBODYS: &str = "/api/v1/pods";
const THE_LASTS: &str = "/apis/example.com/v1/things";
const NOBODYS: &str = "/apis/example.com/v1/nothings";

fn old() -> Result<Discovery> {
    Discovery::of(&[EVERYBODYS, "/apis/apps/v1/deployments"])
}

fn new() -> Result<Discovery> {
    Discovery::of(&[EVERYBODYS, "/apis/apps/v1/deployments", THE_LASTS])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_is_no_longer_renewed_counts_as_no_map_until_it_is_again() {
    let plane = SimulatedPlane::start(vec![("a", old().unwrap()), ("b", new().unwrap())]);
    let mut plane = plane.await.unwrap();
    let slow = json!({"pollInterval": "1s", "probeTimeout": "1m"});
    let (builder, listener) = plane.fetching(slow).unwrap();
    let mut balancer = builder.setting("staleAfter", json!("2s")).start().await.unwrap();
    listener.confirmed("a").await.unwrap();
    listener.confirmed("b").await.unwrap();
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    has_reason(&client, EVERYBODYS, None).await.unwrap();

    // A fetcher that waits for all servers looks at none, and renews nothing.
    for server in &plane.servers {
        server.set_fault(Matcher::path("/readyz"), Fault::Hang);
    }
    has_reason(&client, EVERYBODYS, Some("map-expired")).await.unwrap();
    for _ in 0..4 {
        let served = client.get(THE_LASTS).await.unwrap();
        assert_eq!(served.json().unwrap()["server"], "b");
        assert_eq!(served.header("x-peerway-reason"), Some("map-expired"));
        assert_eq!(client.get(EVERYBODYS).await.unwrap().status, 200);
        assert_eq!(client.get(NOBODYS).await.unwrap().status, 404);
    }

    for server in &mut plane.servers {
        server.heal_all();
        // What hangs ends with its connection.
        server.open().await.unwrap();
    }
    has_reason(&client, EVERYBODYS, None).await.unwrap();
    has_reason(&client, THE_LASTS, Some("listed-by-some")).await.unwrap();
    no_vm_died(&mut balancer).await.unwrap();
}

/// Waits until a path is served, and for this reason.
async fn has_reason(client: &Client, path: &str, reason: Option<&str>) -> Result<()> {
    let has = async || {
        let answer = client.get(path).await;
        answer.is_ok_and(|a| a.status == 200 && a.header("x-peerway-reason") == reason)
    };
    wait_until(&format!("{reason:?} for {path}"), SOON, has).await
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_were_never_there_kill_no_vm_and_hide_nothing() {
    const WORKERS: u32 = 4;
    let plane = SimulatedPlane::start(vec![("here", new().unwrap()), ("mute", old().unwrap())]);
    let mut plane = plane.await.unwrap();
    plane.servers[1].mute().await.unwrap();
    let black_hole = BlackHole::new().await.unwrap();
    let [here, mute] = [0, 1].map(|at| plane.servers[at].address().to_string());
    let absent = [
        ("unreachable", black_hole.address().to_string()),
        ("refusing", format!("127.0.0.1:{}", free_port().unwrap())),
        ("mute", mute),
    ];
    let mut servers = absent.map(|(name, address)| (name.to_owned(), address)).to_vec();
    let all_absent = Builder::of(servers.clone(), &plane.pki).workers(WORKERS);
    let mut all_absent = all_absent.start().await.unwrap();
    servers.push(("here".to_owned(), here));
    let one_here = Builder::of(servers, &plane.pki).workers(WORKERS);
    let mut one_here = one_here.start().await.unwrap();

    for balancer in [&all_absent, &one_here] {
        for name in ["unreachable", "refusing", "mute"] {
            balancer.server_is(name, "gone").await.unwrap();
        }
    }
    one_here.server_is("here", "confirmed").await.unwrap();
    // A connection each: every worker has some of them.
    for path in [EVERYBODYS, THE_LASTS].repeat(WORKERS as usize) {
        let client = one_here.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
        assert_eq!(client.raw(Request::get(path)).await.unwrap().status, 200, "{path}");
    }
    for balancer in [&one_here, &all_absent] {
        let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
        asks_to_come_back(&client.get(NOBODYS).await.unwrap()).unwrap();
    }
    assert_eq!(all_absent.fetcher().unwrap().get("/readyz").await.unwrap().status, 503);
    no_vm_died(&mut one_here).await.unwrap();
    no_vm_died(&mut all_absent).await.unwrap();
}
