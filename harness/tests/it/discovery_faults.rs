//! What one server's discovery can be like: nothing crashes, nothing that was known is lost, and the
//! routes to the others do not change.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use peerway_harness::balancer::Balancer;
use peerway_harness::client::Protocol;
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::module::Module;
use peerway_harness::process::wait_until;
use peerway_harness::simulated::{Discovery, Fault, Matcher, Reply, Speaks};
use serde_json::{Value, json};

use crate::rig::{Listener, SOON, SimulatedPlane, no_vm_died, resident_bytes, thread};

const EVERYBODYS: &str = "/api/v1/pods";
/// Only `odd` lists it; it is the server that goes wrong.
const ODDS_OWN: &str = "/apis/example.com/v1/things";
/// Only `good` lists it.
const GOODS_OWN: &str = "/apis/example.org/v1/others";

async fn skewed() -> SimulatedPlane {
    let good = Discovery::of(&[EVERYBODYS, GOODS_OWN]).unwrap();
    let odd = Discovery::of(&[EVERYBODYS, ODDS_OWN]).unwrap();
    SimulatedPlane::start(vec![("good", good), ("odd", odd)]).await.unwrap()
}

fn is_confirmed(server: &Value) -> bool {
    server["state"] == "confirmed"
}

/// Waits until both servers' own APIs are routed by the map: a worker takes a new one on its tick.
async fn routes_are_known(balancer: &Balancer) {
    for path in [GOODS_OWN, ODDS_OWN] {
        let routed = async || {
            let client = balancer.client(ADMIN_TOKEN, Protocol::Http1).unwrap();
            let answer = client.get(path).await;
            answer.is_ok_and(|it| it.header("x-peerway-reason") == Some("listed-by-some"))
        };
        wait_until("the API is routed by the map", SOON, routed).await.unwrap();
    }
}

