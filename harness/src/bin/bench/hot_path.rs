//! What a request costs a balancer: CPU time of its Envoy for each request, before servers that cost
//! next to nothing, without what it spends at rest. All variants run side by side and take turns, many
//! and short ones, so that what the machine does otherwise strikes all of them alike. Balancers have
//! one core to themselves, so that what else is needed does not empty its caches.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::Protocol;
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::pki::Pki;
use serde_json::json;

use crate::documents;
use crate::fast_server::{ANSWERED_BY, Description, FastServers, NEW_API, OLD_API};
use crate::load::{Aim, Generator, Pace};
use crate::plan::Plan;
use crate::results::{Cpu, CpuOf};
use crate::{cpu, rivals, screen};

/// One of what is compared.
struct Variant {
    name: &'static str,
    what: &'static str,
    path: &'static str,
    balancer: Balancer,
    right: Right,
    /// Milliseconds of CPU time in a second at rest.
    idle_ms: f64,
    microseconds: Vec<f64>,
}

/// What is right for a variant.
struct Right {
    /// Servers of which each answer has to come.
    answered_by: &'static [&'static str],
    /// How much each of these counters has to grow with each request; none of Peerway's others may.
    counts: &'static [(&'static str, u64)],
}

/// Measures all variants. An error when one does not answer as it should.
pub(crate) async fn measure(plan: &Plan, pki: &Pki) -> Result<Cpu> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let [old, new] = [documents::of("1.36.3")?, documents::of("1.37.2")?];
    let server = |name, documents: Option<&[Vec<u8>; 2]>, knows_the_new_api| Description {
        name,
        documents: documents.cloned(),
        knows_the_new_api,
    };
    let many = documents::with_crds(&old, MANY_CRDS)?;
    let mut servers = FastServers::start(
        folder.path(),
        pki,
        vec![
            server("even-1", Some(&old), false),
            server("even-2", Some(&old), false),
            server("many-1", Some(&many), false),
            server("many-2", Some(&many), false),
            server("old", Some(&old), false),
            server("new", Some(&new), true),
            server("blind-1", None, false),
            server("blind-2", None, false),
            server("knowing", Some(&old), true),
        ],
    )
    .await?;
    let mut variants = start(&servers, pki, &old).await?;
    for variant in &mut variants {
        variant.check().await.with_context(|| format!("{} is not right", variant.what))?;
    }
    let generator = Generator::new(folder.path(), &pki.serving_ca).await?.on_core(OTHERS_CORE);
    cpu::keep_on_core(servers.process(), OTHERS_CORE).await?;
    for variant in &mut variants {
        cpu::keep_on_core(variant.process(), BALANCERS_CORE).await?;
    }
    at_rest(&mut variants).await?;
    let pace = Pace::Closed(AT_A_TIME);
    for round in 0..=plan.cpu_rounds {
        // The first round warms up: connections, compiled code, caches.
        let lasts = if round == 0 { WARM_UP } else { plan.cpu_slice };
        screen::progress(&format!("CPU for each request: round {round} of {}", plan.cpu_rounds));
        let count = variants.len();
        for at in 0..count {
            // Nobody is always the first, or always behind the same one.
            let step = if round % 2 == 0 { at } else { count - 1 - at };
            let Some(variant) = variants.get_mut((step + round as usize) % count) else { continue };
            let spent = variant.round(&generator, pace, lasts).await?;
            if round > 0 {
                variant.microseconds.push(spent);
            }
        }
    }
    for variant in &mut variants {
        variant.check().await.with_context(|| format!("{} was not right", variant.what))?;
    }
    let of = |Variant { name, what, idle_ms, microseconds, .. }| CpuOf {
        name: String::from(name),
        what: String::from(what),
        idle_ms,
        microseconds,
    };
    Ok(Cpu {
        at_a_time: AT_A_TIME,
        seconds_per_round: plan.cpu_slice.as_secs_f64(),
        variants: variants.into_iter().map(of).collect(),
    })
}

async fn at_rest(variants: &mut [Variant]) -> Result<()> {
    screen::progress("CPU at rest");
    let begun = Instant::now();
    let mut before = Vec::new();
    for variant in &mut *variants {
        before.push(cpu::spent_by(variant.process())?);
    }
    tokio::time::sleep(REST).await;
    for (variant, before) in variants.iter_mut().zip(before) {
        let spent = cpu::spent_by(variant.process())?.saturating_sub(before);
        variant.idle_ms = spent.as_secs_f64() * 1e3 / begun.elapsed().as_secs_f64();
    }
    Ok(())
}

