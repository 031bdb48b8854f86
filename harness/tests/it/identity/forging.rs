//! Forged headers on every lane: token, nobody and certificate, HTTP/1.1, HTTP/2 and upgrades, with the
//! router's VM healthy and crashed. Simulated servers, which tell what reached them.

use anyhow::{Context, Result, ensure};
use hyper::{HeaderMap, Method, StatusCode};
use peerway_harness::balancer::Balancer;
use peerway_harness::client::{Client, Protocol, Request};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::module::Module;
use peerway_harness::pki::Identity;
use peerway_harness::simulated::{Fault, Matcher, Recorded, Reply};
use serde_json::json;

use crate::bad_input::{forgeries, many_at_once, skewed};
use crate::rig::{SimulatedPlane, no_vm_died};

/// What every server lists, and what only `c` does.
const PATHS: [&str; 2] = ["/api/v1/pods", "/apis/example.com/v1/things"];

/// How a caller proves who it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Caller {
    Token,
    Nobody,
    Certificate,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Http1,
    Http2,
    Upgrade,
}

const CALLERS: [Caller; 3] = [Caller::Token, Caller::Nobody, Caller::Certificate];
const WAYS: [Way; 3] = [Way::Http1, Way::Http2, Way::Upgrade];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_forged_makes_anybody_of_a_caller_on_any_lane() {
    let plane = skewed().await.unwrap();
    let jane = plane.pki.user_authority.client("jane", &["dev", "ops"]).unwrap();
    let mut balancer = plane.balancer().identity(&plane.pki).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let mut sent = 0;
    for path in PATHS {
        for caller in CALLERS {
            for way in WAYS {
                let requests = requests(&plane, way, path).unwrap();
                let client = client(&balancer, caller, way, &jane).unwrap();
                plane.servers.iter().for_each(|server| server.forget_requests());
                for (request, answer) in requests.iter().zip(many_at_once(&client, &requests).await)
                {
                    let status = answer.unwrap().status;
                    assert_eq!(status, 200, "{caller:?} {way:?} {request:?}");
                }
                let tried = arrived_as(&plane, path, caller, way, requests.len());
                tried.with_context(|| format!("{path} {caller:?} {way:?}")).unwrap();
                sent += requests.len();
            }
        }
    }
    assert!(sent >= 500, "{sent}");
    no_vm_died(&mut balancer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_while_the_router_crashes() {
    let plane = skewed().await.unwrap();
    let jane = plane.pki.user_authority.client("jane", &["dev", "ops"]).unwrap();
    let builder = plane.balancer().identity(&plane.pki).module(Module::Panicking);
    let balancer = builder.start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    for caller in CALLERS {
        for way in WAYS {
            let requests = requests(&plane, way, PATHS[1]).unwrap();
            let client = client(&balancer, caller, way, &jane).unwrap();
            plane.servers.iter().for_each(|server| server.forget_requests());
            // All at the same time: some meet the old VM, some none, some a new one.
            let crash = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
            let crashing = async {
                for _ in 0..3 {
                    crash.raw(Request::get("/peerway-test-panic/router")).await.unwrap();
                }
            };
            let (answers, ()) = tokio::join!(many_at_once(&client, &requests), crashing);
            let mut served = 0;
            for answer in answers {
                // A stream of a VM that crashes may end without an answer.
                let Ok(answer) = answer else { continue };
                served += usize::from(answer.status == 200);
                assert!([200, 502, 503].contains(&answer.status.as_u16()), "{}", answer.status);
            }
            let tried = arrived_as(&plane, PATHS[1], caller, way, served);
            tried.with_context(|| format!("{caller:?} {way:?}")).unwrap();
        }
    }
}

/// Attempts share their headers: what is taken away on the way to the first server is not there on the
/// way to the next.
#[tokio::test(flavor = "multi_thread")]
async fn every_server_that_is_asked_sees_the_same_caller() {
    let plane = skewed().await.unwrap();
    // So that there is no map.
    for server in &plane.servers {
        let unreadable = || Fault::Reply(Reply::new(StatusCode::FORBIDDEN));
        server.set_fault(Matcher::path("/api"), unreadable());
        server.set_fault(Matcher::path("/apis"), unreadable());
    }
    let jane = plane.pki.user_authority.client("jane", &["dev", "ops"]).unwrap();
    let builder = plane.balancer().identity(&plane.pki).setting("startupWait", json!("0s"));
    let balancer = builder.start().await.unwrap();
    for caller in CALLERS {
        for way in [Way::Http1, Way::Http2] {
            let client = client(&balancer, caller, way, &jane).unwrap();
            plane.servers.iter().for_each(|server| server.forget_requests());
            let requests = vec![Request::get(PATHS[1]); 20];
            for answer in many_at_once(&client, &requests).await {
                assert_eq!(answer.unwrap().status, 200, "{caller:?} {way:?}");
            }
            for server in &plane.servers {
                let asked = server.requests_to(&Matcher::path(PATHS[1]));
                assert!(!asked.is_empty(), "{} was not asked", server.name());
                for request in asked {
                    let is_it = is_who_it_is(&request.headers, caller, way);
                    is_it.with_context(|| format!("{caller:?} {way:?}")).unwrap();
                }
            }
        }
    }
}

/// Bytes behind an upgrade are the business of the two ends once the server has agreed to it, and a
/// request like any other before.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_hides_behind_an_upgrade_that_the_server_does_not_agree_to() {
    const HIDDEN: &str = "/api/v1/namespaces/hidden/pods";
    let plane = skewed().await.unwrap();
    let jane = plane.pki.user_authority.client("jane", &["dev", "ops"]).unwrap();
    let balancer = plane.balancer().identity(&plane.pki).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let websocket =
        "websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
    for caller in CALLERS {
        for (path, protocol) in
            PATHS.iter().flat_map(|path| ["SPDY/3.1", websocket].map(|it| (path, it)))
        {
            let client = client(&balancer, caller, Way::Http1, &jane).unwrap();
            let first = format!(
                "{path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n\
                 GET {HIDDEN}"
            );
            let request = Request::get(first).header("X-Remote-User", "root");
            let _ = client.raw(request.header("X-Remote-Group", "system:masters")).await;
            for server in &plane.servers {
                for request in server.requests_to(&Matcher::path(HIDDEN)) {
                    let forged = request.headers.get("x-remote-user");
                    assert!(forged.is_none_or(|it| it == "jane"), "{caller:?}: {request:?}");
                }
            }
        }
    }
}

fn client(balancer: &Balancer, caller: Caller, way: Way, jane: &Identity) -> Result<Client> {
    let protocol = if way == Way::Http2 { Protocol::Http2 } else { Protocol::Http1 };
    match caller {
        Caller::Token => balancer.client(ADMIN_TOKEN, protocol),
        Caller::Nobody => balancer.stranger(protocol),
        Caller::Certificate => balancer.client_with(jane, protocol),
    }
}

/// What a client could hope to gain by, beside the headers of the other test.
const MORE: [(&str, &str); 6] = [
    ("X-Peerway-Certificate", "0000000000000000000000000000000000000000000000000000000000000000"),
    ("x-remote-extra-authentication.kubernetes.io%2fcredential-id", "X509SHA256=00"),
    ("X-Forwarded-For", "1.2.3.4"),
    ("x-forwarded-for", "1.2.3.4, 5.6.7.8"),
    ("X-Real-Ip", "1.2.3.4"),
    ("x-forwarded-client-cert", "Hash=00;Subject=\"CN=root,O=system:masters\""),
];

fn requests(plane: &SimulatedPlane, way: Way, path: &str) -> Result<Vec<Request>> {
    let first = plane.servers.first().context("no server")?.address().to_string();
    let mut requests = forgeries(Method::GET, path, &first);
    let more = MORE.map(|(name, value)| Request::get(path).header(name, value));
    requests.extend(more);
    if way != Way::Http2 {
        // Nominated, so that the next hop takes them away.
        let nominated = "x-remote-user, x-remote-group, x-peerway-certificate";
        let connection = if way == Way::Upgrade { "Upgrade, " } else { "close, " };
        let request = Request::get(path).header("X-Remote-User", "root");
        requests.push(request.header("Connection", format!("{connection}{nominated}")));
    }
    if way == Way::Upgrade {
        let upgrading = |request: Request| {
            let has_connection = request.has("connection");
            let request =
                request.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
            if has_connection { request } else { request.header("Connection", "Upgrade") }
        };
        requests = requests.into_iter().map(upgrading).collect();
    }
    Ok(requests)
}

/// An error unless the servers saw the caller as it is, `served` times or a little more.
fn arrived_as(
    plane: &SimulatedPlane,
    path: &str,
    caller: Caller,
    way: Way,
    served: usize,
) -> Result<()> {
    let asked = |server: &peerway_harness::simulated::SimulatedServer| {
        server.requests_to(&Matcher::path(path))
    };
    let seen: Vec<Vec<Recorded>> = plane.servers.iter().map(asked).collect();
    for request in seen.iter().flatten() {
        is_who_it_is(&request.headers, caller, way)
            .with_context(|| format!("a server got {:?}", request.headers))?;
    }
    let counts: Vec<usize> = seen.iter().map(Vec::len).collect();
    ensure!(counts.iter().sum::<usize>() >= served, "{counts:?} for {served}");
    if path == PATHS[1] {
        ensure!(counts.iter().take(2).all(|count| *count == 0), "{counts:?}");
    }
    Ok(())
}

fn is_who_it_is(headers: &HeaderMap, caller: Caller, way: Way) -> Result<()> {
    let all = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    let mut said: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    said.retain(|name| {
        let ours = ["x-remote", "x_remote", "x-peerway-", "x-envoy-", "x-gateway-", "x-real-"];
        ours.iter().any(|prefix| name.starts_with(prefix)) || *name == "x-forwarded-client-cert"
    });
    said.sort_unstable();
    let id = "x-remote-extra-authentication.kubernetes.io%2fcredential-id";
    if caller == Caller::Certificate {
        ensure!(said == [id, "x-remote-group", "x-remote-user"], "{said:?}");
        ensure!(all("x-remote-user") == ["jane"] && all("x-remote-group") == ["dev", "ops"]);
        let [id] = &all(id)[..] else { anyhow::bail!("not one credential") };
        let digest = id.strip_prefix("X509SHA256=").context("no digest")?;
        ensure!(digest.len() == 64 && !digest.starts_with("00000000"), "{id}");
    } else {
        ensure!(said.is_empty(), "{said:?}");
    }
    let token =
        if caller == Caller::Token { vec![format!("Bearer {ADMIN_TOKEN}")] } else { vec![] };
    ensure!(all("authorization") == token);
    let [from] = &all("x-forwarded-for")[..] else { anyhow::bail!("not one source address") };
    ensure!(from.parse::<std::net::IpAddr>().is_ok() && from != "1.2.3.4", "{from}");
    let connection: &[&str] = if way == Way::Upgrade { &["Upgrade"] } else { &[] };
    ensure!(all("connection") == connection);
    Ok(())
}