/// Both servers' own APIs are still routed to whom they belong.
async fn routes_stand(balancer: &Balancer, plane: &SimulatedPlane) -> Result<()> {
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http1)?;
    for (path, server) in [(GOODS_OWN, "good"), (ODDS_OWN, "odd")] {
        let owner =
            plane.servers.iter().find(|it| it.name() == server).context("no such server")?;
        owner.forget_requests();
        let answer = client.get(path).await?;
        let reason = answer.header("x-peerway-reason").map(str::to_owned);
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
        ensure!(reason.as_deref() == Some("listed-by-some"), "{path}: {reason:?}");
        ensure!(owner.requests_to(&Matcher::path(path)).len() == 1, "{path} went elsewhere");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_discovery_however_bad_loses_what_was_known_or_touches_the_others() {
    let plane = skewed().await;
    // Readiness comes on the connection that is cut, or full of megabytes.
    let settings = json!({"pollInterval": "500ms", "probeTimeout": "30s"});
    let (builder, listener) = plane.fetching(settings).unwrap();
    let mut balancer = builder.start().await.unwrap();
    for server in ["good", "odd"] {
        listener.wait_for(server, "it is confirmed", SOON, is_confirmed).await.unwrap();
    }
    routes_are_known(&balancer).await;
    let memory_before = resident_bytes(&mut balancer).unwrap();

    let named = Matcher::path("/apis");
    let not_text = r#"{"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":7}}]}"#;
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let faults = [
        (
            named.clone(),
            "cut",
            Fault::document(r#"{"kind":"APIGroupDiscoveryList","items":[{"meta"#),
        ),
        (named.clone(), "empty", Fault::Reply(Reply::new(StatusCode::OK).body(aggregated, ""))),
        (
            named.clone(),
            "no group",
            Fault::document(r#"{"kind":"APIGroupDiscoveryList","items":[]}"#),
        ),
        (
            named.clone(),
            "another type",
            Fault::Reply(Reply::new(StatusCode::OK).body("text/html", "<p>")),
        ),
        (named.clone(), "garbage", Fault::Garbage),
        (named.clone(), "a name that is no text", Fault::document(not_text)),
        (named.clone(), "50 MB", Fault::Megabytes(50)),
        (named.clone(), "a dropped connection", Fault::Cut),
        (named.clone(), "refused streams", Fault::RefuseStream),
        (named.clone(), "401", Fault::status(StatusCode::UNAUTHORIZED)),
        (named.clone(), "403", Fault::status(StatusCode::FORBIDDEN)),
        (named.clone(), "429", Fault::retry_after(StatusCode::TOO_MANY_REQUESTS, 1)),
        (named.clone(), "500", Fault::status(StatusCode::INTERNAL_SERVER_ERROR)),
        (named, "503", Fault::status(StatusCode::SERVICE_UNAVAILABLE)),
        (Matcher::path("/readyz"), "401 for the fetcher", Fault::status(StatusCode::UNAUTHORIZED)),
    ];
    let odd = &plane.servers[1];
    for (matcher, what, fault) in faults {
        odd.set_fault(matcher.clone(), fault);
        let has_problem = |server: &Value| server["problem"].is_string();
        let server = listener.wait_for("odd", what, SOON, has_problem).await.unwrap();
        assert_eq!(server["state"], "confirmed", "{what}: {server}");
        routes_stand(&balancer, &plane).await.with_context(|| what.to_owned()).unwrap();
        odd.heal(&matcher);
        let has_none = |server: &Value| server["problem"].is_null() && is_confirmed(server);
        listener.wait_for("odd", "it is healed", SOON, has_none).await.unwrap();
    }
    no_vm_died(&mut balancer).await.unwrap();
    let grown = resident_bytes(&mut balancer).unwrap().saturating_sub(memory_before);
    assert!(grown < 300 << 20, "Envoy grew by {grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_groups_are_read_and_routed() {
    let plane = skewed().await;
    let (builder, listener) = plane.fetching(json!({"pollInterval": "200ms"})).unwrap();
    let mut balancer = builder.start().await.unwrap();
    plane.servers[1].set_fault(Matcher::path("/apis"), Fault::Groups(10_000));
    let many = |server: &Value| server["apis"].as_u64() >= Some(10_000);
    listener.wait_for("odd", "10,000 groups are known", SOON, many).await.unwrap();
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http1).unwrap();
    assert_eq!(client.get(GOODS_OWN).await.unwrap().status, 200);
    no_vm_died(&mut balancer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn older_forms_of_discovery_are_read_right() {
    let lists = || Discovery::of(&[EVERYBODYS, ODDS_OWN, "/apis/example.com/v1/things/status"]);
    let forms = [("v2", Speaks::V2), ("v2beta1", Speaks::V2Beta1), ("plain", Speaks::Plain)];
    let servers = forms.map(|(name, form)| (name, lists().unwrap().speaking(form)));
    let plane = SimulatedPlane::start(servers.into()).await.unwrap();
    let (builder, listener) = plane.fetching(json!({"pollInterval": "200ms"})).unwrap();
    let mut balancer = builder.start().await.unwrap();
    for (name, _) in forms {
        let server = listener.wait_for(name, "it is confirmed", SOON, is_confirmed).await.unwrap();
        assert_eq!(server["apis"], 3, "{server}");
    }
    let map = listener.map().await.unwrap();
    for server in map["servers"].as_array().unwrap() {
        assert_eq!(server["notEverywhere"], json!([]), "{server}");
    }
    no_vm_died(&mut balancer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_no_worker_can_decode_is_counted_and_the_last_one_stays() {
    let plane = skewed().await;
    let (builder, listener) = plane.fetching(json!({"pollInterval": "200ms"})).unwrap();
    let mut balancer = builder.module(Module::Panicking).start().await.unwrap();
    for server in ["good", "odd"] {
        listener.wait_for(server, "it is confirmed", SOON, is_confirmed).await.unwrap();
    }
    routes_are_known(&balancer).await;
    // The main thread has a VM too, which no request reaches.
    let main = balancer.envoy().process().id();
    let log = balancer.folder().join("envoy.log");
    let refused = async || {
        // Again and again: it is announced for no longer than until the fetcher's next poll, which a
        // worker may miss.
        switch(&listener, "garble-map").await;
        let log = std::fs::read_to_string(&log).unwrap();
        let refusals = log.lines().filter(|line| line.contains("wasm log peerway: generation "));
        let threads: BTreeSet<_> = refusals.map(|line| thread(line).unwrap()).collect();
        threads.into_iter().filter(|thread| *thread != main).count() == 2
    };
    wait_until("both workers refused the map", SOON, refused).await.unwrap();
    let counters = balancer.counters().await.unwrap();
    assert!(counters["peerway_maps_refused_total"] >= 2, "{counters:?}");
    routes_stand(&balancer, &plane).await.unwrap();
    no_vm_died(&mut balancer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_looks_at_all_servers_now_and_readyz_tells_when_a_map_is_there() {
    let plane = skewed().await;
    let odd = &plane.servers[1];
    plane.servers.iter().for_each(|server| server.set_fault(Matcher::Everything, Fault::Hang));
    let settings = json!({"pollInterval": "30s", "probeTimeout": "300ms"});
    let (builder, listener) = plane.fetching(settings).unwrap();
    let balancer = builder.start().await.unwrap();
    assert_eq!(listener.0.get("/readyz").await.unwrap().status, 503);

    plane.servers.iter().for_each(|server| server.heal_all());
    assert_eq!(listener.0.get("/refresh").await.unwrap().status, 202);
    for server in ["good", "odd"] {
        // Far sooner than the poll interval.
        listener.wait_for(server, "it is confirmed", SOON, is_confirmed).await.unwrap();
    }
    assert_eq!(listener.0.get("/readyz").await.unwrap().status, 200);

    let new = "/apis/example.net/v1/news";
    odd.set_discovery(Discovery::of(&[EVERYBODYS, ODDS_OWN, new]).unwrap());
    assert_eq!(listener.0.get("/refresh").await.unwrap().status, 202);
    let lists_it = |server: &Value| server["apis"] == 3;
    listener.wait_for("odd", "its new API is known", SOON, lists_it).await.unwrap();
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http1).unwrap();
    let routed = async || {
        let answer = client.get(new).await;
        answer.is_ok_and(|it| it.header("x-peerway-reason") == Some("listed-by-some"))
    };
    wait_until("the new API is routed by the map", SOON, routed).await.unwrap();
}

async fn switch(listener: &Listener, name: &str) {
    // The route answers 404: the switch is thrown on the way there.
    listener.0.get(&format!("/peerway-test-panic/{name}")).await.unwrap();
}
