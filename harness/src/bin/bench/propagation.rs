//! How long it takes from "a server serves a new API" to "every worker routes it by the map": tries
//! that begin at any point of the poll interval. Whoever asks earlier is answered too, by the witness.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use peerway_harness::balancer::Builder;
use peerway_harness::client::{Client, Protocol};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::pki::{Pki, SERVER_NAMES};
use peerway_harness::simulated::{Discovery, Simulation};
use tokio::task::JoinSet;

use crate::plan::Plan;
use crate::results::Propagation;
use crate::screen;

/// Measures all tries. An error when a request meanwhile is not answered 200, or when a worker does
/// not hear of the API at all.
pub(crate) async fn measure(plan: &Plan, pki: &Pki) -> Result<Propagation> {
    let identity = pki.serving_authority.serving("simulated", &SERVER_NAMES)?;
    let common = "/apis/apps/v1/deployments";
    let old = Simulation::new("old", Discovery::of(&[PODS, common])?).start(&identity).await?;
    let new = Simulation::new("new", Discovery::of(&[PODS, common])?).start(&identity).await?;
    let servers = [&old, &new].map(|server| (server.name().into(), server.address().to_string()));
    let mut balancer = Builder::of(servers.into(), pki).workers(WORKERS).start().await?;
    balancer.all_confirmed().await?;
    let clients = (0..CONNECTIONS).map(|_| balancer.client(ADMIN_TOKEN, Protocol::Http2));
    let clients = clients.collect::<Result<Vec<_>>>()?;
    for client in &clients {
        client.get(common).await?;
    }
    let port = clients.first().context("no client")?.address().port();
    for worker in 0..WORKERS {
        let gauge = format!("listener.127.0.0.1_{port}.worker_{worker}.downstream_cx_active");
        let open = balancer.envoy().counter(&gauge).await?;
        ensure!(open > 0, "no connection to worker {worker}");
    }
    let mut milliseconds = Vec::new();
    for number in 0..plan.tries {
        screen::progress(&format!("propagation: try {} of {}", number + 1, plan.tries));
        // The golden ratio spreads the starts evenly over the poll interval.
        let phase = (number as f64 * 0.618_034).fract();
        tokio::time::sleep(POLL_INTERVAL.mul_f64(phase)).await;
        let resource = format!("/apis/try-{number}.example.com/v1/things");
        new.set_discovery(Discovery::of(&[PODS, common, &resource])?);
        let begun = Instant::now();
        let mut waiting = JoinSet::new();
        for client in &clients {
            waiting.spawn(routed_by_the_map(client.clone(), resource.clone()));
        }
        let mut last = begun;
        for routed in waiting.join_all().await {
            last = last.max(routed.with_context(|| resource.clone())?);
        }
        milliseconds.push((last - begun).as_secs_f64() * 1e3);
    }
    let poll_interval_ms = u64::try_from(POLL_INTERVAL.as_millis())?;
    Ok(Propagation { poll_interval_ms, workers: WORKERS, milliseconds })
}

/// When the first answer came of which the balancer says that some servers list it.
async fn routed_by_the_map(client: Client, resource: String) -> Result<Instant> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        let answer = client.get(&resource).await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        if answer.headers.get("x-peerway-reason").is_some_and(|why| why == "listed-by-some") {
            return Ok(Instant::now());
        }
        tokio::time::sleep(PAUSE).await;
    }
    anyhow::bail!("not routed by the map after {LIMIT:?}")
}

/// A server without any core API is not believed.
const PODS: &str = "/api/v1/pods";
const WORKERS: u32 = 2;
/// Shared out evenly to the workers.
const CONNECTIONS: usize = 4;
/// The default.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(4);
const LIMIT: Duration = Duration::from_secs(20);
