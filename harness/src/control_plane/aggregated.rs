//! An API server behind the servers' own aggregation: k8s.io/sample-apiserver, which has the group
//! `wardle.example.com` in two versions, registered by a Service and APIServices.
//!
//! A kube-apiserver finds it by the name of an ExternalName service: addresses on loopback are
//! refused as endpoints.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::ControlPlane;
use crate::kubeconfig::Kubeconfig;
use crate::parts::{self, Part};
use crate::process::{Process, free_port};

/// A resource of the aggregated API, namespaced.
pub const AGGREGATED: &str = "/apis/wardle.example.com/v1alpha1/flunders";
const GROUP: &str = "wardle.example.com";
const VERSIONS: [&str; 2] = ["v1alpha1", "v1beta1"];

impl ControlPlane {
    /// Starts k8s.io/sample-apiserver and registers it. It asks about callers and watches what it
    /// needs by `kubeconfig`. Returns when every server passes requests on to it; a server's discovery
    /// names it a moment later.
    pub async fn aggregated_apiserver(&self, kubeconfig: &Kubeconfig) -> Result<Process> {
        let port = free_port()?;
        let mut command = Command::new(parts::ensure(&Part::sample_apiserver()).await?);
        command
            .args(["--bind-address=127.0.0.1", &format!("--secure-port={port}")])
            .arg(format!("--etcd-servers={}", self.etcd.url()))
            .args([Path::new("--tls-cert-file"), &self.pki().server.certificate])
            .args([Path::new("--tls-private-key-file"), &self.pki().server.key])
            .args([Path::new("--kubeconfig"), kubeconfig.path()])
            .args([Path::new("--authentication-kubeconfig"), kubeconfig.path()])
            .args([Path::new("--authorization-kubeconfig"), kubeconfig.path()])
            // An older server does not have the policies that it would wait for.
            .arg("--disable-admission-plugins=MutatingAdmissionPolicy,ValidatingAdmissionPolicy");
        let mut process = self.start_component("sample-apiserver", &command)?;
        self.register(port).await?;
        let everywhere = async || {
            for (name, _) in self.servers() {
                if !self.ask(name, AGGREGATED).await.is_ok_and(|answer| answer.status == 200) {
                    return false;
                }
            }
            true
        };
        process.wait_until("reachable through every server", START_LIMIT, everywhere).await?;
        Ok(process)
    }

    async fn register(&self, port: u16) -> Result<()> {
        let service = json!({"namespace": "default", "name": "wardle", "port": port});
        self.create(
            "/api/v1/namespaces/default/services",
            &json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "wardle"},
                "spec": {"type": "ExternalName", "externalName": "localhost"},
            }),
        )
        .await?;
        for version in VERSIONS {
            let object = json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": format!("{version}.{GROUP}")},
                "spec": {
                    "group": GROUP, "version": version, "service": service,
                    "insecureSkipTLSVerify": true,
                    "groupPriorityMinimum": 1000, "versionPriority": 15,
                },
            });
            self.create("/apis/apiregistration.k8s.io/v1/apiservices", &object).await?;
        }
        Ok(())
    }

    /// Creates an object, as the administrator, at the first server: `path` is the collection's.
    pub async fn create(&self, path: &str, object: &Value) -> Result<()> {
        let (_, address) = *self.servers().first().context("a control plane needs a server")?;
        let url = format!("https://{address}{path}");
        let answer = self.asker.post(&url, object).await?;
        ensure!(answer.status == 201, "{url} answered {} {}", answer.status, answer.body);
        Ok(())
    }
}

/// It starts as a kube-apiserver does; each server then finds it on its own turn.
const START_LIMIT: Duration = Duration::from_secs(90);
