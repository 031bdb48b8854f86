//! vegeta at work: where to and how fast → what came back, and how long it took.
//!
//! Four connections, told apart by the name under which one address is called, as clients of an API
//! server hold few and long ones: two for each worker of the Envoys here. An answer with another
//! status than the expected one is an error, not a number.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::parts::{self, Part};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// The generator, its trusted authority, and a folder for what it writes.
#[derive(Debug)]
pub(crate) struct Generator {
    vegeta: PathBuf,
    authority: PathBuf,
    folder: PathBuf,
    core: Option<&'static str>,
    attacks: AtomicUsize,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'static str,
}

/// How fast.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// So many a second, whether or not earlier ones were answered.
    Open(u32),
    /// So many at a time, the next one when one is answered.
    Closed(u32),
}

/// Every answer of one attack, as vegeta keeps them.
#[derive(Debug, Clone)]
pub(crate) struct Attack(PathBuf);

/// What attacks came to, latencies in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    /// Answers in a second.
    pub(crate) per_second: f64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Generator {
    pub(crate) async fn new(folder: &Path, authority: &Path) -> Result<Self> {
        let vegeta = parts::ensure(&Part::vegeta()).await?;
        let (authority, folder) = (authority.to_owned(), folder.to_owned());
        Ok(Self { vegeta, authority, folder, core: None, attacks: AtomicUsize::new(0) })
    }

    /// Runs on this core alone.
    pub(crate) fn on_core(self, core: &'static str) -> Self {
        Self { core: Some(core), ..self }
    }

    /// Sends requests for so long. Any answer but 200 is an error.
    pub(crate) async fn attack(&self, aim: Aim, pace: Pace, lasts: Duration) -> Result<Attack> {
        let number = self.attacks.fetch_add(1, Ordering::Relaxed);
        let (targets, results) =
            (self.folder.join("targets"), self.folder.join(format!("attack-{number}")));
        let port = aim.address.port();
        let urls = NAMES.map(|name| format!("GET https://{name}:{port}{}\n", aim.path));
        std::fs::write(&targets, urls.concat()).context("cannot write vegeta's targets")?;
        let mut vegeta = match self.core {
            None => Command::new(&self.vegeta),
            Some(core) => {
                let mut taskset = Command::new("taskset");
                taskset.args(["--cpu-list", core]).arg(&self.vegeta);
                taskset
            }
        };
        vegeta.arg("attack").arg("-targets").arg(&targets).arg("-output").arg(&results);
        vegeta.arg("-root-certs").arg(&self.authority);
        vegeta.args(["-header", &format!("Authorization: Bearer {ADMIN_TOKEN}")]);
        for name in NAMES {
            vegeta.args(["-connect-to", &format!("{name}:{port}:{}", aim.address)]);
        }
        // Bodies are read, and not kept.
        vegeta.args(["-max-body", "0", "-timeout", "10s"]);
        vegeta.args(["-duration", &format!("{}ms", lasts.as_millis())]);
        match pace {
            Pace::Open(rate) => vegeta.args(["-rate", &format!("{rate}/1s")]),
            Pace::Closed(workers) => {
                let workers = workers.to_string();
                vegeta.args(["-rate", "0", "-workers", &workers, "-max-workers", &workers])
            }
        };
        run(vegeta, lasts + GRACE).await?;
        let attack = Attack(results);
        let report = self.json(std::slice::from_ref(&attack)).await?;
        let answered = report.status_codes.get("200").copied().unwrap_or(0);
        ensure!(
            report.requests > 0 && answered == report.requests,
            "{}: {answered} of {} requests were answered 200: {:?} {:?}",
            aim.path,
            report.requests,
            report.status_codes,
            report.errors
        );
        Ok(attack)
    }

    /// What several attacks came to, taken together.
    pub(crate) async fn outcome(&self, attacks: &[Attack]) -> Result<Outcome> {
        let Report { requests, latencies, throughput, .. } = self.json(attacks).await?;
        let tail = self.report("hdrplot", attacks).await?;
        Ok(Outcome {
            requests,
            per_second: throughput,
            mean: latencies.mean / NANOSECONDS,
            p50: latencies.p50 / NANOSECONDS,
            p90: latencies.p90 / NANOSECONDS,
            p99: latencies.p99 / NANOSECONDS,
            p999: at_percentile(&tail, 0.999)?,
            max: latencies.max / NANOSECONDS,
        })
    }

    async fn json(&self, attacks: &[Attack]) -> Result<Report> {
        let text = self.report("json", attacks).await?;
        serde_json::from_str(&text).with_context(|| format!("vegeta's report: {text}"))
    }

    async fn report(&self, form: &str, attacks: &[Attack]) -> Result<String> {
        let mut vegeta = Command::new(&self.vegeta);
        vegeta.args(["report", "-type", form]).args(attacks.iter().map(|attack| &attack.0));
        run(vegeta, GRACE).await
    }
}

async fn run(mut command: Command, limit: Duration) -> Result<String> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output()).await;
    let output = output.context("vegeta hangs")?.context("cannot run vegeta")?;
    if !output.status.success() {
        bail!("vegeta failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first value of an HDR histogram's table (value in ms, percentile, …) at or above a percentile.
fn at_percentile(table: &str, percentile: f64) -> Result<f64> {
    let rows = table.lines().filter_map(|line| {
        let mut columns = line.split_whitespace().map(str::parse::<f64>);
        Some((columns.next()?.ok()?, columns.next()?.ok()?))
    });
    let mut above = rows.filter(|(_, at)| *at >= percentile);
    above.next().map(|(value, _)| value).with_context(|| format!("vegeta's histogram: {table}"))
}

#[derive(Deserialize)]
struct Report {
    requests: u64,
    throughput: f64,
    latencies: Latencies,
    status_codes: std::collections::BTreeMap<String, u64>,
    #[serde(default)]
    errors: Option<Vec<String>>,
}

/// In nanoseconds.
#[derive(Deserialize)]
struct Latencies {
    mean: f64,
    #[serde(rename = "50th")]
    p50: f64,
    #[serde(rename = "90th")]
    p90: f64,
    #[serde(rename = "99th")]
    p99: f64,
    max: f64,
}

/// The names of the rig's server certificates, so that each is a host, and so a connection, of its
/// own to vegeta.
const NAMES: [&str; 4] = peerway_harness::pki::SERVER_NAMES;
/// In a millisecond.
const NANOSECONDS: f64 = 1e6;
/// Starting, connecting, and the last answers.
const GRACE: Duration = Duration::from_secs(30);
