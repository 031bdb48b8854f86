//! Servers that are stopped as everyday work stops them, under requests of every method: what the
//! others have too is served, once. And what a server that is starting or stopping says of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use hyper::header::RETRY_AFTER;
use hyper::{Method, StatusCode};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Client, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane, OPERATOR_TOKEN};
use peerway_harness::process::wait_until;
use peerway_harness::simulated::{Discovery, Fault, Matcher, Reply};
use peerway_harness::workload::direct;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::rig::{SOON, SimulatedPlane, no_vm_died};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// What the objects of this test have in common.
const MARK: &str = "made-by=shutdown";

/// Stopped in every way that a kube-apiserver knows: at once; after a delay in which it serves on
/// but is not ready; and with a 429 for whoever comes after that.
const FLAGS: [(&str, &[&str]); 3] = [
    ("at-once", &[]),
    ("delayed", &["--shutdown-delay-duration=2s"]),
    ("retry-after", &["--shutdown-delay-duration=1s", "--shutdown-send-retry-after=true"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_of_any_kind_fails_no_request_and_doubles_none() {
    let describe = |plane: peerway_harness::control_plane::Builder, (name, flags)| {
        plane.server_with(name, "1.37.2", flags)
    };
    let plane = FLAGS.into_iter().fold(ControlPlane::builder(), describe).start().await.unwrap();
    let mut balancer = Builder::before(&plane).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let lives = Lives::start(&balancer).await.unwrap();
    for (name, _) in FLAGS {
        plane.stop(name).await.unwrap();
        plane.start(name).await.unwrap();
        balancer.server_is(name, "confirmed").await.unwrap();
    }
    let (lived, troubles) = lives.end().await;
    println!("graceful stops: {lived} objects lived through six requests each");
    assert_eq!(troubles, Vec::<String>::new());
    let left = left_behind(&plane).await.unwrap();
    assert_eq!(left, Vec::<String>::new(), "each was deleted, and made only once");
    no_vm_died(&mut balancer).await.unwrap();
}

/// Objects that are made, read, changed, listed and deleted, over and over, until told to end.
struct Lives {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<(usize, Vec<String>)>,
}

impl Lives {
    /// Returns when each connection has had its first.
    async fn start(balancer: &Balancer) -> Result<Self> {
        let mut lives = Self { stop: Arc::default(), tasks: JoinSet::new() };
        let lived = Arc::new(AtomicUsize::new(0));
        let http2 = balancer.client(OPERATOR_TOKEN, Protocol::Http2)?;
        for number in 0..CONNECTIONS {
            // Half of them share one connection.
            let client = match number % 2 {
                0 => balancer.client(OPERATOR_TOKEN, Protocol::Http1)?,
                _ => http2.clone(),
            };
            let (stop, lived) = (Arc::clone(&lives.stop), Arc::clone(&lived));
            lives.tasks.spawn(async move {
                let (mut own, mut troubles) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    if let Err(trouble) = live(&client).await {
                        troubles.push(format!("{trouble:#}"));
                    }
                    own += 1;
                    lived.fetch_add(1, Ordering::Relaxed);
                }
                (own, troubles)
            });
        }
        let all = async || lived.load(Ordering::Relaxed) >= 2 * CONNECTIONS;
        wait_until("objects live", SOON, all).await?;
        Ok(lives)
    }

    async fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.tasks.join_all().await;
        let lived = ended.iter().map(|(lived, _)| lived).sum();
        (lived, ended.into_iter().flat_map(|(_, troubles)| troubles).collect())
    }
}

const CONNECTIONS: usize = 8;

/// One object's life. A create that is carried out twice leaves an object behind, an update or a
/// delete that is fails.
async fn live(client: &Client) -> Result<()> {
    let (key, value) = MARK.split_once('=').context("the mark")?;
    let object = json!({"kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"generateName": "life-", "labels": {key: value}}});
    let made = ask(client, Request::new(Method::POST, MAPS).json(&object), 201).await?;
    let name = made.pointer("/metadata/name").and_then(Value::as_str).context("no name")?;
    let path = format!("{MAPS}/{name}");
    let mut read = ask(client, Request::get(path.as_str()), 200).await?;
    read["data"] = json!({"updated": "yes"});
    ask(client, Request::new(Method::PUT, path.as_str()).json(&read), 200).await?;
    let test = json!([{"op": "test", "path": "/data/updated", "value": "yes"},
        {"op": "replace", "path": "/data/updated", "value": "twice"}]);
    let patch = Request::new(Method::PATCH, path.as_str());
    let patch = patch.body("application/json-patch+json", test.to_string());
    ask(client, patch, 200).await?;
    ask(client, Request::get(format!("{MAPS}?limit=1")), 200).await?;
    ask(client, Request::new(Method::DELETE, path.as_str()), 200).await?;
    Ok(())
}

async fn ask(client: &Client, request: Request, expected: u16) -> Result<Value> {
    let what = format!("{request:?}");
    let answer = client.send(request).await?;
    let (status, text) = (answer.status, answer.text());
    ensure!(status == expected, "{what}: {status} {:?} {text}", answer.headers);
    answer.json()
}

/// The names of what is still there.
async fn left_behind(plane: &ControlPlane) -> Result<Vec<String>> {
    let client = direct(plane, "at-once", Protocol::Http1)?;
    let list = client.get(&format!("{MAPS}?labelSelector={}", MARK.replace('=', "%3D"))).await?;
    let items = list.json()?["items"].as_array().cloned().context("no list")?;
    Ok(items.iter().map(|item| item["metadata"]["name"].to_string()).collect())
}

const EVERYBODYS: &str = "/api/v1/things";
/// Only two of the three servers have it.
const SOMES: &str = "/apis/example.com/v1/things";

/// What real servers say while they start and stop; `StatusCode`, `Retry-After`, type, body.
fn turned_away() -> [Reply; 3] {
    let json = "application/json";
    let status = |message: &str| {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": "ServiceUnavailable", "code": 503})
        .to_string()
    };
    let starting = "the request has been made before all known HTTP paths have been installed";
    let unavailable = || Reply::new(StatusCode::SERVICE_UNAVAILABLE);
    [
        unavailable().header(RETRY_AFTER, "1").body(json, status("apiserver is shutting down")),
        unavailable().header(RETRY_AFTER, "5").body(json, status(starting)),
        Reply::new(StatusCode::TOO_MANY_REQUESTS)
            .header(RETRY_AFTER, "5")
            .body("text/plain; charset=utf-8", STOPPING),
    ]
}

const STOPPING: &str = "The apiserver is shutting down, please try again later.\n";
const BUSY: &str = "Too many requests, please try again later.\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_next_server_is_asked_when_one_is_starting_or_stopping_and_not_when_it_is_busy() {
    let some = Discovery::of(&[EVERYBODYS, SOMES]).unwrap();
    let fewer = Discovery::of(&[EVERYBODYS, "/apis/apps/v1/deployments"]).unwrap();
    let servers = vec![("a", some.clone()), ("b", some), ("c", fewer)];
    let plane = SimulatedPlane::start(servers).await.unwrap();
    let mut balancer = plane.balancer().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    let ask = async |path: &str| {
        let mut statuses = Vec::new();
        for method in [Method::GET, Method::POST, Method::DELETE] {
            for _ in 0..TURNS {
                let request = Request::new(method.clone(), path).body("application/json", "{}");
                statuses.push(client.send(request).await.unwrap().status.as_u16());
            }
        }
        statuses.dedup();
        statuses
    };
    let everyone = |path: &str, fault: &Fault| {
        let matcher = Matcher::path(path);
        plane.servers.iter().for_each(|server| server.set_fault(matcher.clone(), fault.clone()));
    };

    for path in [EVERYBODYS, SOMES] {
        let asked_now = ask(path).await;
        for reply in turned_away() {
            plane.servers[0].set_fault(Matcher::path(path), Fault::Reply(reply.clone()));
            assert_eq!(ask(path).await, asked_now, "{path}: one says {reply:?}");
            // When all say so, the last one's own words are the answer.
            everyone(path, &Fault::Reply(reply.clone()));
            assert_eq!(ask(path).await, [reply.status.as_u16()], "{path}: all say {reply:?}");
            plane.servers.iter().for_each(|server| server.heal_all());
        }
        let busy = Reply::new(StatusCode::TOO_MANY_REQUESTS).header(RETRY_AFTER, "1");
        everyone(path, &Fault::Reply(busy.body("text/plain; charset=utf-8", BUSY)));
        plane.servers.iter().for_each(|server| server.forget_requests());
        assert_eq!(ask(path).await, [429], "{path}");
        let asked = plane.servers.iter().map(|server| server.requests_to(&Matcher::path(path)));
        assert_eq!(asked.map(|asked| asked.len()).sum::<usize>(), 3 * TURNS, "{path}");
        plane.servers.iter().for_each(|server| server.heal_all());
    }
    no_vm_died(&mut balancer).await.unwrap();
}

/// As a real one does for some tenths of a second: until it has read its RBAC rules.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_gone_and_refuses_everybody_is_not_believed_before_it_is_ready() {
    let all = Discovery::of(&[EVERYBODYS, SOMES]).unwrap();
    let fewer = Discovery::of(&[EVERYBODYS, "/apis/apps/v1/deployments"]).unwrap();
    let plane = SimulatedPlane::start(vec![("a", all), ("b", fewer)]).await.unwrap();
    let mut balancer = plane.balancer().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let ask = async |method: Method| {
        let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
        client.send(Request::new(method, SOMES).body("application/json", "{}")).await.unwrap()
    };
    // Longer than what the witness reads of a 404.
    let forbidden = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "code": 403,
        "status": "Failure", "reason": "Forbidden", "message": "f".repeat(100_000)});
    let refusal = Reply::new(StatusCode::FORBIDDEN).body("application/json", forbidden.to_string());
    plane.servers[0].set_fault(Matcher::path(SOMES), Fault::Reply(refusal));
    for method in [Method::GET, Method::HEAD, Method::POST] {
        assert_eq!(ask(method).await.status, 403, "one that is confirmed is believed");
    }

    let unready = Fault::status(StatusCode::INTERNAL_SERVER_ERROR);
    plane.servers[0].set_fault(Matcher::path("/readyz"), unready);
    balancer.server_is("a", "gone").await.unwrap();
    for method in [Method::GET, Method::HEAD, Method::POST] {
        let answer = ask(method.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")));
        if method != Method::HEAD {
            assert_eq!(answer.json().unwrap()["reason"], "ServiceUnavailable");
        }
    }
    plane.servers[0].heal(&Matcher::path("/readyz"));
    balancer.server_is("a", "confirmed").await.unwrap();
    assert_eq!(ask(Method::GET).await.json().unwrap(), forbidden);
    no_vm_died(&mut balancer).await.unwrap();
}

/// Twice around the servers.
const TURNS: usize = 6;
