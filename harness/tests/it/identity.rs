//! Who the servers think that a caller is: certificates, upgrades, forgeries, bad credentials.

mod certificates;
mod fetcher;
mod forging;
mod rotation;
mod sessions;
mod strangers;
mod table;
mod tls;
mod upgrades;

use std::path::PathBuf;

use anyhow::Result;
use peerway_harness::process::wait_until;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rig::SOON;

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// The audit log that servers share.
struct Audit(TempDir);

impl Audit {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata"}],
        });
        let policy = policy.to_string();
        std::fs::write(folder.path().join("policy.yaml"), policy)?;
        Ok(Self(folder))
    }

    /// What a server has to be told, so that it writes into it.
    fn flags(&self) -> [String; 2] {
        let policy = self.0.path().join("policy.yaml");
        [
            format!("--audit-policy-file={}", policy.display()),
            format!("--audit-log-path={}", self.file().display()),
        ]
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("audit.log")
    }

    /// The event of a request, by the id in the answer.
    async fn event(&self, id: &str) -> Result<Value> {
        let find = || {
            let log = std::fs::read_to_string(self.file()).ok()?;
            let line = log.lines().find(|line| line.contains(id))?;
            serde_json::from_str(line).ok()
        };
        wait_until("an event in the audit log", SOON, async || find().is_some()).await?;
        Ok(find().unwrap_or(Value::Null))
    }
}
