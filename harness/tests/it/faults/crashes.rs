//! VMs that a panic kills: the fetcher's beside a server that is down, a router's, a witness's.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hyper::Method;
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Answer, Client, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::module::Module;
use peerway_harness::process::{Signal, wait_until};
use peerway_harness::simulated::{Matcher, SimulatedServer};
use serde_json::{Value, json};

use super::asks_to_come_back;
use crate::bad_input::{forgeries, is_clean, skewed};
use crate::rig::{PATIENCE, SOON, deaths, server_in, thread};

/// Only 1.37 has it.
const THE_NEW_ONES: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles";
/// Only the third of the simulated servers has it.
const THE_THIRDS: &str = "/apis/example.com/v1/things";
const NOBODYS: &str = "/apis/no.such.group/v1/things";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// How long nobody may poll when the VM that did is dead.
const RECOVERY: Duration = Duration::from_secs(2);
/// A VM whose lease was not renewed for this long has lost it to whoever looks first.
const LEASE: Duration = Duration::from_millis(800);

#[tokio::test(flavor = "multi_thread")]
async fn fetchers_that_crash_while_a_server_is_down_lose_nothing_and_disturb_nobody() {
    let builder = ControlPlane::builder().server("old", "1.36.3").server("new", "1.37.2");
    let plane = builder.start().await.unwrap();
    let mut balancers = Vec::new();
    for workers in [2, 4] {
        let builder = Builder::before(&plane).module(Module::Panicking).workers(workers);
        let balancer = builder.start().await.unwrap();
        balancer.all_confirmed().await.unwrap();
        balancers.push((workers, balancer));
    }
    plane.kill("new").await.unwrap();

    for (workers, mut balancer) in balancers {
        balancer.server_is("new", "gone").await.unwrap();
        let known = known_of_the_dead(&balancer).await.unwrap();
        let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
        let listed = client.get(MAPS).await.unwrap().json().unwrap();
        let version = listed["metadata"]["resourceVersion"].as_str().unwrap();
        let watch = Request::get(format!("{MAPS}?watch=1&resourceVersion={version}"));
        let mut watch = client.lines(watch).await.unwrap();

        a_worker_polls(&mut balancer).await.unwrap();
        every_fetcher_dies_in_turn(&mut balancer, workers).await.unwrap();

        assert_eq!(known_of_the_dead(&balancer).await.unwrap(), known);
        let polled = |map: &Value| server_in(map, "old").is_ok_and(|old| is_fresh(&old));
        balancer.wait_for_map("the living one is looked at", polled).await.unwrap();
        for _ in 0..3 * workers {
            // A connection each, so that each worker has some.
            let only_new = client.raw(Request::get(THE_NEW_ONES)).await.unwrap();
            asks_to_come_back(&only_new).unwrap();
            assert_eq!(only_new.header("x-peerway-reason"), Some("listed-by-unconfirmed"));
            assert_eq!(client.raw(Request::get(NOBODYS)).await.unwrap().status, 404);
        }
        let name = format!("after-{workers}-workers");
        let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}});
        assert_eq!(client.post(MAPS, &map).await.unwrap().status, 201);
        let event = watch.next(SOON).await.unwrap().expect("the watch is open");
        let event: Value = serde_json::from_slice(&event).unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["metadata"]["name"]),
            (&json!("ADDED"), &json!(name))
        );
    }
}

/// What `/map` lists of the server that is down.
async fn known_of_the_dead(balancer: &Balancer) -> Result<(Value, Value)> {
    let new = server_in(&balancer.map().await?, "new")?;
    ensure!(new["state"] == "gone", "{new}");
    let only_it = new["notEverywhere"].clone();
    let listed = only_it.as_array().is_some_and(|apis| {
        apis.iter().any(|api| api == "certificates.k8s.io/v1/clustertrustbundles/")
    });
    ensure!(listed, "{new}");
    Ok((new["apis"].clone(), only_it))
}

fn is_fresh(server: &Value) -> bool {
    let age = server["probeAgeMs"].as_u64();
    age.is_some_and(|age| u128::from(age) < RECOVERY.as_millis())
}

/// Makes a worker's VM the one that polls. At first it is the main thread's, which no request, and
/// so no panic of ours, can reach.
pub(super) async fn a_worker_polls(balancer: &mut Balancer) -> Result<()> {
    let main = balancer.envoy().process().id();
    for _ in 0..MOST_FREEZES {
        if polling_thread(balancer).await? != main {
            return Ok(());
        }
        balancer.envoy().process().signal(Signal::STOP)?;
        // Not a wait: all of Envoy has to miss the time in which the lease is to be renewed.
        tokio::time::sleep(LEASE).await;
        balancer.envoy().process().signal(Signal::CONT)?;
    }
    bail!("the main thread won the lease {MOST_FREEZES} times")
}

