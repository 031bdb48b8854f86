//! A server's URL, the authority it is trusted by and a token → a kubeconfig, and the real kubectl
//! run with it.
//!
//! Each run has an empty home and an empty cache: what an earlier one learned about the servers
//! never hides what a later one sees.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result};
use kube::config::KubeConfigOptions;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::parts::{self, Part};
use crate::pki::IdentityFiles;

/// A kubeconfig in a file.
#[derive(Debug, Clone)]
pub struct Kubeconfig {
    path: PathBuf,
}

impl Kubeconfig {
    /// Writes a kubeconfig to `path`: `url` is asked with `token`, and trusted by the certificates
    /// in the file `ca`.
    pub fn write(path: &Path, url: &str, ca: &Path, token: &str) -> Result<Self> {
        Self::write_for(path, url, ca, &json!({"token": token}))
    }

    /// The same with a client certificate.
    pub fn write_with(path: &Path, url: &str, ca: &Path, user: &IdentityFiles) -> Result<Self> {
        let user = json!({"client-certificate": user.certificate, "client-key": user.key});
        Self::write_for(path, url, ca, &user)
    }

    fn write_for(path: &Path, url: &str, ca: &Path, user: &Value) -> Result<Self> {
        // JSON is YAML in which nothing needs to be quoted by hand.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "rig", "cluster": {"server": url, "certificate-authority": ca}}],
            "users": [{"name": "rig", "user": user}],
            "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": "rig"}}],
            "current-context": "rig",
        });
        std::fs::write(path, format!("{config:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A kube-rs client, with everything as kube-rs has it by default.
    pub async fn kube(&self) -> Result<kube::Client> {
        let file = kube::config::Kubeconfig::read_from(&self.path)?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(file, &options).await?;
        Ok(kube::Client::try_from(config)?)
    }
}

/// What kubectl said. Displayed as a person would see it.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Whether it ended with status 0.
    pub fn succeeded(&self) -> bool {
        self.status.success()
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.stdout, self.stderr)
    }
}

/// Runs kubectl. A failure that kubectl reports is an `Output`, not an error; dropping the future
/// ends it.
pub async fn kubectl(kubeconfig: &Kubeconfig, args: &[&str]) -> Result<Output> {
    kubectl_with_input(kubeconfig, args, "").await
}

/// The same with a standard input, for `kubectl apply -f -`.
pub async fn kubectl_with_input(
    kubeconfig: &Kubeconfig,
    args: &[&str],
    input: &str,
) -> Result<Output> {
    let home = tempfile::tempdir().context("cannot make a temporary folder")?;
    let kubectl = command(kubeconfig, home.path()).await?.args(args).spawn();
    let mut kubectl = kubectl.context("cannot start kubectl")?;
    if let Some(mut stdin) = kubectl.stdin.take() {
        // kubectl that does not read its input, because it failed before, closes it.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = kubectl.wait_with_output().await.context("cannot wait for kubectl")?;
    Ok(Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// kubectl without arguments, for a caller that talks to it while it runs; it ends when its process
/// is dropped. `home` is where it keeps what it learns.
pub async fn command(kubeconfig: &Kubeconfig, home: &Path) -> Result<Command> {
    let mut kubectl = Command::new(parts::ensure(&Part::kubectl()).await?);
    kubectl
        .args([Path::new("--kubeconfig"), kubeconfig.path()])
        .args([Path::new("--cache-dir"), home])
        .env("HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(kubectl)
}
