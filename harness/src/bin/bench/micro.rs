//! The micro benchmarks of the core: run by cargo, their estimates read from what criterion leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::results::Micro;
use crate::screen;

/// Runs them; `quick` for a rough idea.
pub(crate) async fn measure(quick: bool) -> Result<Vec<Micro>> {
    screen::progress("micro benchmarks of the core (compiled first)");
    let allocations: BTreeMap<String, u64> = cargo_bench("allocations", &[])
        .await?
        .lines()
        .filter_map(|line| {
            line.split_once(' ').and_then(|(n, c)| Some((n.into(), c.parse().ok()?)))
        })
        .collect();
    let folder = target().join("criterion");
    // Estimates of operations that are no more must not be taken for new ones.
    if folder.is_dir() {
        std::fs::remove_dir_all(&folder).context("cannot remove old estimates")?;
    }
    let depth = if quick { &["--quick"][..] } else { &[] };
    let mut micro = Vec::new();
    cargo_bench("core", depth).await?;
    collect(&folder, &allocations, &mut micro)?;
    // What is compared needs turns, as everywhere here.
    for round in 1..COMPARED_ROUNDS {
        screen::progress(&format!("{COMPARED}: round {round} of {COMPARED_ROUNDS}"));
        let compared = micro.iter_mut().filter(|one| one.name.starts_with(COMPARED));
        let mut again = Vec::new();
        cargo_bench("core", &[depth, &[COMPARED]].concat()).await?;
        collect(&folder, &allocations, &mut again)?;
        for one in compared {
            let same = again.iter().find(|same| same.name == one.name);
            one.nanoseconds.extend(same.into_iter().flat_map(|same| &same.nanoseconds));
        }
    }
    let unmeasured = allocations.keys().find(|name| micro.iter().all(|m| m.name != **name));
    ensure!(unmeasured.is_none(), "criterion has no estimate of {unmeasured:?}");
    micro.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(micro)
}

async fn cargo_bench(name: &str, arguments: &[&str]) -> Result<String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["bench", "--quiet", "--package", "peerway-core", "--bench", name, "--"]);
    cargo.args(arguments).current_dir(root()).stdin(Stdio::null()).kill_on_drop(true);
    let output = cargo.output().await.context("cannot run cargo")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo bench --bench {name} failed:\n{told}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn collect(folder: &Path, allocations: &BTreeMap<String, u64>, to: &mut Vec<Micro>) -> Result<()> {
    for entry in folder.read_dir().with_context(|| format!("no {}", folder.display()))? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        if path.file_name().is_some_and(|name| name == "new") {
            let name = read(&path.join("benchmark.json"))?;
            let name =
                name.get("full_id").and_then(Value::as_str).context("no full_id")?.to_owned();
            let estimates = read(&path.join("estimates.json"))?;
            let median = estimates.pointer("/median/point_estimate");
            let nanoseconds = median.and_then(Value::as_f64).context("no median")?;
            let allocations = allocations.get(&name).copied();
            to.push(Micro { name, nanoseconds: vec![nanoseconds], allocations });
        } else {
            collect(&path, allocations, to)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Operations whose times are compared with each other.
const COMPARED: &str = "decide/hit";
const COMPARED_ROUNDS: u32 = 9;