/// The thread whose VM polls: the only one that writes shared data.
async fn polling_thread(balancer: &mut Balancer) -> Result<u32> {
    let envoy = balancer.envoy();
    let earlier = envoy.log()?.len();
    envoy.admin(Method::POST, "/logging?wasm=trace").await?;
    let writer = || {
        let log = envoy.log().ok()?;
        let mut lines = log.get(earlier..)?.lines();
        thread(lines.find(|line| line.contains("[vm->host] env.proxy_set_shared_data("))?).ok()
    };
    let waited = wait_until("a fetcher at work", SOON, async || writer().is_some()).await;
    envoy.admin(Method::POST, "/logging?wasm=info").await?;
    waited?;
    writer().context("no fetcher at work")
}

/// Kills the fetcher's VM of one worker after the other. After each death, polling goes on without
/// any other request that could bring a VM back.
pub(super) async fn every_fetcher_dies_in_turn(
    balancer: &mut Balancer,
    workers: u32,
) -> Result<()> {
    // HTTP/2 ends with the answer, HTTP/1.1 a second after it.
    let fetcher = Client::plain(balancer.fetcher()?.address(), Protocol::Http2)?;
    let mut dead = BTreeSet::new();
    let deadline = Instant::now() + SOON;
    while dead.len() < workers as usize {
        ensure!(Instant::now() < deadline, "only VMs of {dead:?} of {workers} died");
        // On a connection of its own: the kernel chooses the worker.
        let answer = fetcher.raw(Request::get("/peerway-test-panic/fetcher")).await?;
        ensure!(answer.status == 503, "{}", answer.status);
        let before = dead.len();
        dead.extend(deaths(balancer)?);
        if dead.len() > before {
            polls_again(balancer).await?;
        }
    }
    Ok(())
}

/// More answers of discovery than could be under way when this is called.
async fn polls_again(balancer: &mut Balancer) -> Result<()> {
    const ANSWERED: &str = "cluster.fetch.upstream_rq_completed";
    let envoy = balancer.envoy();
    let before = envoy.counter(ANSWERED).await?;
    let more = async || envoy.counter(ANSWERED).await.is_ok_and(|now| now > before + UNDER_WAY);
    wait_until("polling", RECOVERY * PATIENCE, more).await
}

/// `/readyz` of both servers, or both roots of discovery.
const UNDER_WAY: u64 = 3;
/// With two workers the main thread wins one race in three.
const MOST_FREEZES: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_next_request_is_served_right() {
    let plane = skewed().await.unwrap();
    let mut balancer = plane.balancer().module(Module::Panicking).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let client = || balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    // One on each of two workers, and so on VMs of its own.
    let clients = [client(), client()];
    // Discovery of a group that nobody has goes through `peers`, and so to the witness.
    for (crash, status) in
        [("/peerway-test-panic/router", 503), ("/apis/peerway-test-panic/witness", 502)]
    {
        for client in &clients {
            let crashed = deaths(&mut balancer).unwrap().len();
            let answer = client.get(crash).await.unwrap();
            assert_eq!(answer.status, status, "{crash}: {}", answer.text());
            assert_eq!(deaths(&mut balancer).unwrap().len(), crashed + 1, "{crash}");

            let served = served_again(client).await.unwrap();
            assert_eq!(served.json().unwrap()["server"], "c", "after {crash}");
            assert_eq!(served.header("x-peerway-reason"), Some("listed-by-some"));
            assert_eq!(client.get(NOBODYS).await.unwrap().status, 404, "after {crash}");
            assert_eq!(client.get("/api/v1/pods").await.unwrap().status, 200, "after {crash}");
        }
    }
}

/// A new VM is made after a pause of at most half a second. Until then nothing is executed, and
/// clients are told to come back.
async fn served_again(client: &Client) -> Result<Answer> {
    let deadline = Instant::now() + RECOVERY;
    loop {
        let answer = client.get(THE_THIRDS).await?;
        if answer.status == 200 || Instant::now() > deadline {
            return Ok(answer);
        }
        asks_to_come_back(&answer)?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn also_while_routers_crash_nothing_that_clients_forge_chooses_a_server() {
    let plane = skewed().await.unwrap();
    let balancer = plane.balancer().module(Module::Panicking).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let first = plane.servers[0].address().to_string();
    let (mut served, mut refused) = (0, 0);
    let deadline = Instant::now() + SOON;
    while served < ENOUGH || refused < ENOUGH {
        assert!(Instant::now() < deadline, "{served} requests were served, {refused} refused");
        let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
        // A VM that has lived for a while is replaced at once; one that crashes again is waited for.
        for _ in 0..3 {
            client.get("/peerway-test-panic/router").await.unwrap();
        }
        for request in forgeries(Method::GET, THE_THIRDS, &first) {
            let answer = client.send(request).await.unwrap();
            match answer.status.as_u16() {
                200 => served += 1,
                _ => {
                    asks_to_come_back(&answer).unwrap();
                    refused += 1;
                }
            }
        }
    }
    let [a, b, c] = &plane.servers[..] else { panic!("not three servers") };
    let asked = |server: &SimulatedServer| server.requests_to(&Matcher::path(THE_THIRDS));
    assert_eq!((asked(a).len(), asked(b).len(), asked(c).len()), (0, 0, served));
    for request in asked(c) {
        is_clean(&request, true).unwrap();
    }
}

/// Both while the VM is there and while it is not.
const ENOUGH: usize = 50;
