//! The core's case table (`filter/core/testdata/cases.json`) in real Envoy before real servers: the
//! same decision and reason, and from whom the answer came.

use std::time::Duration;

use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::process::{free_port, wait_until};
use peerway_testdata::{Case, table};
use serde_json::{Value, json};

/// Its target, told from others of the same path in the access log.
fn marked(case: &Case, at: usize) -> String {
    let mark = if case.target.contains('?') { '&' } else { '?' };
    format!("{}{mark}case={at}", case.target)
}

fn request(case: &Case, target: &str) -> Request {
    let request = Request::get(target);
    match case.accept.as_str() {
        "" => request,
        accept => request.header("accept", accept),
    }
}

async fn control_plane(versions: [&str; 3]) -> ControlPlane {
    let [a, b, c] = versions;
    let builder = ControlPlane::builder().server("a", a).server("b", b).server("c", c);
    builder.start().await.unwrap()
}

/// Asks every case of a plane, and compares what came back with what the table says.
async fn check(plane: &str, servers: &[(String, String)], balancer: &Balancer) {
    let table = table();
    assert!(table.planes[plane].envoy.is_some(), "{plane} is not for Envoy");
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    let cases: Vec<_> = table.cases.iter().filter(|case| case.plane == plane).collect();
    assert!(!cases.is_empty());
    // A worker takes a new map on its tick, a moment after it was published.
    let first = cases.iter().find(|case| case.reason.is_some() && case.status.is_some()).unwrap();
    let is_decided_by_it = async || {
        let answer = client.raw(request(first, &first.target)).await;
        answer.is_ok_and(|it| it.header("x-peerway-reason") == first.reason.as_deref())
    };
    wait_until("the map is in use", Duration::from_secs(20), is_decided_by_it).await.unwrap();
    let earlier = balancer.access_log().unwrap().len();
    for (at, case) in cases.iter().enumerate() {
        let Some(status) = case.status else { continue };
        let answer = client.raw(request(case, &marked(case, at))).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{plane}: {}: {}", case.target, answer.text());
        assert_eq!(answer.header("x-peerway-reason"), case.reason.as_deref(), "{}", case.target);
    }
    let logged = async || {
        let log = balancer.access_log().unwrap().split_off(earlier);
        cases.iter().enumerate().filter(|(_, case)| case.status.is_some()).all(|(at, case)| {
            let line = log.iter().find(|line| line["path"] == marked(case, at).as_str());
            line.inspect(|line| came_from(case, line, servers)).is_some()
        })
    };
    wait_until("every case is in the access log", Duration::from_secs(20), logged).await.unwrap();
}

fn came_from(case: &Case, line: &Value, servers: &[(String, String)]) {
    if case.from.is_empty() {
        return;
    }
    let server = servers.iter().find(|(_, address)| line["upstream"] == address.as_str());
    let name = server.map(|(name, _)| name.as_str()).unwrap_or("nobody");
    assert!(case.from.iter().any(|from| from == name), "{} came from {name}: {line}", case.target);
}

fn owned(plane: &ControlPlane) -> Vec<(String, String)> {
    let pair = |(name, address): (&str, &str)| (name.to_owned(), address.to_owned());
    plane.servers().into_iter().map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_servers_are_left_alone() {
    let plane = control_plane(["1.36.3"; 3]).await;
    let balancer = Builder::before(&plane).patient().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    check("even", &owned(&plane), &balancer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_servers_differ_the_capable_one_is_asked_also_when_one_is_gone() {
    let plane = control_plane(["1.36.3", "1.36.3", "1.37.2"]).await;
    let servers = owned(&plane);
    let balancer = Builder::before(&plane).patient().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    check("skewed", &servers, &balancer).await;

    plane.kill("c").await.unwrap();
    balancer.server_is("c", "gone").await.unwrap();
    check("new-gone", &servers, &balancer).await;

    plane.start("c").await.unwrap();
    plane.kill("a").await.unwrap();
    balancer.server_is("a", "gone").await.unwrap();
    balancer.server_is("c", "confirmed").await.unwrap();
    check("old-gone", &servers, &balancer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_map_the_witness_finds_the_capable_one() {
    let plane = control_plane(["1.36.3", "1.36.3", "1.37.2"]).await;
    let balancer = Builder::before(&plane).fetcher_token("nobody knows it");
    let balancer = balancer.setting("startupWait", json!("0s")).start().await.unwrap();
    check("no-map", &owned(&plane), &balancer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_never_read_may_have_anything() {
    let builder = ControlPlane::builder().server("a", "1.36.3").server("b", "1.36.3");
    let plane = builder.start().await.unwrap();
    let mut servers = owned(&plane);
    servers.push(("c".to_owned(), format!("127.0.0.1:{}", free_port().unwrap())));
    let balancer = Builder::of(servers.clone(), plane.pki());
    let balancer = balancer.setting("startupWait", json!("0s")).start().await.unwrap();
    balancer.server_is("a", "confirmed").await.unwrap();
    balancer.server_is("b", "confirmed").await.unwrap();
    balancer.server_is("c", "gone").await.unwrap();
    check("never-read-gone", &servers, &balancer).await;
}
