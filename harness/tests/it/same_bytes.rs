//! In a cluster of equal servers Peerway is invisible: what reaches the server and what reaches the
//! client is what a plain Envoy with the same settings passes, and nothing is counted or logged.

use std::collections::BTreeMap;

use hyper::Method;
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Answer, Client, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::simulated::{Discovery, Recorded};
use serde_json::json;

use crate::rig::{SimulatedPlane, is_ours};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn requests() -> Vec<Request> {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
    let of = |method| Request::new(method, format!("{PODS}/a"));
    vec![
        Request::get(PODS),
        Request::get(format!("{PODS}?limit=5&continue=%2F..%2f")),
        Request::get("/version"),
        Request::get("/apis").header("accept-encoding", "gzip"),
        Request::get(PODS).header("accept", "application/vnd.kubernetes.protobuf"),
        Request::get(PODS).header("x-forwarded-for", "10.1.2.3").header("x-custom", "\u{e4}"),
        of(Method::HEAD),
        Request::new(Method::POST, PODS).json(&object),
        of(Method::PUT).json(&object),
        of(Method::PATCH).body("application/merge-patch+json", r#"{"a":1}"#),
        of(Method::DELETE),
    ]
}

/// Everything that a server was sent, in the order in which it came.
fn seen(request: &Recorded) -> String {
    let Recorded { method, target, authority, headers, body_bytes, .. } = request;
    format!("{method} {target:?} {authority:?} {headers:?} {body_bytes}")
}

/// Everything of an answer but what differs from answer to answer.
fn told(answer: &Answer) -> String {
    let mut headers: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (name, value) in &answer.headers {
        // A kube-apiserver takes the time of its answer for that of the last change of its OpenAPI.
        if !["date", "audit-id", "last-modified"].contains(&name.as_str()) {
            headers.entry(name.to_string()).or_default().push(value.clone());
        }
    }
    format!("{} {headers:?} {:?}", answer.status, answer.body)
}

async fn ask_all(client: &Client) -> Vec<Answer> {
    let mut answers = Vec::new();
    for request in requests() {
        answers.push(client.raw(request).await.unwrap());
    }
    answers
}

async fn is_untouched(balancer: &mut Balancer) {
    let counters = balancer.counters().await.unwrap().into_iter();
    // Its looks at the servers, and how they stand, the fetcher tells at any time.
    let of_requests = ["peerway_requests_total", "peerway_witness_total", "peerway_maps_refused"];
    let counted: Vec<_> = counters
        .filter(|(name, n)| *n > 0 && of_requests.iter().any(|it| name.starts_with(it)))
        .collect();
    assert_eq!(counted, [], "an even cluster counts no request");
    let log = balancer.envoy().log().unwrap();
    let ours = log
        .lines()
        .filter(|line| line.contains("wasm log"))
        .filter(|line| !line.ends_with(" is confirmed"));
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new(), "an even cluster logs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_sent_what_a_plain_envoy_sends_them() {
    let lists = || Discovery::of(&["/api/v1/pods", "/apis/apps/v1/deployments"]).unwrap();
    // One server, so that both balancers ask the same.
    let plane = SimulatedPlane::start(vec![("a", lists())]).await.unwrap();
    let server = &plane.servers[0];
    let mut peerway = plane.balancer().start().await.unwrap();
    peerway.all_confirmed().await.unwrap();
    let plain = plane.balancer().plain().start().await.unwrap();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut runs = Vec::new();
        for balancer in [&peerway, &plain] {
            server.forget_requests();
            let client = balancer.client(ADMIN_TOKEN, protocol).unwrap();
            let answers: Vec<_> = ask_all(&client).await.iter().map(told).collect();
            let requests = server.requests().into_iter().filter(|it| !is_ours(it));
            let port = client.address().port().to_string();
            let requests: Vec<_> = requests.map(|it| seen(&it).replace(&port, "PORT")).collect();
            assert_eq!(requests.len(), answers.len(), "{requests:#?}");
            runs.push((requests, answers));
        }
        let [with, without] = runs.try_into().unwrap();
        assert_eq!(with.0, without.0, "what the server is sent, {protocol:?}");
        assert_eq!(with.1, without.1, "what the client is told, {protocol:?}");
    }
    is_untouched(&mut peerway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_what_a_plain_envoy_tells_them_of_a_real_server() {
    let plane = ControlPlane::builder().server("a", "1.36.3").start().await.unwrap();
    let mut peerway = Builder::before(&plane).start().await.unwrap();
    peerway.all_confirmed().await.unwrap();
    let plain = Builder::before(&plane).plain().start().await.unwrap();
    let targets = [
        "/version",
        "/apis",
        "/api/v1",
        "/api/v1/namespaces/default",
        "/api/v1/namespaces/default/configmaps/absent",
        "/apis/apps/v1/deployments?limit=1",
        "/openapi/v3",
    ];
    let accepts = ["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"];
    let mut told_by = Vec::new();
    for balancer in [&peerway, &plain] {
        let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
        let mut all = Vec::new();
        for (target, accept) in targets.iter().flat_map(|it| accepts.map(|accept| (it, accept))) {
            let request =
                Request::get(*target).header("accept", accept).header("accept-encoding", "gzip");
            all.push(format!("{target} {accept} {}", told(&client.send(request).await.unwrap())));
        }
        told_by.push(all);
    }
    let [with, without] = told_by.try_into().unwrap();
    assert_eq!(with, without);
    is_untouched(&mut peerway).await;
}
