//! What etcd and each kube-apiserver are told: the rig's files and ports → command lines.
//!
//! Knows which flags a kube-apiserver needs to run alone on loopback, and which tokens it accepts.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{ADMIN_TOKEN, FETCHER_TOKEN, NOBODY_TOKEN, OPERATOR_TOKEN};
use crate::pki::Pki;

/// The group of the fetcher's user, to which the rig gives the fetcher's rights.
pub const FETCHER_GROUP: &str = "peerway:fetcher";
/// The group that it gives all rights to.
pub(super) const OPERATOR_GROUP: &str = "peerway:operators";

/// What all processes of a control plane have in common, beside their certificates.
#[derive(Debug)]
pub(super) struct Rig {
    folder: PathBuf,
    tokens: PathBuf,
    etcd_port: u16,
}

/// What one kube-apiserver has of its own.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) port: u16,
    /// There for one that speaks to its peers itself.
    pub(super) host_name: Option<String>,
    /// Given last, so they win.
    pub(super) more: Vec<String>,
}

impl Rig {
    pub(super) fn create(folder: &Path, etcd_port: u16) -> Result<Self> {
        let tokens = folder.join("tokens.csv");
        let lines = format!(
            "{ADMIN_TOKEN},admin,admin,\"system:masters\"\n\
             {FETCHER_TOKEN},peerway-fetcher,peerway-fetcher,\"{FETCHER_GROUP}\"\n\
             {OPERATOR_TOKEN},operator,operator,\"{OPERATOR_GROUP}\"\n\
             {NOBODY_TOKEN},nobody,nobody\n"
        );
        std::fs::write(&tokens, lines)
            .with_context(|| format!("cannot write {}", tokens.display()))?;
        Ok(Self { folder: folder.to_owned(), tokens, etcd_port })
    }

    pub(super) fn etcd(&self, binary: &Path, peer_port: u16) -> Command {
        let clients = format!("http://127.0.0.1:{}", self.etcd_port);
        let peers = format!("http://127.0.0.1:{peer_port}");
        let mut command = Command::new(binary);
        command
            .arg(flag("data-dir", self.folder.join("etcd").display()))
            .arg(flag("listen-client-urls", &clients))
            .arg(flag("advertise-client-urls", &clients))
            .arg(flag("listen-peer-urls", &peers))
            .arg(flag("initial-advertise-peer-urls", &peers))
            .arg(flag("initial-cluster", format!("default={peers}")))
            // Its data lives no longer than the rig, so nothing is lost with the machine.
            .arg("--unsafe-no-fsync");
        command
    }

    pub(super) fn kube_apiserver(&self, binary: &Path, pki: &Pki, its: &Arguments) -> Command {
        let Arguments { port, host_name, more } = its;
        let mut command = match host_name {
            None => Command::new(binary),
            Some(name) => {
                let mut command = under_host_name(name, binary);
                command
                    .arg(flag("peer-ca-file", pki.serving_ca.display()))
                    .arg(flag("peer-advertise-ip", "127.0.0.1"))
                    .arg(flag("peer-advertise-port", port));
                command
            }
        };
        command
            .arg(flag("etcd-servers", format!("http://127.0.0.1:{}", self.etcd_port)))
            .arg(flag("secure-port", port))
            .arg(flag("tls-cert-file", pki.server.certificate.display()))
            .arg(flag("tls-private-key-file", pki.server.key.display()))
            .arg(flag("client-ca-file", pki.user_ca.certificate.display()))
            .arg(flag("requestheader-client-ca-file", pki.front_proxy_ca.display()))
            .arg(flag("proxy-client-cert-file", pki.front_proxy.certificate.display()))
            .arg(flag("proxy-client-key-file", pki.front_proxy.key.display()))
            .arg(flag("token-auth-file", self.tokens.display()))
            .arg(flag("service-account-key-file", pki.service_account_public_key.display()))
            .arg(flag("service-account-signing-key-file", pki.service_account_key.display()))
            .args(ALIKE_FOR_ALL.iter().filter(|own| !more.iter().any(|flag| same_name(own, flag))))
            .args(more);
        command
    }
}

/// A kube-apiserver is known to its peers by a hash of its host name.
fn under_host_name(name: &str, binary: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.arg("--uts");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["sh", "-c", "hostname \"$0\" && exec \"$@\"", name]).arg(binary);
    command
}

/// A list that is given twice is one list of both, so what is described stands alone.
fn same_name(one: &str, other: &str) -> bool {
    one.split('=').next() == other.split('=').next()
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

const ALIKE_FOR_ALL: [&str; 13] = [
    "--bind-address=127.0.0.1",
    "--advertise-address=127.0.0.1",
    "--requestheader-allowed-names=front-proxy-client",
    "--requestheader-username-headers=X-Remote-User",
    "--requestheader-uid-headers=X-Remote-Uid",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    "--authorization-mode=Node,RBAC",
    "--service-cluster-ip-range=10.0.0.0/24",
    "--service-account-issuer=https://kubernetes.default.svc",
    // All servers advertise the same address, so they would quarrel over the `kubernetes`
    // endpoints.
    "--endpoint-reconciler-type=none",
    // Pods shall not wait for a service account that only a controller would make.
    "--disable-admission-plugins=ServiceAccount",
    // Without it a server with one open watch takes 60 s to stop (seen), with it one second.
    "--shutdown-watch-termination-grace-period=1s",
];
