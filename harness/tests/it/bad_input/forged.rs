//! Headers that only Peerway, Envoy or a front proxy may set, sent by clients and by servers.

use anyhow::{Context, Result, ensure};
use hyper::header::HeaderName;
use hyper::{Method, StatusCode};
use peerway_harness::balancer::Balancer;
use peerway_harness::client::{Answer, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, NOBODY_TOKEN};
use peerway_harness::simulated::{Discovery, Fault, Matcher, Recorded, Reply, SimulatedServer};
use serde_json::json;

use super::many_at_once;
use crate::rig::{SimulatedPlane, is_ours, no_vm_died};

/// What every server lists.
const EVERYBODYS: &str = "/api/v1/pods";
/// What only `c` lists.
const THE_THIRDS: &str = "/apis/example.com/v1/things";
const NOBODYS: &str = "/apis/example.com/v1/nothings";
const NO_API: &str = "/version";
const STAMP: &str = "x-kubernetes-peer-proxied";

/// What a client could hope to gain something by. `{a}` is the address of the first server.
const FORGED: [(&str, &str); 26] = [
    (STAMP, "true"),
    ("X-Kubernetes-Peer-Proxied", "false"),
    ("x-gateway-destination-endpoint", "{a}"),
    ("X-Gateway-Destination-Endpoint", "{a},{a}"),
    ("x-peerway-route", "peers"),
    ("X-PEERWAY-ROUTE", "peers-once"),
    ("x-peerway-route", "pool-once"),
    ("x-peerway-ask-next", "true"),
    ("x-peerway-shape", "404 - 19 text/plain; charset=utf-8"),
    ("x-peerway-reason", "listed-by-some"),
    ("x-envoy-max-retries", "0"),
    ("X-Envoy-Max-Retries", "9"),
    ("x-envoy-attempt-count", "7"),
    ("x-envoy-retry-on", "5xx,retriable-4xx"),
    ("x-envoy-retriable-status-codes", "200,404"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-envoy-original-path", "/forged"),
    ("x-remote-user", "eve"),
    ("X-Remote-Group", "system:masters"),
    ("x-remote-uid", "0"),
    ("X-Remote-Extra-Foo%2fBar", "eve"),
    ("x_remote_user", "eve"),
    ("X_Remote_Group", "system:masters"),
    ("x_remote_extra_foo", "eve"),
    ("X-Remote_User", "eve"),
    ("x_remote-group", "system:masters"),
];

/// Each of them alone, then all of them, each twice.
pub(crate) fn forgeries(method: Method, path: &str, first: &str) -> Vec<Request> {
    let add = |request: Request, (name, value): (&str, &str)| {
        request.header(name, value.replace("{a}", first))
    };
    let new = || Request::new(method.clone(), path);
    let mut requests: Vec<_> = FORGED.into_iter().map(|forged| add(new(), forged)).collect();
    requests.push(FORGED.into_iter().chain(FORGED).fold(new(), add));
    requests
}

/// An error when something of [`FORGED`] reached a server. `stamp` tells whether Peerway was to set
/// the stamp.
pub(crate) fn is_clean(request: &Recorded, stamp: bool) -> Result<()> {
    let forbidden = |name: &&HeaderName| {
        let prefixes = ["x-remote", "x_remote", "x-peerway-", "x-envoy-"];
        let name = name.as_str();
        prefixes.iter().any(|prefix| name.starts_with(prefix))
            || name == "x-gateway-destination-endpoint"
    };
    let forbidden: Vec<_> = request.headers.keys().filter(forbidden).collect();
    ensure!(forbidden.is_empty(), "{} got {forbidden:?}", request.target);
    let stamps: Vec<_> = request.headers.get_all(STAMP).iter().collect();
    let expected: &[&str] = if stamp { &["true"] } else { &[] };
    ensure!(stamps == expected, "{} got the stamp {stamps:?}", request.target);
    Ok(())
}

/// `a` and `b` list the same, `c` something more.
pub(crate) async fn skewed() -> Result<SimulatedPlane> {
    let old = || Discovery::of(&[EVERYBODYS, "/apis/apps/v1/deployments"]);
    let new = Discovery::of(&[EVERYBODYS, "/apis/apps/v1/deployments", THE_THIRDS])?;
    SimulatedPlane::start(vec![("a", old()?), ("b", old()?), ("c", new)]).await
}

/// What clients asked each server on a path.
fn asked(plane: &SimulatedPlane, path: &str) -> Vec<Vec<Recorded>> {
    // The fetcher asks for some of these too.
    let of = |server: &SimulatedServer| {
        let mut asked = server.requests_to(&Matcher::path(path));
        asked.retain(|request| !is_ours(request));
        asked
    };
    plane.servers.iter().map(of).collect()
}

fn forget(plane: &SimulatedPlane) {
    plane.servers.iter().for_each(SimulatedServer::forget_requests);
}

#[derive(Clone, Copy, PartialEq)]
enum Knows {
    Map,
    Nothing,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_clients_forge_reaches_a_server_or_chooses_one() {
    let plane = skewed().await.unwrap();
    let debug = |on| plane.balancer().setting("debug", json!(on));
    let mut mapped = debug(false).start().await.unwrap();
    mapped.all_confirmed().await.unwrap();
    // No map without discovery; the first balancer keeps what it has read.
    for server in &plane.servers {
        for path in ["/api", "/apis"] {
            server.set_fault(Matcher::path(path), Fault::status(StatusCode::FORBIDDEN));
        }
    }
    let mut unmapped = debug(false).start().await.unwrap();
    for (balancer, knows) in [(&mut mapped, Knows::Map), (&mut unmapped, Knows::Nothing)] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            for path in [EVERYBODYS, THE_THIRDS, NOBODYS, NO_API] {
                forget(&plane);
                let sent = send_forgeries(&plane, balancer, protocol, path).await.unwrap();
                let tried = arrived_untouched(&plane, path, knows, sent);
                tried.with_context(|| format!("{path} by {protocol:?}")).unwrap();
            }
        }
        no_vm_died(balancer).await.unwrap();
    }
}

