//! What makes a control plane do things, started on demand: kube-controller-manager,
//! kube-scheduler, and kwok, which plays nodes and what runs on them.
//!
//! Each talks to the server of a given kubeconfig, which can be a balancer, and is the caller's: it
//! ends when its value is dropped. None says when it is ready; wait for what it does.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use serde_json::json;

use super::ControlPlane;
use crate::kubeconfig::Kubeconfig;
use crate::parts::{self, Part};
use crate::process::{Process, free_port};

impl ControlPlane {
    /// Starts kube-controller-manager with all of its controllers.
    pub async fn controller_manager(&self, kubeconfig: &Kubeconfig) -> Result<Process> {
        let pki = self.pki();
        let mut command = Command::new(parts::ensure(&Part::kube_controller_manager()).await?);
        command
            .args(["--leader-elect=false", "--secure-port=0"])
            .args([Path::new("--kubeconfig"), kubeconfig.path()])
            .args([Path::new("--root-ca-file"), &pki.serving_ca])
            .args([Path::new("--service-account-private-key-file"), &pki.service_account_key])
            .args([Path::new("--cluster-signing-cert-file"), &pki.user_ca.certificate])
            .args([Path::new("--cluster-signing-key-file"), &pki.user_ca.key]);
        self.start_component("kube-controller-manager", &command)
    }

    /// Starts kube-scheduler.
    pub async fn scheduler(&self, kubeconfig: &Kubeconfig) -> Result<Process> {
        let mut command = Command::new(parts::ensure(&Part::kube_scheduler()).await?);
        command
            .args(["--leader-elect=false", "--secure-port=0"])
            .args([Path::new("--kubeconfig"), kubeconfig.path()]);
        self.start_component("kube-scheduler", &command)
    }

    /// Starts kwok: every node object becomes a node that is ready, and every pod on one runs.
    pub async fn kwok(&self, kubeconfig: &Kubeconfig) -> Result<Process> {
        self.kwok_with(kubeconfig, "").await
    }

    /// The same with more of its objects (YAML), such as a `ClusterExec`, which says what becomes of
    /// what is executed in a pod.
    pub async fn kwok_with(&self, kubeconfig: &Kubeconfig, objects: &str) -> Result<Process> {
        let binary = parts::ensure(&Part::kwok()).await?;
        let stages = self.folder().join("kwok-stages.yaml");
        std::fs::write(&stages, format!("{STAGES}---\n{objects}"))
            .with_context(|| format!("cannot write {}", stages.display()))?;
        let port = free_port()?;
        let mut command = Command::new(binary);
        command
            .args(["--manage-all-nodes=true", "--node-lease-duration-seconds=40"])
            .args(["--node-ip=127.0.0.1", &format!("--node-port={port}")])
            .arg(format!("--server-address=127.0.0.1:{port}"))
            .args([Path::new("--kubeconfig"), kubeconfig.path()])
            .args([Path::new("--config"), &stages])
            .args([Path::new("--tls-cert-file"), &self.pki().server.certificate])
            .args([Path::new("--tls-private-key-file"), &self.pki().server.key]);
        self.start_component("kwok", &command)
    }

    /// Several of a kind may run, one for each balancer; each has a log of its own.
    pub(super) fn start_component(&self, name: &str, command: &Command) -> Result<Process> {
        let number = self.components_started.fetch_add(1, Ordering::Relaxed) + 1;
        Process::start(name, command, &self.folder().join(format!("{name}-{number}.log")))
    }
}

/// The manifest of a node for kwok to play, with room for pods.
pub fn fake_node(name: &str) -> String {
    let room = json!({"cpu": "32", "memory": "64Gi", "pods": "110"});
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "status": {"allocatable": room, "capacity": room},
    })
    .to_string()
}

const STAGES: &str = include_str!("kwok-stages.yaml");