async fn start(servers: &FastServers, pki: &Pki, documents: &[Vec<u8>; 2]) -> Result<Vec<Variant>> {
    const EVEN: &[&str] = &["even-1", "even-2"];
    let before = |names: &[&str]| Builder::of(servers.named(names), pki).bare();
    // By connection, few connections may all have the same server, and others not.
    let in_turns = |names| before(names).setting("affinity", json!("none"));
    let even = Right { answered_by: EVEN, counts: &[] };
    let mut variants = Vec::new();
    let mut add = |name, what, path, balancer, right| {
        let (idle_ms, microseconds) = (0.0, Vec::new());
        variants.push(Variant { name, what, path, balancer, right, idle_ms, microseconds });
    };
    let plain = in_turns(EVEN).plain().start().await?;
    add("plain", "Envoy without a filter", OLD_API, plain, even);
    let even = Right { answered_by: EVEN, counts: &[] };
    let empty = in_turns(EVEN).plain_with(rivals::empty_wasm()?).start().await?;
    add("empty", "an empty wasm filter", OLD_API, empty, even);
    let even = Right { answered_by: EVEN, counts: &[] };
    let lua = in_turns(EVEN).plain_with(rivals::lua(documents)?).start().await?;
    add("lua", "the same job in Lua", OLD_API, lua, even);

    let even = Right { answered_by: EVEN, counts: &[] };
    let idle = in_turns(EVEN).start().await?;
    idle.all_confirmed().await?;
    add("untouched", "Peerway, nothing to do", OLD_API, idle, even);
    let many = Right { answered_by: &["many-1", "many-2"], counts: &[] };
    let idle = in_turns(&["many-1", "many-2"]).start().await?;
    idle.all_confirmed().await?;
    add("untouched-many", "Peerway, nothing to do, 5,000 CRDs", OLD_API, idle, many);

    let right =
        Right { answered_by: &["new"], counts: &[("requests_total;reason=listed-by-some", 1)] };
    let skewed = before(&["old", "new"]).start().await?;
    skewed.all_confirmed().await?;
    add("rerouted", "Peerway, rerouted", NEW_API, skewed, right);
    for (name, what, names, counts) in [
        ("vain-1", "Peerway, two attempts in vain", &["blind-1", "knowing"][..], IN_VAIN_TWICE),
        (
            "vain-2",
            "Peerway, four attempts in vain",
            &["blind-1", "blind-2", "knowing"],
            IN_VAIN_FOUR_TIMES,
        ),
    ] {
        let right = Right { answered_by: &["knowing"], counts };
        let balancer = before(names).start().await?;
        balancer.server_is("knowing", "confirmed").await?;
        balancer.server_is("blind-1", "unknown").await?;
        add(name, what, NEW_API, balancer, right);
    }
    Ok(variants)
}

impl Variant {
    fn process(&mut self) -> u32 {
        self.balancer.envoy().process().id()
    }

    /// Both workers answer as they should, and count what they should.
    async fn check(&mut self) -> Result<()> {
        let before = self.balancer.counters().await?;
        for _ in 0..CONNECTIONS {
            let client = self.balancer.client(ADMIN_TOKEN, Protocol::Http2)?;
            for _ in 0..REQUESTS_EACH {
                let answer = client.get(self.path).await?;
                let server = answer.headers.get(ANSWERED_BY).and_then(|name| name.to_str().ok());
                let by = server.unwrap_or("nobody");
                let right = answer.status == 200 && self.right.answered_by.contains(&by);
                ensure!(right, "{} from {by}: {}", answer.status, answer.text());
            }
        }
        let after = self.balancer.counters().await?;
        let sent = CONNECTIONS * REQUESTS_EACH;
        for (name, now) in &after {
            let grown = now - before.get(name).copied().unwrap_or(0);
            let bare = name.replacen("peerway_", "", 1);
            if !OF_REQUESTS.iter().any(|kind| bare.starts_with(kind)) {
                continue;
            }
            let expected = self.right.counts.iter().find(|(counter, _)| *counter == bare);
            let expected = expected.map_or(0, |(_, each)| each * sent);
            ensure!(grown == expected, "{name} grew by {grown}, not by {expected}");
        }
        let missing = self
            .right
            .counts
            .iter()
            .find(|(name, _)| !after.contains_key(&format!("peerway_{name}")));
        ensure!(missing.is_none(), "there is no counter {missing:?}");
        Ok(())
    }

    /// Microseconds of CPU time for each request.
    async fn round(&mut self, generator: &Generator, pace: Pace, lasts: Duration) -> Result<f64> {
        let address = self.balancer.client(ADMIN_TOKEN, Protocol::Http2)?.address();
        let process = self.process();
        let (before, begun) = (cpu::spent_by(process)?, Instant::now());
        let aim = Aim { address, path: self.path };
        let attack = generator.attack(aim, pace, lasts).await.context(self.what)?;
        let spent = cpu::spent_by(process)?.saturating_sub(before);
        let at_rest = begun.elapsed().as_secs_f64() * self.idle_ms / 1e3;
        let requests = generator.outcome(&[attack]).await?.requests;
        Ok((spent.as_secs_f64() - at_rest) * 1e6 / requests as f64)
    }
}

const AT_A_TIME: u32 = 64;
const BALANCERS_CORE: &str = "0";
const OTHERS_CORE: &str = "1";
const REST: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_secs(1);
const MANY_CRDS: usize = 5_000;
/// Counters that requests move.
const OF_REQUESTS: [&str; 2] = ["requests_total", "witness_total"];
/// Two for each worker.
const CONNECTIONS: u64 = 4;
const REQUESTS_EACH: u64 = 6;
/// A server of which nobody knows what it lists is asked first, and each of these twice.
const IN_VAIN_TWICE: &[(&str, u64)] =
    &[("requests_total;reason=listed-by-nobody", 1), ("witness_total;verdict=asked-next", 2)];
const IN_VAIN_FOUR_TIMES: &[(&str, u64)] =
    &[("requests_total;reason=listed-by-nobody", 1), ("witness_total;verdict=asked-next", 4)];
