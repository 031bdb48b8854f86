//! What an Envoy holds: resident memory and each VM's linear memory by the number of workers and CRDs,
//! over many polls, and with many silent watches.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Client, Lines, Protocol, Request};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::pki::{Pki, SERVER_NAMES};
use peerway_harness::simulated::{Discovery, Fault, Matcher, Simulation};
use serde_json::json;
use tokio::task::JoinSet;

use crate::fast_server::{Description, FastServers, OLD_API};
use crate::plan::Plan;
use crate::results::{AtRest, Memory, Polling, Watching};
use crate::{cpu, documents, screen, vms};

/// Measures all of it.
pub(crate) async fn measure(plan: &Plan, pki: &Pki) -> Result<Memory> {
    let at_rest = at_rest(pki).await?;
    let polling = polling(plan, pki).await?;
    let mut watching = Vec::new();
    for plain in [true, false] {
        watching.push(self::watching(plan, pki, plain).await?);
    }
    Ok(Memory { at_rest, polling, watching })
}

async fn at_rest(pki: &Pki) -> Result<Vec<AtRest>> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let mut descriptions = Vec::new();
    for size in &SIZES {
        for (at, name) in size.names.into_iter().enumerate() {
            let version = if size.differ && at == 0 { "1.37.2" } else { "1.36.3" };
            // The older one has a resource that the newer one lacks, too.
            let crds = if size.differ { size.crds + at } else { size.crds };
            let documents = documents::with_crds(&documents::of(version)?, crds)?;
            let documents = Some(documents);
            descriptions.push(Description { name, documents, knows_the_new_api: false });
        }
    }
    let servers = FastServers::start(folder.path(), pki, descriptions).await?;
    let mut measured = Vec::new();
    for workers in [2, 8] {
        let [smallest, ..] = &SIZES;
        let alone = ("Envoy without a filter", smallest);
        let with_peerway = |size: &'static Size| match size.differ {
            false => ("Peerway", size),
            true => ("Peerway, each server lacks some", size),
        };
        for (what, size) in [alone].into_iter().chain(SIZES.iter().map(with_peerway)) {
            let crds = size.crds;
            screen::progress(&format!("memory: {what}, {crds} CRDs, {workers} workers"));
            let builder = Builder::of(servers.named(&size.names), pki).bare().workers(workers);
            let is_plain = what == alone.0;
            let builder = if is_plain { builder.plain() } else { builder };
            let mut balancer = builder.start().await?;
            if !is_plain {
                balancer.all_confirmed().await?;
            }
            for _ in 0..workers * 2 {
                let client = balancer.client(ADMIN_TOKEN, Protocol::Http2)?;
                for _ in 0..REQUESTS_EACH {
                    client.get(OLD_API).await?;
                    let discovery = Request::get("/apis").header("accept", AGGREGATED);
                    client.send(discovery).await?;
                }
            }
            // Some polls, so that what they need is there.
            tokio::time::sleep(SETTLED).await;
            let process = balancer.envoy().process().id();
            measured.push(AtRest {
                what: what.to_owned(),
                crds,
                workers,
                resident_kb: cpu::resident_kb(process)?,
                vms_kb: vms::linear_memories_kb(process)?,
            });
        }
    }
    Ok(measured)
}

async fn polling(plan: &Plan, pki: &Pki) -> Result<Polling> {
    let documents = documents::of("1.36.3")?;
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let describe =
        |name| Description { name, documents: Some(documents.clone()), knows_the_new_api: false };
    let servers =
        FastServers::start(folder.path(), pki, POLLED.into_iter().map(describe).collect()).await?;
    let interval = json!(format!("{POLL_INTERVAL_MS}ms"));
    let builder = Builder::of(servers.named(&POLLED), pki).bare();
    let mut balancer = builder.fetcher_setting("pollInterval", interval).start().await?;
    balancer.all_confirmed().await?;
    let process = balancer.envoy().process().id();
    let mut samples = Vec::new();
    let first = polls(&mut balancer).await?;
    let deadline = Instant::now() + POLLING_LIMIT;
    loop {
        let polls = polls(&mut balancer).await? - first;
        samples.push((polls, cpu::resident_kb(process)?));
        screen::progress(&format!("memory: {polls} of {} polls", plan.polls));
        if polls >= plan.polls {
            break;
        }
        ensure!(Instant::now() < deadline, "only {polls} polls in {POLLING_LIMIT:?}");
        tokio::time::sleep(SAMPLE_EVERY).await;
    }
    Ok(Polling { servers: POLLED.len(), interval_ms: POLL_INTERVAL_MS, samples })
}

