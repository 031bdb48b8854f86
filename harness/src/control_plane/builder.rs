//! The description of a control plane → a running one: everything is made, started and waited for
//! here.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::ask::Asker;
use super::flags::{Arguments, FETCHER_GROUP, OPERATOR_GROUP, Rig};
use super::folder::Folder;
use super::member::Member;
use super::{ADMIN_TOKEN, ControlPlane, ETCD, OPERATOR_TOKEN, Server};
use crate::parts::{self, Part};
use crate::pki::Pki;
use crate::process::{free_port, wait_until};

/// What a control plane shall consist of.
#[derive(Debug, Default)]
pub struct Builder {
    servers: Vec<Description>,
    folder: Option<PathBuf>,
    peered: bool,
}

#[derive(Debug)]
struct Description {
    name: String,
    version: String,
    flags: Vec<String>,
}

impl Builder {
    /// A server of this name and version ("1.36.3").
    pub fn server(self, name: &str, version: &str) -> Self {
        self.server_with(name, version, &[])
    }

    /// The same with more flags, such as `--goaway-chance=0.02`. They come last, so they win over
    /// the rig's own; the server keeps them when it is replaced by another version.
    pub fn server_with(mut self, name: &str, version: &str, flags: &[&str]) -> Self {
        self.servers.push(Description {
            name: name.to_owned(),
            version: version.to_owned(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
        });
        self
    }

    /// Switches on the servers' own Mixed Version Proxy. A server is known to the others by its host
    /// name, so each gets one of its own: this needs `unshare` (util-linux), and root or user
    /// namespaces.
    pub fn peered(mut self) -> Self {
        self.peered = true;
        self
    }

    /// Keeps all files in `folder`, which must be empty or not there yet. Else they lie in a
    /// temporary one, which goes with the control plane, except when a test panics.
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Starts everything, and returns when each server says on `/readyz` that it is ready. Parts
    /// that are not there yet are built first, which takes minutes.
    pub async fn start(self) -> Result<ControlPlane> {
        self.check_names()?;
        let etcd = parts::ensure(&Part::etcd()).await?;
        for server in &self.servers {
            parts::ensure(&Part::kube_apiserver(&server.version)).await?;
        }
        let folder = Folder::create(self.folder.as_deref())?;
        let pki = Pki::create(&folder.path().join("pki"))?;
        let etcd_port = free_port()?;
        let rig = Rig::create(folder.path(), etcd_port)?;
        let asker = Asker::new(&pki.serving_authority, ADMIN_TOKEN)?;

        let etcd_url = format!("http://127.0.0.1:{etcd_port}");
        let command = rig.etcd(&etcd, free_port()?);
        let etcd = Member::new(ETCD, etcd_url, "/health", command, folder.path(), &asker);
        etcd.start().await?;
        let mut plane = ControlPlane {
            etcd,
            servers: Vec::new(),
            rig,
            pki,
            asker,
            components_started: AtomicUsize::new(0),
            folder,
        };
        for server in self.servers {
            plane.add(server, self.peered).await?;
        }
        for server in &plane.servers {
            server.member.ready().await?;
        }
        // Everybody who is known may read discovery by default, but careful owners take that away;
        // what the fetcher needs shall be in one place.
        plane.bind("peerway:fetcher", FETCHER_GROUP, "system:discovery").await?;
        plane.bind("peerway:operators", OPERATOR_GROUP, "cluster-admin").await?;
        plane.operator_may().await?;
        Ok(plane)
    }

    fn check_names(&self) -> Result<()> {
        if self.servers.is_empty() {
            bail!("a control plane needs a server");
        }
        for (index, server) in self.servers.iter().enumerate() {
            let taken = self.servers.iter().take(index).any(|other| other.name == server.name);
            if taken || server.name == ETCD {
                bail!("there are two processes named {}", server.name);
            }
        }
        Ok(())
    }
}

impl ControlPlane {
    async fn add(&mut self, server: Description, peered: bool) -> Result<()> {
        let Description { name, version, flags } = server;
        let binary = parts::ensure(&Part::kube_apiserver(&version)).await?;
        let port = free_port()?;
        let host_name = peered.then(|| name.clone());
        let arguments = Arguments { port, host_name, more: flags };
        let command = self.rig.kube_apiserver(&binary, &self.pki, &arguments);
        let url = format!("https://127.0.0.1:{port}");
        let member = Member::new(&name, url, "/readyz", command, self.folder.path(), &self.asker);
        member.launch().await?;
        self.servers.push(Server { member, arguments });
        Ok(())
    }

    /// Gives a ClusterRole to a group.
    async fn bind(&self, name: &str, to: &str, role: &str) -> Result<()> {
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "apiVersion": format!("{group}/v1"),
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": group, "kind": "Group", "name": to}],
        });
        let path = format!("/apis/{group}/v1/clusterrolebindings");
        self.create(&path, &binding).await.with_context(|| format!("the rights of {to}"))
    }

    /// Waits until every server has read the rules that let the operator do everything.
    async fn operator_may(&self) -> Result<()> {
        let operator = Asker::new(&self.pki.serving_authority, OPERATOR_TOKEN)?;
        for server in &self.servers {
            let url = format!("https://127.0.0.1:{}/api/v1/namespaces", server.arguments.port);
            let may = async || operator.get(&url).await.is_ok_and(|answer| answer.status == 200);
            wait_until("letting the operator in", RULES_LIMIT, may).await?;
        }
        Ok(())
    }
}

/// Rules are read by a watch.
const RULES_LIMIT: Duration = Duration::from_secs(20);
