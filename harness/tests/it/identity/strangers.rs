//! Callers whom servers do not let in: after each answer to one, a server closes the HTTP/2 connection
//! that it came over. The others' watches live on, and their requests succeed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peerway_harness::balancer::Builder;
use peerway_harness::client::{Client, Lines, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use serde_json::{Value, json};
use tokio::time::interval;

use crate::rig::{SOON, no_vm_died};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Requests of the caller that is not let in, one each 10 ms.
const TIMES: usize = 300;
/// Watches of each kind of caller.
const WATCHES: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_bad_credentials_100_times_a_second_disturbs_nobody() {
    let builder = ControlPlane::builder().server("old", "1.36.3").server("new", "1.37.2");
    let plane = builder.start().await.unwrap();
    // One worker: all share their connections upstream.
    let mut balancer =
        Builder::before(&plane).identity(plane.pki()).workers(1).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let root = plane.pki().user_authority.client("root", &["system:masters"]).unwrap();
    let nobody = plane.pki().user_authority.client("nobody", &[]).unwrap();
    let good = [
        balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap(),
        balancer.client_with(&root, Protocol::Http2).unwrap(),
    ];
    let mut watches = Vec::new();
    for client in &good {
        for _ in 0..WATCHES {
            watches.push(watch(client).await.unwrap());
        }
    }
    let nameless = plane.pki().user_authority.client("", &["system:masters"]).unwrap();
    let bad: [(&str, Client, &[u16]); 4] = [
        ("no credentials", balancer.stranger(Protocol::Http2).unwrap(), &[200, 403]),
        ("no rights", balancer.client_with(&nobody, Protocol::Http2).unwrap(), &[403]),
        // On the others' connections of the lane for certificates.
        ("no name", balancer.client_with(&nameless, Protocol::Http2).unwrap(), &[401, 503]),
        ("a bad token", balancer.client("nobody knows it", Protocol::Http2).unwrap(), &[401, 503]),
    ];
    for (who, bad, statuses) in bad {
        let closes = statuses.contains(&401);
        let opened =
            balancer.envoy().counter("cluster.direct_pool.upstream_cx_total").await.unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let others = tokio::spawn(others(good.clone(), Arc::clone(&done), closes));
        let mut beat = interval(Duration::from_millis(10));
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..TIMES {
            beat.tick().await;
            let bad = bad.clone();
            asked.spawn(async move { bad.get(MAPS).await.map(|answer| answer.status.as_u16()) });
        }
        for answer in asked.join_all().await {
            let status = answer.unwrap();
            assert!(statuses.contains(&status), "{who}: {status}");
        }
        done.store(true, Ordering::Relaxed);
        let served = others.await.unwrap().with_context(|| who.to_owned()).unwrap();
        assert!(served > 0, "{who}: nobody else asked");
        if who != "a bad token" {
            let now =
                balancer.envoy().counter("cluster.direct_pool.upstream_cx_total").await.unwrap();
            assert_eq!(now, opened, "{who}: connections for tokens were closed");
        }
        let name = who.replace(' ', "-");
        let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}});
        assert_eq!(good[0].post(MAPS, &map).await.unwrap().status, 201);
        for (number, watch) in watches.iter_mut().enumerate() {
            let seen = sees(watch, &name).await;
            seen.with_context(|| format!("{who}: watch {number}")).unwrap();
        }
    }
    no_vm_died(&mut balancer).await.unwrap();
}

async fn watch(client: &Client) -> Result<Lines> {
    let listed = client.get(MAPS).await?.json()?;
    let version = listed["metadata"]["resourceVersion"].as_str().context("no list")?;
    client.lines(Request::get(format!("{MAPS}?watch=1&resourceVersion={version}"))).await
}

/// The next event is about this one.
async fn sees(watch: &mut Lines, name: &str) -> Result<()> {
    let event = watch.next(SOON).await?.context("the watch ended")?;
    let event: Value = serde_json::from_slice(&event)?;
    ensure!(event["object"]["metadata"]["name"] == name, "{event}");
    Ok(())
}

/// Asks as the good callers do, a request each 10 ms, until it is over. All must be served; where
/// connections are closed, on the second try at the latest.
async fn others(good: [Client; 2], done: Arc<AtomicBool>, closes: bool) -> Result<usize> {
    let mut beat = interval(Duration::from_millis(10));
    let mut served = 0;
    while !done.load(Ordering::Relaxed) {
        for client in &good {
            beat.tick().await;
            let mut answer = client.get(MAPS).await?;
            // Three servers in a row may have closed the connection.
            if closes && answer.status == 503 && answer.header("retry-after").is_some() {
                answer = client.get(MAPS).await?;
            }
            ensure!(answer.status == 200, "{} after {served}: {}", answer.status, answer.text());
            served += 1;
        }
    }
    Ok(served)
}
