//! The result file: what was measured, where, by which command. Everything that is reported comes
//! from it, and it holds every round, not only what was made of them.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::load::Outcome;

/// All of one run. What was not asked for is missing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Results {
    pub(crate) about: About,
    /// CPU time of a balancer for each request.
    pub(crate) cpu: Option<Cpu>,
    /// On real servers.
    pub(crate) real: Option<Real>,
    pub(crate) memory: Option<Memory>,
    pub(crate) propagation: Option<Propagation>,
    /// What a new map costs the threads of an Envoy.
    pub(crate) maps: Option<Vec<NewMaps>>,
    /// Micro benchmarks of the core.
    pub(crate) core: Option<Vec<Micro>>,
    pub(crate) module: Option<Module>,
}

/// Where and how.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct About {
    pub(crate) command: String,
    pub(crate) commit: String,
    /// Seconds since the epoch.
    pub(crate) began: u64,
    pub(crate) seconds: u64,
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    pub(crate) parts: Vec<String>,
    /// What else the machine had to do: the load average over a minute before and after.
    pub(crate) load_average: [f64; 2],
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cpu {
    pub(crate) at_a_time: u32,
    pub(crate) seconds_per_round: f64,
    pub(crate) variants: Vec<CpuOf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CpuOf {
    pub(crate) name: String,
    pub(crate) what: String,
    /// Milliseconds in a second without requests, of the whole process.
    pub(crate) idle_ms: f64,
    /// Microseconds for each request beyond that, a value a round.
    pub(crate) microseconds: Vec<f64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Real {
    /// Of the latencies.
    pub(crate) requests_per_second: u32,
    /// Of the throughputs.
    pub(crate) at_a_time: u32,
    pub(crate) variants: Vec<RealOf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RealOf {
    pub(crate) name: String,
    pub(crate) what: String,
    /// At a constant rate, all rounds together.
    pub(crate) open: Outcome,
    /// As fast as it goes, a value a round.
    pub(crate) closed: Vec<Outcome>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Memory {
    pub(crate) at_rest: Vec<AtRest>,
    pub(crate) polling: Polling,
    pub(crate) watching: Vec<Watching>,
}

/// An Envoy that has served a few requests and does nothing now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AtRest {
    pub(crate) what: String,
    pub(crate) crds: usize,
    pub(crate) workers: u32,
    pub(crate) resident_kb: u64,
    /// The linear memory of each VM, largest first.
    pub(crate) vms_kb: Vec<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Polling {
    pub(crate) servers: usize,
    pub(crate) interval_ms: u64,
    /// Polls so far, and the resident memory then, in kB.
    pub(crate) samples: Vec<(u64, u64)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Watching {
    pub(crate) what: String,
    pub(crate) watches: usize,
    pub(crate) before_kb: u64,
    pub(crate) with_kb: u64,
    /// CPU time in a second while they are silent.
    pub(crate) idle_cpu_ms: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Propagation {
    pub(crate) poll_interval_ms: u64,
    pub(crate) workers: u32,
    /// One for each try.
    pub(crate) milliseconds: Vec<f64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewMaps {
    pub(crate) servers: usize,
    pub(crate) crds: usize,
    pub(crate) apis: usize,
    pub(crate) changes: u32,
    /// CPU time for each change of a thread that only takes the map.
    pub(crate) worker_ms: f64,
    /// The same of the thread whose fetcher reads the document and makes the map.
    pub(crate) fetcher_ms: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Micro {
    pub(crate) name: String,
    /// A value a round.
    pub(crate) nanoseconds: Vec<f64>,
    pub(crate) allocations: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Module {
    pub(crate) bytes: u64,
    pub(crate) exports: Vec<String>,
}

impl Results {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("no {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no result", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}
