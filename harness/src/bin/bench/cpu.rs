//! What a process and its threads have spent, as the kernel accounts it: user and system time on a
//! CPU, in nanoseconds. Time that others spent on the machine does not count.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// The CPU time of all threads that a process has now.
pub(crate) fn spent_by(process: u32) -> Result<Duration> {
    Ok(threads_of(process)?.into_iter().map(|(_, spent)| spent).sum())
}

/// Name and CPU time of each thread.
pub(crate) fn threads_of(process: u32) -> Result<Vec<(String, Duration)>> {
    let mut threads = Vec::new();
    for task in Path::new("/proc").join(process.to_string()).join("task").read_dir()? {
        let task = task?.path();
        let name = std::fs::read_to_string(task.join("comm")).context("a thread's name")?;
        let schedule = std::fs::read_to_string(task.join("schedstat")).context("schedstat")?;
        let spent = schedule.split_whitespace().next().and_then(|ns| ns.parse().ok());
        let spent = spent.context("the kernel keeps no time of threads (/proc/*/schedstat)")?;
        threads.push((name.trim().to_owned(), Duration::from_nanos(spent)));
    }
    Ok(threads)
}

/// Lets all threads of a process run on this core alone.
pub(crate) async fn keep_on_core(process: u32, core: &str) -> Result<()> {
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--pid", "--cpu-list", core, &process.to_string()]);
    let output = taskset.output().await.context("cannot run taskset (util-linux)")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "taskset failed: {told}");
    Ok(())
}

/// Resident memory in kB.
pub(crate) fn resident_kb(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.context("no VmRSS")
}