/// Sends them all on one path, and returns how many they were.
async fn send_forgeries(
    plane: &SimulatedPlane,
    balancer: &Balancer,
    protocol: Protocol,
    path: &str,
) -> Result<usize> {
    let client = balancer.client(NOBODY_TOKEN, protocol)?;
    let first = plane.servers.first().context("no server")?.address().to_string();
    let requests = forgeries(Method::GET, path, &first);
    let status = if path == NOBODYS { 404 } else { 200 };
    for (request, answer) in requests.iter().zip(many_at_once(&client, &requests).await) {
        let answer = answer?;
        ensure!(answer.status == status, "{request:?}: {} {}", answer.status, answer.text());
        says_nothing_of_us(&answer)?;
    }
    Ok(requests.len())
}

/// Who was asked `sent` times, as if nothing had been forged.
fn arrived_untouched(plane: &SimulatedPlane, path: &str, knows: Knows, sent: usize) -> Result<()> {
    let asked = asked(plane, path);
    let stamp = path == THE_THIRDS && knows == Knows::Map;
    for request in asked.iter().flatten() {
        is_clean(request, stamp)?;
        let token = request.header("authorization");
        ensure!(token == Some(&format!("Bearer {NOBODY_TOKEN}")), "{:?}", request.headers);
    }
    let counts: Vec<usize> = asked.iter().map(Vec::len).collect();
    let is_right = match (path, knows) {
        // One answer each, and everybody had a turn.
        (EVERYBODYS | NO_API, _) => counts.iter().sum::<usize>() == sent && !counts.contains(&0),
        (THE_THIRDS, Knows::Map) => counts == [0, 0, sent],
        // Whoever is asked first; the third had to be asked each time.
        (THE_THIRDS, Knows::Nothing) => counts.last() == Some(&sent),
        // All of them, once each.
        _ => counts == [sent; 3],
    };
    ensure!(is_right, "the servers were asked {counts:?} times for {sent} requests");
    Ok(())
}

/// An error when an answer has a header that tells of Peerway or Envoy.
fn says_nothing_of_us(answer: &Answer) -> Result<()> {
    let ours = |name: &&HeaderName| {
        name.as_str().starts_with("x-peerway-") || name.as_str().starts_with("x-envoy-")
    };
    let ours: Vec<_> = answer.headers.keys().filter(ours).collect();
    ensure!(ours.is_empty(), "the client sees {ours:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_servers_forge_reaches_a_client_or_has_another_asked() {
    let plane = skewed().await.unwrap();
    let mut balancer = plane.balancer().setting("debug", json!(false)).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let forged = [
        ("x-peerway-ask-next", "true"),
        ("x-peerway-shape", "404 - 19 text/plain; charset=utf-8"),
        ("x-peerway-reason", "forged"),
        ("x-peerway-route", "peers"),
        ("x-envoy-overloaded", "true"),
        ("x-envoy-ratelimited", "true"),
        ("x-envoy-immediate-health-check-fail", "true"),
    ];
    let whole = Reply::new(StatusCode::OK).body("application/json", "{}");
    let reply = forged
        .into_iter()
        .fold(whole, |reply, (name, value)| reply.header(HeaderName::from_static(name), value));
    for server in &plane.servers {
        for path in [EVERYBODYS, THE_THIRDS] {
            server.set_fault(Matcher::path(path), Fault::Reply(reply.clone()));
        }
    }
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    for path in [EVERYBODYS, THE_THIRDS] {
        forget(&plane);
        for _ in 0..9 {
            let answer = client.get(path).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "{}"));
            says_nothing_of_us(&answer).unwrap();
        }
        let counts: Vec<_> = asked(&plane, path).iter().map(Vec::len).collect();
        let expected = if path == EVERYBODYS { [3; 3] } else { [0, 0, 9] };
        assert_eq!(counts, expected, "{path}");
    }
    no_vm_died(&mut balancer).await.unwrap();
}