/// Polls so far: each is a `/readyz` and, when that is good, two documents.
async fn polls(balancer: &mut Balancer) -> Result<u64> {
    Ok(balancer.envoy().counter("cluster.fetch.upstream_rq_304").await? / 2)
}

async fn watching(plan: &Plan, pki: &Pki, plain: bool) -> Result<Watching> {
    let what = if plain { "Envoy without a filter" } else { "Peerway" };
    let identity = pki.serving_authority.serving("simulated", &SERVER_NAMES)?;
    let path = "/apis/apps/v1/deployments";
    let mut servers = Vec::new();
    for name in ["one", "two"] {
        let server =
            Simulation::new(name, Discovery::of(&["/api/v1/pods", path])?).start(&identity).await?;
        // The head and a first piece at once, the next in minutes.
        server.set_fault(Matcher::path(path), Fault::SlowBody(SILENCE));
        servers.push(server);
    }
    let named = servers.iter().map(|server| (server.name().into(), server.address().to_string()));
    let builder = Builder::of(named.collect(), pki).bare();
    let mut balancer = if plain { builder.plain() } else { builder }.start().await?;
    if !plain {
        balancer.all_confirmed().await?;
    }
    let process = balancer.envoy().process().id();
    let before_kb = cpu::resident_kb(process)?;
    let mut opening = JoinSet::new();
    for _ in 0..plan.watches.div_ceil(WATCHES_EACH) {
        let client = balancer.client(ADMIN_TOKEN, Protocol::Http2)?.with_deadline(OPEN_LIMIT);
        opening.spawn(open(client, path, WATCHES_EACH));
    }
    let mut watches = Vec::new();
    for opened in opening.join_all().await {
        watches.extend(opened?);
        screen::progress(&format!("memory: {} of {} watches, {what}", watches.len(), plan.watches));
    }
    tokio::time::sleep(SETTLED).await;
    let spent = cpu::spent_by(process)?;
    tokio::time::sleep(IDLE).await;
    let spent = cpu::spent_by(process)?.saturating_sub(spent);
    Ok(Watching {
        what: what.to_owned(),
        watches: watches.len(),
        before_kb,
        with_kb: cpu::resident_kb(process)?,
        idle_cpu_ms: spent.as_secs_f64() * 1e3 / IDLE.as_secs_f64(),
    })
}

async fn open(client: Client, path: &'static str, count: usize) -> Result<Vec<Lines>> {
    let mut watches = Vec::new();
    for _ in 0..count {
        watches.push(client.lines(Request::get(format!("{path}?watch=true"))).await?);
    }
    Ok(watches)
}

/// Two servers of this size.
struct Size {
    crds: usize,
    names: [&'static str; 2],
    /// Whether each has something that the other lacks, so that discovery is merged.
    differ: bool,
}

const SIZES: [Size; 5] = [
    Size { crds: 0, names: ["none-1", "none-2"], differ: false },
    Size { crds: 1_000, names: ["some-1", "some-2"], differ: false },
    Size { crds: 1_000, names: ["some-new", "some-old"], differ: true },
    Size { crds: 5_000, names: ["many-1", "many-2"], differ: false },
    Size { crds: 5_000, names: ["many-new", "many-old"], differ: true },
];
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const REQUESTS_EACH: usize = 20;
const SETTLED: Duration = Duration::from_secs(2);
const POLLED: [&str; 20] = [
    "s-01", "s-02", "s-03", "s-04", "s-05", "s-06", "s-07", "s-08", "s-09", "s-10", "s-11", "s-12",
    "s-13", "s-14", "s-15", "s-16", "s-17", "s-18", "s-19", "s-20",
];
/// The shortest that can be configured.
const POLL_INTERVAL_MS: u64 = 100;
const SAMPLE_EVERY: Duration = Duration::from_millis(2_500);
const POLLING_LIMIT: Duration = Duration::from_secs(180);
/// As many streams as a connection may have.
const WATCHES_EACH: usize = 100;
const OPEN_LIMIT: Duration = Duration::from_secs(60);
const SILENCE: Duration = Duration::from_secs(3_600);
const IDLE: Duration = Duration::from_secs(3);
