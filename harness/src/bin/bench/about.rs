//! Where and how something was measured.

use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use peerway_harness::parts::{KUBE_VERSIONS, Part};

use crate::arguments::Wanted;
use crate::results::About;

/// What is known when it begins.
pub(crate) struct Beginning {
    at: Instant,
    commit: String,
    epoch_seconds: u64,
    load_average: f64,
}

impl Beginning {
    pub(crate) fn now() -> Result<Self> {
        let epoch_seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(Self {
            at: Instant::now(),
            commit: commit(),
            epoch_seconds,
            load_average: load_average()?,
        })
    }

    pub(crate) fn ended(self, wanted: &Wanted) -> Result<About> {
        let newest =
            KUBE_VERSIONS.iter().rev().take(2).map(|version| Part::kube_apiserver(version));
        let parts = [Part::envoy(), Part::etcd(), Part::vegeta()].into_iter().chain(newest);
        let quick = if wanted.quick { " QUICK=1" } else { "" };
        Ok(About {
            command: format!("make bench{quick}"),
            commit: self.commit,
            began: self.epoch_seconds,
            seconds: self.at.elapsed().as_secs(),
            cores: std::thread::available_parallelism()?.get(),
            processor: processor()?,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            parts: parts.map(|part| part.to_string()).collect(),
            load_average: [self.load_average, load_average()?],
        })
    }
}

/// With a mark when the tree differs from it.
pub(crate) fn commit() -> String {
    let git = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let told = git.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    told.ok().filter(|told| !told.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

fn load_average() -> Result<f64> {
    let text = read("/proc/loadavg")?;
    text.split_whitespace().next().and_then(|first| first.parse().ok()).context("/proc/loadavg")
}

fn processor() -> Result<String> {
    let text = read("/proc/cpuinfo")?;
    let model = text.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map(|(_, name)| name.to_owned());
    Ok(model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()))
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}
