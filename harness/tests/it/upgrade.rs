//! Real servers that change their version while they serve: an API that a server has is never said
//! not to be there, and a server that gets it is soon asked for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hyper::{Method, StatusCode};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Answer, Client, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::process::wait_until;
use peerway_harness::workload::direct;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::load::every_worker_has_the_map;
use crate::rig::PATIENCE;

const OLD: &str = "1.36.3";
const NEW: &str = "1.37.2";
/// Both came with `NEW`.
const READ: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles";
const WRITTEN: &str = "/apis/storagemigration.k8s.io/v1/storageversionmigrations";
/// For what must come, on a machine however busy.
const SOON: Duration = Duration::from_secs(60);
/// The poll interval, and 200 ms.
const BOUND: Duration = Duration::from_millis(1_200);
const WORKERS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_upgraded_in_place_is_soon_asked_by_every_worker_and_nobody_sees_a_404() {
    let plane = ControlPlane::builder().server("a", OLD).server("b", OLD).server("c", NEW);
    let plane = plane.start().await.unwrap();
    let mut balancer =
        Builder::before(&plane).patient().workers(WORKERS as u32).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    // A connection each: then the servers that are equally good take turns in what it asks.
    let traffic = Traffic::start(&balancer, WORKERS).await.unwrap();
    let (replaced, serves) = tokio::join!(plane.replace_with("b", NEW), serves(&plane, "b"));
    replaced.unwrap();
    let serves = serves.unwrap();

    let address = plane.address("b").unwrap();
    // For each connection, its first request that b had at once.
    let first = || {
        let log = balancer.access_log().unwrap_or_default();
        let at_once = log.iter().filter(|line| {
            let is_by_the_map = line["reason"] == "listed-by-some" && line["attempts"] == 1;
            is_by_the_map && line["upstream"] == address
        });
        let mut first: BTreeMap<usize, usize> = BTreeMap::new();
        for (connection, number) in at_once.filter_map(asked) {
            let earliest = first.entry(connection).or_insert(number);
            *earliest = number.min(*earliest);
        }
        first
    };
    let by_all = async || first().len() == WORKERS;
    wait_until("every worker asks b", SOON, by_all).await.unwrap();
    let first = first();
    let seen = traffic.end().await;
    let firsts = seen.iter().filter(|seen| first[&seen.connection] == seen.number);
    let after = firsts.map(|seen| seen.sent.saturating_duration_since(serves));
    let after = after.max().unwrap();
    println!("upgrade: {:?}; b is asked {after:?} after it serves", tally(&seen));
    assert!(after <= BOUND * PATIENCE, "{after:?}");
    assert_eq!(wrong(&seen), BTreeSet::new());
    assert_eq!(busy_workers(&mut balancer).await.unwrap(), WORKERS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_back_and_an_upgrade_in_the_same_second_show_nobody_a_404() {
    let plane = ControlPlane::builder().server("a", OLD).server("b", NEW).server("c", NEW);
    let plane = plane.start().await.unwrap();
    let balancer = Builder::before(&plane).patient().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let traffic = Traffic::start(&balancer, 8).await.unwrap();
    let (up, down) = tokio::join!(plane.replace_with("a", NEW), plane.replace_with("b", OLD));
    up.unwrap();
    down.unwrap();
    let is_over = |map: &Value| versions(map) == Some(vec![("a", NEW), ("b", OLD), ("c", NEW)]);
    balancer.wait_for_map("both versions are read", is_over).await.unwrap();
    balancer.all_confirmed().await.unwrap();
    every_worker_has_the_map(&balancer).await.unwrap();
    let seen = traffic.end().await;
    println!("roll back and upgrade: {:?}", tally(&seen));
    assert_eq!(wrong(&seen), BTreeSet::new());
}

/// APIs, the number of servers of `MIXED` that have each, and its objects.
const STEPS: [(&str, usize); 9] = [
    ("/api/v1/namespaces", 4),
    ("/apis/resource.k8s.io/v1/deviceclasses", 3),
    ("/apis/storage.k8s.io/v1/volumeattributesclasses", 3),
    ("/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies", 2),
    ("/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings", 2),
    ("/apis/certificates.k8s.io/v1/clustertrustbundles", 1),
    ("/apis/storagemigration.k8s.io/v1/storageversionmigrations", 1),
    ("/apis/resource.k8s.io/v1/devicetaintrules", 1),
    ("/apis/storage.k8s.io/v1/csinodes/n/status", 1),
];
const MIXED: [(&str, &str); 4] =
    [("a", "1.33.13"), ("b", "1.35.4"), ("c", "1.36.3"), ("d", "1.37.2")];
const TRIES: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_four_versions_serve_together_what_each_of_them_has() {
    let plane = MIXED
        .iter()
        .fold(ControlPlane::builder(), |plane, (name, version)| plane.server(name, version));
    let plane = plane.start().await.unwrap();
    let balancer = Builder::before(&plane).patient().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    every_worker_has_the_map(&balancer).await.unwrap();
    let four_versions = |map: &Value| versions(map) == Some(MIXED.to_vec());
    balancer.wait_for_map("showing the four versions", four_versions).await.unwrap();

    let client = balancer.client(ADMIN_TOKEN, Protocol::Http1).unwrap();
    let node = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSINode",
        "metadata": {"name": "n"}, "spec": {"drivers": []},
    });
    let made = client.post("/apis/storage.k8s.io/v1/csinodes", &node).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    for (path, servers) in STEPS {
        for answer in client.many(vec![Request::get(path); TRIES], 4).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
            let reason = answer.header("x-peerway-reason");
            assert_eq!(reason, (servers < 4).then_some("listed-by-some"), "{path}");
        }
    }
    let log = || balancer.access_log().unwrap_or_default();
    for (path, servers) in STEPS {
        let of_path = || log().into_iter().filter(|line| line["path"] == path);
        let all = async || of_path().count() == TRIES;
        wait_until("every request is in the access log", SOON, all).await.unwrap();
        let addresses = plane.servers().into_iter().rev().take(servers);
        let have_it: BTreeSet<_> = addresses.map(|(_, address)| address.to_owned()).collect();
        let gave_it = of_path().map(|line| line["upstream"].as_str().unwrap().to_owned());
        assert_eq!(gave_it.collect::<BTreeSet<_>>(), have_it, "{path}");
    }
}

