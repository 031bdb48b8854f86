//! What a new map costs the threads of an Envoy, inside its V8: a server lists another CRD again and
//! again, and the kernel says what each thread spent. The one that spends most has the fetcher that
//! reads the document and makes the map, be it a worker or the main thread; the others only take it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use peerway_core::apis::Apis;
use peerway_core::discovery::{Root, read_aggregated};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::pki::{Pki, SERVER_NAMES};
use peerway_harness::simulated::{Discovery, SimulatedServer, Simulation};
use serde_json::{Value, json};

use crate::plan::Plan;
use crate::results::NewMaps;
use crate::{cpu, documents, screen};

/// Measures for several sizes.
pub(crate) async fn measure(plan: &Plan, pki: &Pki) -> Result<Vec<NewMaps>> {
    let mut measured = Vec::new();
    for (servers, crds) in SIZES {
        screen::progress(&format!("new maps: {servers} servers, {crds} CRDs"));
        measured.push(one_size(plan, pki, servers, crds).await?);
    }
    Ok(measured)
}

async fn one_size(plan: &Plan, pki: &Pki, servers: usize, crds: usize) -> Result<NewMaps> {
    let base = documents::of("1.36.3")?;
    let sizes = [documents::with_crds(&base, crds)?, documents::with_crds(&base, crds + 1)?];
    let apis = count(&sizes[0])?;
    let identity = pki.serving_authority.serving("simulated", &SERVER_NAMES)?;
    let mut running = Vec::new();
    for number in 0..servers {
        let [core, named] = &sizes[0];
        let discovery = Discovery::from_documents(core, named)?;
        let name = format!("server-{number}");
        running.push(Simulation::new(&name, discovery).start(&identity).await?);
    }
    let named = |server: &SimulatedServer| (server.name().into(), server.address().to_string());
    let builder = Builder::of(running.iter().map(named).collect(), pki).bare();
    let builder = builder.fetcher_setting("pollInterval", json!("200ms"));
    // A server that answers late must not make a map of its own.
    let builder = builder.fetcher_setting("probeTimeout", json!("10s"));
    let mut balancer = builder.setting("staleAfter", json!("10s")).workers(2).start().await?;
    balancer.all_confirmed().await?;

    let process = balancer.envoy().process().id();
    let first = running.first().context("no server")?;
    // The lease may still go from one worker to the other, and code still be compiled.
    changes(2, first, &sizes).await?;
    let before = threads(process)?;
    tokio::time::sleep(IDLE).await;
    let idle = difference(&before, &threads(process)?)?;
    let generation = generation(&balancer).await?;
    let (before, begun) = (threads(process)?, Instant::now());
    changes(plan.map_changes, first, &sizes).await?;
    let ratio = begun.elapsed().as_secs_f64() / IDLE.as_secs_f64();
    let spent = difference(&before, &threads(process)?)?;
    let maps = self::generation(&balancer).await? - generation;
    ensure!(maps == u64::from(plan.map_changes), "{maps} maps of {} changes", plan.map_changes);
    let each = |(spent, idle): (&f64, &f64)| (spent - idle * ratio).max(0.0) / maps as f64;
    let mut each: Vec<f64> = spent.iter().zip(&idle).map(each).collect();
    each.sort_by(f64::total_cmp);
    // The main thread, too, looks at each map.
    let [.., worker_ms, fetcher_ms] = each[..] else { anyhow::bail!("too few threads: {each:?}") };
    Ok(NewMaps { servers, crds, apis, changes: plan.map_changes, worker_ms, fetcher_ms })
}

/// The server lists one CRD more, then one less, and so on, long enough for each to become a map that
/// every worker has. Asking whether it did would cost the workers more than the map.
async fn changes(count: u32, server: &SimulatedServer, sizes: &[[Vec<u8>; 2]; 2]) -> Result<()> {
    for (_, [core, named]) in (0..count).zip(sizes.iter().rev().cycle()) {
        server.set_discovery(Discovery::from_documents(core, named)?);
        tokio::time::sleep(SETTLED).await;
    }
    Ok(())
}

async fn generation(balancer: &Balancer) -> Result<u64> {
    let map = balancer.map().await?;
    map.get("generation").and_then(Value::as_u64).context("/map has no generation")
}

fn count([core, named]: &[Vec<u8>; 2]) -> Result<usize> {
    let mut apis = 0;
    for (root, document) in [(Root::Core, core), (Root::Named, named)] {
        let read = read_aggregated(root, document, &Apis::default());
        apis += read.map_err(|error| anyhow::anyhow!("{error}"))?.apis.len();
    }
    Ok(apis)
}

/// Milliseconds of each thread that has VMs, by name.
fn threads(process: u32) -> Result<Vec<(String, f64)>> {
    let mut threads = cpu::threads_of(process)?;
    threads.retain(|(name, _)| name == "envoy" || name.starts_with("wrk:worker_"));
    threads.sort();
    ensure!(threads.len() == 3, "not a main thread and two workers: {threads:?}");
    Ok(threads.into_iter().map(|(name, spent)| (name, spent.as_secs_f64() * 1e3)).collect())
}

fn difference(before: &[(String, f64)], after: &[(String, f64)]) -> Result<Vec<f64>> {
    let both = before.iter().zip(after);
    both.map(|((name, before), (same, after))| {
        (name == same).then_some(after - before).context("a thread came or went")
    })
    .collect()
}

/// (servers, CRDs). 2,500 CRDs with their status are 5,000 resources.
const SIZES: [(usize, usize); 3] = [(1, 0), (3, 1_000), (3, 2_500)];
const IDLE: Duration = Duration::from_secs(3);
/// Three poll intervals, of which one holds the reading, and a worker's tick.
const SETTLED: Duration = Duration::from_millis(700);
