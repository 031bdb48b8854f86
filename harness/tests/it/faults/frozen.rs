//! Servers that stop answering without a word, and one that is only slow.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::{Method, StatusCode};
use peerway_core::discovery::ACCEPT;
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::process::wait_until;
use peerway_harness::simulated::{Discovery, Fault, Matcher, Reply};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::rig::{SOON, SimulatedPlane, no_vm_died};

const EVERYBODYS: &str = "/api/v1/namespaces";
/// Known to `new` alone.
const THE_NEW_ONES: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles";
const REQUESTS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_gets_no_new_request_and_those_it_has_are_answered_by_others() {
    let builder = ControlPlane::builder().server("old", "1.36.3").server("frozen", "1.37.2");
    let plane = builder.server("new", "1.37.2").start().await.unwrap();
    let mut balancer = Builder::before(&plane).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let clients = [Protocol::Http1, Protocol::Http2];
    let clients = clients.map(|protocol| balancer.client(ADMIN_TOKEN, protocol).unwrap());
    let read_all = async || {
        for client in &clients {
            let paths = [EVERYBODYS, THE_NEW_ONES].into_iter().cycle().take(REQUESTS);
            for answer in client.many(paths.map(Request::get).collect(), AT_A_TIME).await {
                let answer = answer.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        }
    };
    // So that each worker has a connection to each server.
    read_all().await;

    plane.freeze("frozen").await.unwrap();
    // In flight on connections that look well: each ends, and is answered by another server.
    read_all().await;
    balancer.wait_for_map("late or gone", |map| !is(map, "frozen", "confirmed")).await.unwrap();
    let address = plane.address("frozen").unwrap();
    let before = requests_to(&mut balancer, address).await.unwrap();
    read_all().await;
    for _ in 0..6 {
        let created = Request::new(Method::POST, EVERYBODYS).json(&json!({"metadata": {}}));
        let answer = clients[1].send(created).await.unwrap();
        assert_eq!(answer.status, 422, "{}", answer.text());
    }
    assert_eq!(requests_to(&mut balancer, address).await.unwrap(), before);

    plane.thaw("frozen").await.unwrap();
    balancer.server_is("frozen", "confirmed").await.unwrap();
    read_all().await;
    assert!(requests_to(&mut balancer, address).await.unwrap() > before);
    no_vm_died(&mut balancer).await.unwrap();
}

const AT_A_TIME: usize = 20;

fn is(map: &Value, name: &str, state: &str) -> bool {
    let servers = map["servers"].as_array().into_iter().flatten();
    servers.filter(|server| server["name"] == name).any(|server| server["state"] == state)
}

/// Requests of clients that a server was sent so far, answered or not.
async fn requests_to(balancer: &mut Balancer, address: &str) -> Result<u64> {
    let all = balancer.envoy().admin(Method::GET, "/clusters").await?.text();
    let of_server = all.lines().filter_map(|line| {
        let (cluster, rest) = line.split_once("::")?;
        let count = rest.strip_prefix(address)?.strip_prefix("::rq_total::")?;
        (!cluster.starts_with("fetch")).then(|| count.parse::<u64>())
    });
    let counts = of_server.collect::<Result<Vec<_>, _>>()?;
    (!counts.is_empty()).then(|| counts.iter().sum()).context("the server is in no cluster")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_late_once_is_not_gone_and_keeps_what_it_was_known_for() {
    let all = || Discovery::of(&[EVERYBODYS, THE_NEW_ONES]).unwrap();
    let plane = SimulatedPlane::start(vec![("a", all()), ("slow", all())]).await.unwrap();
    let (builder, listener) = plane.fetching(json!({"probeTimeout": "1s"})).unwrap();
    let mut balancer = builder.start().await.unwrap();
    listener.confirmed("slow").await.unwrap();
    let probe = Matcher::path("/readyz");
    let state = async |state: &str| {
        let holds = |server: &Value| server["state"] == state;
        listener.wait_for("slow", state, SOON, holds).await
    };
    // One that it hangs with, and is asked again after.
    plane.servers[1].set_fault(probe.clone(), Fault::SlowHead(Duration::from_secs(20)));
    let late = state("late").await.unwrap();
    assert_eq!(late["problem"], "/readyz: no answer in time");
    plane.servers[1].heal_all();
    state("confirmed").await.unwrap();
    let log = balancer.envoy().log().unwrap();
    assert!(!log.contains("is gone"), "{log}");

    plane.servers[1].set_fault(probe, Fault::Hang);
    state("gone").await.unwrap();
    plane.servers[1].heal_all();
    state("confirmed").await.unwrap();
    let gauge = "peerway_server_standing;server=slow;standing=";
    let confirmed = async || {
        let counters = balancer.counters().await.unwrap_or_default();
        let of = |standing: &str| counters.get(&format!("{gauge}{standing}")).copied();
        let looks = counters.get("peerway_looks_total;server=slow;outcome=late");
        looks.is_some_and(|late| *late > 3)
            && ["confirmed", "unknown", "late", "gone"].map(of) == [1, 0, 0, 0].map(Some)
    };
    wait_until("the gauges say so", SOON, confirmed).await.unwrap();
    no_vm_died(&mut balancer).await.unwrap();
}

/// The last server that was ready is not preferred for that to those that serve without being ready.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_ready_server_that_freezes_is_not_waited_for() {
    let all = || Discovery::of(&[EVERYBODYS, THE_NEW_ONES]).unwrap();
    let plane = SimulatedPlane::start(vec![("a", all()), ("b", all()), ("c", all())]);
    let plane = plane.await.unwrap();
    let mut balancer = plane.balancer().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let [a, b, c] = &plane.servers[..] else { panic!("not three servers") };
    for (name, server) in [("a", a), ("b", b)] {
        let failed = Reply::new(StatusCode::INTERNAL_SERVER_ERROR);
        server.set_fault(Matcher::path("/readyz"), Fault::Reply(failed));
        balancer.server_is(name, "gone").await.unwrap();
    }
    // Longer ago than what fails all servers at once.
    tokio::time::sleep(Duration::from_secs(5)).await;
    c.set_fault(Matcher::prefix("/"), Fault::Hang);
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    let client = client.with_deadline(Duration::from_secs(2));
    let discovery = Request::get("/apis").header("accept", ACCEPT);
    let served = async || {
        c.forget_requests();
        for request in [Request::get(EVERYBODYS), discovery.clone()] {
            let answer = client.send(request).await;
            if !answer.is_ok_and(|answer| answer.status == 200) {
                return false;
            }
        }
        c.requests_to(&Matcher::path(EVERYBODYS)).is_empty()
    };
    wait_until("the others are asked", SOON, served).await.unwrap();
    no_vm_died(&mut balancer).await.unwrap();
}

/// Over HTTP/2, pings find out; this asks the kernel what TCP waits for.
#[tokio::test(flavor = "multi_thread")]
async fn over_http1_tcp_itself_asks_for_a_sign_of_life() {
    let all = Discovery::of(&[EVERYBODYS, THE_NEW_ONES]).unwrap();
    let plane = SimulatedPlane::start(vec![("a", all)]).await.unwrap();
    let mut balancer = plane.balancer().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let here = Matcher::path(EVERYBODYS);
    plane.servers[0].set_fault(here.clone(), Fault::Hang);
    // Callers without credentials take the lane of upgrades.
    let client = balancer.stranger(Protocol::Http2).unwrap();
    let waiting = tokio::spawn(async move { client.get(EVERYBODYS).await });
    let asked = || plane.servers[0].requests_to(&here).first().cloned();
    wait_until("asked", SOON, async || asked().is_some()).await.unwrap();
    let (request, server) = (asked().unwrap(), plane.servers[0].address());
    assert_eq!(request.version, hyper::Version::HTTP_11);
    let waits = async || matches!(timer(request.peer, server), Ok((KEEPALIVE, ..=FIRST_PROBE)));
    wait_until("waiting for a sign of life", SOON, waits).await.unwrap();
    waiting.abort();

    // A client that has gone without a word is asked too.
    let client = TcpStream::connect(balancer.address()).await.unwrap();
    let (near, far) = (balancer.address(), client.local_addr().unwrap());
    let waits = async || matches!(timer(near, far), Ok((KEEPALIVE, ..=FIRST_PROBE_OF_A_CLIENT)));
    wait_until("waiting for the client's sign of life", SOON, waits).await.unwrap();
    no_vm_died(&mut balancer).await.unwrap();
}

/// Which timer runs at the near end of the connection from `near` to `far`, and until when, in
/// hundredths of a second.
fn timer(near: SocketAddr, far: SocketAddr) -> Result<(u8, u64)> {
    // What has ended is in the table a while longer, and its port may be in use again, towards
    // another server.
    let ends = [in_table(near)?, in_table(far)?];
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let of_it = table.lines().find(|line| line.split_whitespace().skip(1).take(2).eq(&ends));
    let field =
        of_it.and_then(|line| line.split_whitespace().nth(5)).context("no such connection")?;
    let (which, until) = field.split_once(':').context("no timer")?;
    Ok((u8::from_str_radix(which, 16)?, u64::from_str_radix(until, 16)?))
}

/// An address as it stands in `/proc/net/tcp`.
fn in_table(address: SocketAddr) -> Result<String> {
    let IpAddr::V4(ip) = address.ip() else { bail!("{address} is not in this table") };
    Ok(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()))
}

/// As `/proc/net/tcp` calls that timer.
const KEEPALIVE: u8 = 2;
/// Five seconds.
const FIRST_PROBE: u64 = 500;
/// A minute.
const FIRST_PROBE_OF_A_CLIENT: u64 = 6_000;