/// Requests for the new APIs from several connections at a time, until they are told to end.
struct Traffic {
    stop: Arc<AtomicBool>,
    connections: JoinSet<Vec<Seen>>,
}

struct Seen {
    connection: usize,
    number: usize,
    sent: Instant,
    what: Method,
    answer: Result<Answer>,
}

/// Between two requests of a connection: short beside the bound.
const PAUSE: Duration = Duration::from_millis(10);

impl Traffic {
    /// Returns when all servers have had requests: a connection that is opened just as a server
    /// ends is never told so, and the server waits for it a minute.
    async fn start(balancer: &Balancer, connections: usize) -> Result<Self> {
        let mut traffic = Self { stop: Arc::default(), connections: JoinSet::new() };
        let answers = Arc::default();
        for connection in 0..connections {
            let client = balancer.client(ADMIN_TOKEN, Protocol::Http1)?;
            let (stop, answers) = (Arc::clone(&traffic.stop), Arc::clone(&answers));
            traffic.connections.spawn(keep_asking(client, connection, stop, answers));
        }
        let is_flowing = async || answers.load(Ordering::Relaxed) >= 10 * connections;
        wait_until("flowing", SOON, is_flowing).await?;
        Ok(traffic)
    }

    async fn end(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.connections.join_all().await.into_iter().flatten().collect()
    }
}

/// Reads, and every fourth time writes.
async fn keep_asking(
    client: Client,
    connection: usize,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
) -> Vec<Seen> {
    let object = json!({
        "apiVersion": "storagemigration.k8s.io/v1", "kind": "StorageVersionMigration",
        "metadata": {"generateName": "made-"},
        "spec": {"resource": {"group": "example.com", "resource": "things"}},
    });
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = seen.len();
        // The access log tells by that who answered which.
        let query = format!("limit=1&asked={connection}-{number}");
        let (what, request) = if number % 4 == 3 {
            let request = Request::new(Method::POST, format!("{WRITTEN}?{query}"));
            (Method::POST, request.json(&object))
        } else {
            (Method::GET, Request::get(format!("{READ}?{query}")))
        };
        let sent = Instant::now();
        let answer = client.send(request).await;
        seen.push(Seen { connection, number, sent, what, answer });
        answers.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    seen
}

/// Which connection's request, and the how manyth, a line of the access log is about.
fn asked(line: &Value) -> Option<(usize, usize)> {
    let (_, asked) = line.get("path")?.as_str()?.split_once("asked=")?;
    let (connection, number) = asked.split_once('-')?;
    Some((connection.parse().ok()?, number.parse().ok()?))
}

/// How often each kind of answer came.
fn tally(seen: &[Seen]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for Seen { what, answer, .. } in seen {
        let answer = answer.as_ref().map_or("none".to_owned(), |answer| answer.status.to_string());
        *tally.entry(format!("{what} {answer}")).or_default() += 1;
    }
    tally
}

/// The answers that are not those of a server that has the API.
fn wrong(seen: &[Seen]) -> BTreeSet<String> {
    let wrong = seen.iter().filter_map(|Seen { what, answer, .. }| match answer {
        Ok(answer) if answer.status.is_success() => None,
        Ok(answer) => Some(format!("{what}: {} {}", answer.status, answer.text())),
        Err(error) => Some(format!("{what}: {error:#}")),
    });
    wrong.collect()
}

/// The moment from which on a server has the new API and says that it is ready.
async fn serves(plane: &ControlPlane, server: &str) -> Result<Instant> {
    let client = direct(plane, server, Protocol::Http1)?;
    let is_200 = async |path| client.get(path).await.is_ok_and(|answer| answer.status == 200);
    let serves = async || is_200(READ).await && is_200("/readyz").await;
    wait_until("serving the new API", SOON, serves).await?;
    Ok(Instant::now())
}

/// Name and version of each server of a `/map`.
fn versions(map: &Value) -> Option<Vec<(&str, &str)>> {
    let pairs = map.get("servers")?.as_array()?.iter().map(|server| {
        let version = server.get("version")?.as_str()?;
        Some((server.get("name")?.as_str()?, version.trim_start_matches('v')))
    });
    pairs.collect()
}

/// How many workers had connections of clients.
async fn busy_workers(balancer: &mut Balancer) -> Result<usize> {
    let url = balancer.url();
    let address = url.strip_prefix("https://").context("no https")?.replace(':', "_");
    let stats = balancer.envoy().stats(&format!("listener.{address}.worker_")).await?;
    let connections = stats.iter().filter(|(name, _)| name.ends_with(".downstream_cx_total"));
    Ok(connections.filter(|(_, count)| **count > 0).count())
}
