//! What a Go client sees of a cluster: the `discover` program (`harness/parts/client-go-0.36.3`), which is
//! client-go with its discovery, its caches and its RESTMapper.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

use crate::kubeconfig::Kubeconfig;
use crate::parts::{self, Part};

/// How it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Aggregated discovery, kept in memory.
    Memory,
    /// Aggregated discovery, kept in files, and asked for with ETags.
    Disk,
    /// A document for each group-version.
    Plain,
}

/// What was seen in so many looks.
#[derive(Debug, Deserialize)]
pub struct View {
    /// How many looks saw just this.
    pub times: usize,
    /// `group/version/resource` and `group/version/resource/subresource`; without a slash in front for
    /// the core group.
    pub seen: BTreeSet<String>,
    /// The resources that their kind leads back to.
    pub mapped: BTreeSet<String>,
    /// What went wrong, empty if nothing.
    pub error: String,
}

/// Looks so many times, and forgets what it saw before each.
pub async fn discover(kubeconfig: &Kubeconfig, form: Form, times: usize) -> Result<Vec<View>> {
    let form = match form {
        Form::Memory => "memory",
        Form::Disk => "disk",
        Form::Plain => "plain",
    };
    let output = Command::new(parts::ensure(&Part::discover()).await?)
        .arg("--kubeconfig")
        .arg(kubeconfig.path())
        .args(["--form", form, "--times", &times.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run discover")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "discover: {told}");
    serde_json::from_slice(&output.stdout).context("what discover prints")
}
