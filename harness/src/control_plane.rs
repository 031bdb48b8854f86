//! A real control plane: one etcd and any mix of kube-apiserver versions on loopback, with its own
//! PKI and tokens, in a directory of its own.
//!
//! A description (`ControlPlane::builder()`) becomes running servers that are ready, each known by
//! a name by which it can be stopped, killed, frozen, started again on the same port, or replaced
//! by another version. Everything ends when the value is dropped. Any number of them can run side
//! by side. What the programs are told is in `control_plane/flags.rs`; Envoy and Peerway are not
//! known here.

use std::path::Path;
use std::sync::atomic::AtomicUsize;

use anyhow::{Context, Result};

use crate::kubeconfig::Kubeconfig;
use crate::parts::{self, Part};
use crate::pki::Pki;
use crate::process::log_tail;
use ask::Asker;
use flags::{Arguments, Rig};
use folder::Folder;
use member::Member;

pub use aggregated::AGGREGATED;
pub use ask::Answer;
pub use builder::Builder;
pub use components::fake_node;
pub use flags::FETCHER_GROUP;

mod aggregated;
mod ask;
mod builder;
mod components;
mod flags;
mod folder;
mod member;

/// May do everything (group `system:masters`).
pub const ADMIN_TOKEN: &str = "admin-token";
/// May do everything by RBAC (user `operator`, ClusterRole `cluster-admin`), as people and controllers
/// do. A server that starts refuses it until it has read its rules; `system:masters` it never does.
pub const OPERATOR_TOKEN: &str = "operator-token";
/// What Peerway's fetcher needs: user `peerway-fetcher`, whose group `peerway:fetcher` may read
/// `/readyz` and discovery.
pub const FETCHER_TOKEN: &str = "fetcher-token";
/// A known user (`nobody`) with the rights that everybody has who is known: discovery, no resource.
pub const NOBODY_TOKEN: &str = "nobody-token";
/// The name of etcd beside the servers' names.
pub const ETCD: &str = "etcd";

/// A running control plane. Dropping it ends all of its processes.
#[derive(Debug)]
pub struct ControlPlane {
    // In the order of their end: servers before the etcd that they use, files last.
    servers: Vec<Server>,
    etcd: Member,
    rig: Rig,
    pki: Pki,
    asker: Asker,
    components_started: AtomicUsize,
    folder: Folder,
}

#[derive(Debug)]
struct Server {
    member: Member,
    arguments: Arguments,
}

impl ControlPlane {
    /// A description with no server yet.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Name and address (`127.0.0.1:port`) of each server, in the order of the description.
    pub fn servers(&self) -> Vec<(&str, &str)> {
        self.servers.iter().map(|server| (server.member.name(), server.member.address())).collect()
    }

    /// The address of a server, or of etcd: `127.0.0.1:port`, the same for as long as the rig is
    /// there.
    pub fn address(&self, name: &str) -> Result<&str> {
        Ok(self.member(name)?.address())
    }

    /// The URL of a server (https), or of etcd (http).
    pub fn url(&self, name: &str) -> Result<&str> {
        Ok(self.member(name)?.url())
    }

    /// The log of a server, or of etcd. A later start appends to it.
    pub fn log(&self, name: &str) -> Result<&Path> {
        Ok(self.member(name)?.log())
    }

    /// The folder with all files: logs, certificates (`pki`), tokens, etcd's data, kubeconfigs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Certificates and keys, and the authorities that make more.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// Asks one server directly, as the administrator: GET of a path, over HTTP/1.1 and a new
    /// connection.
    pub async fn ask(&self, name: &str, path: &str) -> Result<Answer> {
        self.asker.get(&format!("{}{path}", self.url(name)?)).await
    }

    /// A kubeconfig for one server, with one of the tokens.
    pub fn kubeconfig(&self, name: &str, token: &str) -> Result<Kubeconfig> {
        self.kubeconfig_for(name, self.url(name)?, token)
    }

    /// A kubeconfig for another URL, such as a balancer's whose certificate comes from this PKI.
    /// `name` tells its file (`<name>-<token>.kubeconfig`) from others.
    pub fn kubeconfig_for(&self, name: &str, url: &str, token: &str) -> Result<Kubeconfig> {
        let path = self.folder().join(format!("{name}-{token}.kubeconfig"));
        Kubeconfig::write(&path, url, &self.pki.serving_ca, token)
    }

    /// Ends a server (or etcd) with SIGTERM, and waits until it is gone.
    pub async fn stop(&self, name: &str) -> Result<()> {
        self.member(name)?.stop().await
    }

    /// Ends a server (or etcd) with SIGKILL, and waits until it is gone.
    pub async fn kill(&self, name: &str) -> Result<()> {
        self.member(name)?.kill().await
    }

    /// Stops a server (or etcd) in its tracks: its port still accepts connections, and nothing
    /// answers.
    pub async fn freeze(&self, name: &str) -> Result<()> {
        self.member(name)?.freeze().await
    }

    /// Lets a frozen one go on.
    pub async fn thaw(&self, name: &str) -> Result<()> {
        self.member(name)?.thaw().await
    }

    /// Starts a stopped or killed one again, on the same port, and waits until it is ready.
    pub async fn start(&self, name: &str) -> Result<()> {
        self.member(name)?.start().await
    }

    /// Stops a server and starts one of another version on the same port; returns when it is ready.
    pub async fn replace_with(&self, name: &str, version: &str) -> Result<()> {
        let server = self.servers.iter().find(|server| server.member.name() == name);
        let server = server.with_context(|| format!("there is no server named {name}"))?;
        let binary = parts::ensure(&Part::kube_apiserver(version)).await?;
        server.member.stop().await?;
        let command = self.rig.kube_apiserver(&binary, &self.pki, &server.arguments);
        server.member.start_as(command).await
    }

    fn member(&self, name: &str) -> Result<&Member> {
        let mut members = self.members();
        members.find(|member| member.name() == name).with_context(|| {
            let names: Vec<&str> = self.members().map(Member::name).collect();
            format!("no process is named {name}, there are: {}", names.join(", "))
        })
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.etcd).chain(self.servers.iter().map(|server| &server.member))
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.keep();
            for member in self.members() {
                tell(&log_tail(member.log()));
            }
            tell(&format!("the control plane's files are kept in {}", self.folder().display()));
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "what a test runner shows with the failed test, and only then"
)]
fn tell(text: &str) {
    eprintln!("{text}");
}
