//! What is sent once, whatever becomes of it: a command in a pod, or what a program behind a server
//! does, must not be done twice.

use anyhow::{Context, Result, ensure};
use hyper::Method;
use peerway_harness::balancer::Balancer;
use peerway_harness::client::{Protocol, Request};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::simulated::{Discovery, Fault, Matcher, Reply};
use serde_json::json;

use crate::rig::{SimulatedPlane, no_vm_died};

const PODS: &str = "/api/v1/pods";
const EXEC: &str = "/api/v1/namespaces/default/pods/p/exec";
const PROXY: &str = "/api/v1/namespaces/default/services/s/proxy";
/// Only `c` lists it.
const THE_THIRDS: &str = "/apis/example.com/v1/things";

const WEBSOCKET: Option<&str> = Some("websocket");
const SPDY: Option<&str> = Some("SPDY/3.1");

/// Method, path, and the protocol that is wished for.
fn once() -> [(Method, &'static str, Option<&'static str>); 7] {
    [
        (Method::GET, EXEC, WEBSOCKET),
        (Method::POST, EXEC, SPDY),
        // A WebSocket watch: a GET, and an upgrade.
        (Method::GET, PODS, WEBSOCKET),
        (Method::GET, THE_THIRDS, WEBSOCKET),
        (Method::GET, PROXY, WEBSOCKET),
        (Method::GET, PROXY, None),
        (Method::POST, PROXY, None),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_anything_is_sent_once_also_when_its_server_falls_over() {
    let subresources = ["/api/v1/pods/exec", "/api/v1/services/proxy"];
    let listed = [&[PODS, "/apis/apps/v1/deployments"][..], &subresources].concat();
    let old = || Discovery::of(&listed).unwrap();
    let new = Discovery::of(&[&listed[..], &[THE_THIRDS]].concat()).unwrap();
    let plane = SimulatedPlane::start(vec![("a", old()), ("b", old()), ("c", new)]).await.unwrap();
    let start = || plane.balancer().identity(&plane.pki).setting("startupWait", json!("0s"));
    let mut mapped = start().start().await.unwrap();
    mapped.all_confirmed().await.unwrap();
    for server in &plane.servers {
        for path in ["/api", "/apis"] {
            let unreadable = Fault::Reply(Reply::new(hyper::StatusCode::FORBIDDEN));
            server.set_fault(Matcher::path(path), unreadable);
        }
        for path in [PODS, EXEC, PROXY, THE_THIRDS] {
            server.set_fault(Matcher::path(path), Fault::Cut);
        }
    }
    let mut unmapped = start().start().await.unwrap();
    for (knows, balancer) in [("a map", &mapped), ("no map", &unmapped)] {
        for (method, path, upgrade) in once() {
            let asked = asked(&plane, balancer, (&method, path, upgrade)).await;
            let (times, status) = asked.with_context(|| path.to_owned()).unwrap();
            assert_eq!((times, status), (1, 502), "{knows}: {method} {path} {upgrade:?}");
        }
        // What is no more than a read is asked of the others.
        let (times, _) = asked(&plane, balancer, (&Method::GET, PODS, None)).await.unwrap();
        assert!(times >= plane.servers.len(), "{knows}: {times}");
    }
    no_vm_died(&mut mapped).await.unwrap();
    no_vm_died(&mut unmapped).await.unwrap();
}

/// How often servers had the request, and what its sender was told.
async fn asked(
    plane: &SimulatedPlane,
    balancer: &Balancer,
    (method, path, upgrade): (&Method, &str, Option<&str>),
) -> Result<(usize, u16)> {
    plane.servers.iter().for_each(|server| server.forget_requests());
    let mut request = Request::new(method.clone(), path);
    if let Some(protocol) = upgrade {
        request = request.header("Connection", "Upgrade").header("Upgrade", protocol);
        request = request.header("Sec-WebSocket-Version", "13");
    }
    let answer = balancer.client(ADMIN_TOKEN, Protocol::Http1)?.raw(request).await?;
    let asks_again = answer.status == 502 && answer.header("retry-after").is_some();
    ensure!(!asks_again, "{answer:?}");
    let of_path = Matcher::path(path);
    let times = plane.servers.iter().map(|server| server.requests_to(&of_path).len()).sum();
    Ok((times, answer.status.as_u16()))
}
