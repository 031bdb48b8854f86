//! What being left alone costs and changes, beside what `same_bytes` compares: calls of the host,
//! and streams and bodies of a real server.

use anyhow::{Context, Result, ensure};
use hyper::Method;
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::process::wait_until;
use peerway_harness::simulated::Discovery;
use serde_json::{Value, json};

use crate::rig::{SOON, SimulatedPlane, thread};

const PODS: &str = "/api/v1/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Most calls of the host for a request that is left alone.
const MOST_CALLS: usize = 3;
/// Headers that no other request through this Envoy has so many of.
const HEADERS: usize = 40;
const REQUESTS: usize = 10;

/// Counted in Envoy's own trace of what crosses the border of a VM.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_left_alone_costs_at_most_three_calls_of_the_host() {
    let lists = || Discovery::of(&[PODS, "/apis/apps/v1/deployments"]).unwrap();
    let plane = SimulatedPlane::start(vec![("a", lists()), ("b", lists())]).await.unwrap();
    let mut balancer = plane.balancer().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    assert_eq!(client.get(PODS).await.unwrap().header("x-peerway-reason"), None);

    let envoy = balancer.envoy();
    let earlier = envoy.log().unwrap().len();
    envoy.admin(Method::POST, "/logging?wasm=trace").await.unwrap();
    let request =
        (0..HEADERS).fold(Request::get(PODS), |all, at| all.header(&format!("x-{at}"), "v"));
    for _ in 0..REQUESTS {
        assert_eq!(client.send(request.clone()).await.unwrap().status, 200);
    }
    let calls = || calls_of_requests(envoy.log().ok()?.get(earlier..)?).ok();
    let all_traced = async || calls().is_some_and(|calls| calls.len() == REQUESTS);
    wait_until("every request is traced", SOON, all_traced).await.unwrap();
    envoy.admin(Method::POST, "/logging?wasm=info").await.unwrap();
    for calls in calls().unwrap() {
        assert!((1..=MOST_CALLS).contains(&calls.len()), "{calls:?}");
    }
}

/// The host calls of each request that has [`HEADERS`], from the trace. An error when another
/// callback of any stream makes a call: only ticks and the fetcher's requests may.
fn calls_of_requests(trace: &str) -> Result<Vec<Vec<String>>> {
    let mut requests = Vec::new();
    let mut threads = std::collections::BTreeMap::<u32, (String, Vec<String>)>::new();
    for line in trace.lines().filter(|line| line.contains("][trace][wasm]")) {
        let (callback, calls) = threads.entry(thread(line)?).or_default();
        if let Some(entered) = line.split("[host->vm] proxy_").nth(1) {
            *callback = entered.to_owned();
            calls.clear();
        } else if let Some(called) = line.split("[vm->host] ").nth(1) {
            let silent = ["on_response", "on_log", "on_done", "on_delete"];
            let is_silent = silent.iter().any(|name| callback.starts_with(name));
            ensure!(!is_silent, "{callback} calls {called}");
            calls.push(called.to_owned());
        } else if line.contains("[host<-vm] proxy_on_request_headers") && is_ours(callback) {
            requests.push(std::mem::take(calls));
        }
    }
    Ok(requests)
}

/// `on_request_headers(stream, number of headers, end of stream)`.
fn is_ours(callback: &str) -> bool {
    let count =
        callback.strip_prefix("on_request_headers(").and_then(|rest| rest.split(", ").nth(1));
    count.and_then(|count| count.parse::<usize>().ok()).is_some_and(|count| count >= HEADERS)
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_and_written_objects_are_those_of_a_plain_envoy() {
    let builder = ControlPlane::builder().server("a", "1.36.3").server("b", "1.36.3");
    let plane = builder.start().await.unwrap();
    let peerway = Builder::before(&plane).start().await.unwrap();
    peerway.all_confirmed().await.unwrap();
    let plain = Builder::before(&plane).plain().start().await.unwrap();
    let since = version(&peerway).await.unwrap();
    let mut written = Vec::new();
    for (balancer, name) in [(&peerway, "peerway"), (&plain, "plain")] {
        written.push(write(balancer, name).await.unwrap());
    }
    assert_eq!(written[0], written[1]);
    assert_eq!(watched(&peerway, &since).await.unwrap(), watched(&plain, &since).await.unwrap());
}

/// Creates, replaces, changes and deletes an object; what came back, without what each object
/// has of its own.
async fn write(balancer: &Balancer, name: &str) -> Result<Vec<(u16, Value)>> {
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2)?;
    let path = format!("{MAPS}/{name}");
    let metadata = json!({"name": name});
    let map = |data: &str| {
        let data = json!({"d": data});
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data})
    };
    let odd = "\u{0}\u{e4}\u{1f600}\r\n".repeat(10_000);
    let answers = [
        client.post(MAPS, &map("a")).await?,
        client.put(&path, &map(&odd)).await?,
        client.patch(&path, &json!({"data": {"e": odd}})).await?,
        client.get(&path).await?,
        client.delete(&path).await?,
    ];
    let kept = |answer: &peerway_harness::client::Answer| {
        let data = answer.json()?["data"].clone();
        Ok((answer.status.as_u16(), data))
    };
    let kept: Result<Vec<_>> = answers.iter().map(kept).collect();
    let kept = kept?;
    let data = &kept.get(3).context("no object was read")?.1;
    ensure!(*data == json!({"d": odd, "e": odd}), "{name} is not what was written");
    Ok(kept)
}

async fn version(balancer: &Balancer) -> Result<String> {
    let listed = balancer.client(ADMIN_TOKEN, Protocol::Http2)?.get(MAPS).await?.json()?;
    Ok(listed["metadata"]["resourceVersion"].as_str().context("no version")?.to_owned())
}

/// Head and events of a watch that begins in the past: eight, four for each object.
async fn watched(balancer: &Balancer, since: &str) -> Result<Vec<String>> {
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2)?;
    let watch = Request::get(format!("{MAPS}?watch=1&resourceVersion={since}"));
    let mut lines = client.lines(watch).await?;
    let mut headers = lines.headers().clone();
    for of_each_answer in ["date", "audit-id"] {
        headers.remove(of_each_answer);
    }
    let mut all = vec![format!("{} {headers:?}", lines.status())];
    for _ in 0..8 {
        let line = lines.next(SOON).await?.context("the watch ended")?;
        all.push(String::from_utf8(line.to_vec())?);
    }
    Ok(all)
}
