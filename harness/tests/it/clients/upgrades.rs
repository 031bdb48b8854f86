//! Servers that are killed, stopped, started and upgraded while clients look: no look shows less of
//! the built-in APIs than the one before, and a custom resource that was deleted does not come back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Result, ensure};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Answer, Client, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::process::wait_until;
use peerway_harness::workload::direct;
use serde_json::Value;

use super::{CUSTOM, SOON, define_widgets};
use crate::merged::aggregated;
use crate::readers::{Readers, broke_off, read};
use crate::rig::no_vm_died;

const OLD: &str = "1.36.3";
const NEW: &str = "1.37.2";
const DEFINITION: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
/// What plain documents must name: what both versions have, and what the new one alone does.
const PLAIN: [(&str, [&str; 2]); 3] = [
    ("/apis", ["apps/v1", "storagemigration.k8s.io/v1"]),
    ("/apis/certificates.k8s.io/v1", ["certificatesigningrequests", "clustertrustbundles"]),
    ("/apis/storage.k8s.io/v1", ["csinodes", "csinodes/status"]),
];
/// What the new one alone has: of a group-version of its own, a resource, a subresource.
const ONLY_NEW: [&str; 3] = [
    "storagemigration.k8s.io/v1/storageversionmigrations",
    "certificates.k8s.io/v1/clustertrustbundles",
    "storage.k8s.io/v1/csinodes/status",
];
/// Looks of each client between two steps.
const LOOKS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_built_in_is_lost_for_a_moment_and_nothing_deleted_comes_back() {
    let plane = ControlPlane::builder().server("a", OLD).server("b", OLD).server("c", NEW);
    let plane = plane.start().await.unwrap();
    define_widgets(&plane).await.unwrap();
    let must = Must::of(&plane).await.unwrap();
    let mut balancer = Builder::before(&plane).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let looking = Looking::start(&balancer, must).await.unwrap();

    // The only server that has everything, in every way in which it can go.
    looking.is_cut.store(true, Relaxed);
    plane.kill("c").await.unwrap();
    looking.go_on().await.unwrap();
    balancer.server_is("c", "gone").await.unwrap();
    looking.is_cut.store(false, Relaxed);
    looking.go_on().await.unwrap();
    plane.start("c").await.unwrap();
    looking.go_on().await.unwrap();
    plane.stop("c").await.unwrap();
    looking.go_on().await.unwrap();

    // It does not see the definition go.
    let client = direct(&plane, "a", Protocol::Http1).unwrap();
    let deleted = client.delete(DEFINITION).await.unwrap();
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    looking.rid_of_custom().await.unwrap();
    plane.start("c").await.unwrap();
    balancer.all_confirmed().await.unwrap();
    looking.go_on().await.unwrap();
    for name in ["a", "b"] {
        plane.replace_with(name, NEW).await.unwrap();
        balancer.all_confirmed().await.unwrap();
        looking.go_on().await.unwrap();
    }
    let (looks, repeated) = looking.readers.end().await.unwrap();
    println!("{looks} looks, {repeated} that were to be repeated");
    no_vm_died(&mut balancer).await.unwrap();
}

/// Two clients that look at aggregated documents, and one at plain ones. Each stays on a connection,
/// and so with a worker: another one may take a new map a moment earlier.
struct Looking {
    readers: Readers,
    /// Whether a server is being killed: the answer that it had in hand may break off.
    is_cut: Arc<AtomicBool>,
    /// For each client that looks for it, whether it does not see the custom resource any more.
    is_rid: Vec<Arc<AtomicBool>>,
}

impl Looking {
    async fn start(balancer: &Balancer, must: Must) -> Result<Self> {
        let must = Arc::new(must);
        let mut looking =
            Self { readers: Readers::default(), is_cut: Arc::default(), is_rid: Vec::new() };
        for _ in 0..2 {
            let client = balancer.client(ADMIN_TOKEN, Protocol::Http2)?;
            let (must, is_rid) = (Arc::clone(&must), Arc::<AtomicBool>::default());
            let is_cut = Arc::clone(&looking.is_cut);
            looking.is_rid.push(Arc::clone(&is_rid));
            looking.readers.add(move || {
                let (client, must, is_rid) =
                    (client.clone(), Arc::clone(&must), Arc::clone(&is_rid));
                let is_cut = Arc::clone(&is_cut);
                async move { unless_cut(look_at_all(&client, &must, &is_rid).await, &is_cut) }
            });
        }
        let client = balancer.client(ADMIN_TOKEN, Protocol::Http2)?;
        let is_cut = Arc::clone(&looking.is_cut);
        looking.readers.add(move || {
            let (client, is_cut) = (client.clone(), Arc::clone(&is_cut));
            async move { unless_cut(look_at_plain(&client).await, &is_cut) }
        });
        looking.go_on().await?;
        Ok(looking)
    }

    async fn go_on(&self) -> Result<()> {
        self.readers.go_on(LOOKS).await
    }

    /// Returns when none sees the custom resource any more.
    async fn rid_of_custom(&self) -> Result<()> {
        let is_rid = || self.is_rid.iter().all(|is_rid| is_rid.load(Relaxed));
        self.readers.until("rid of the custom resource", is_rid).await
    }
}

/// To be repeated, where a server was killed in the middle of its answer.
fn unless_cut(look: Result<Option<()>>, is_cut: &AtomicBool) -> Result<Option<()>> {
    if is_cut.load(Relaxed) && broke_off(&look) { Ok(None) } else { look }
}

async fn look_at_all(client: &Client, must: &Must, is_rid: &AtomicBool) -> Result<Option<()>> {
    let Some(answer) = read(client, aggregated("/apis")).await? else { return Ok(None) };
    let has_custom = must.be_in(&answer)?;
    let was_rid = is_rid.swap(!has_custom, Relaxed);
    ensure!(!(has_custom && was_rid), "{CUSTOM} came back");
    Ok(Some(()))
}

async fn look_at_plain(client: &Client) -> Result<Option<()>> {
    for (path, names) in PLAIN {
        let Some(answer) = read(client, Request::get(path)).await? else { return Ok(None) };
        let text = answer.text();
        for name in names {
            ensure!(text.contains(&format!("\"{name}\"")), "{path}: {name} is lost: {text}");
        }
    }
    Ok(Some(()))
}

/// What aggregated discovery must show.
struct Must {
    /// Every built-in API of every server.
    all: BTreeSet<String>,
    /// Those that also answering servers have: clients do not believe what is `Stale`.
    current: BTreeSet<String>,
}

impl Must {
    /// What the servers list, once each lists the custom resource.
    async fn of(plane: &ControlPlane) -> Result<Self> {
        let [old, new] = [listed_by(plane, "a").await?, listed_by(plane, "c").await?];
        listed_by(plane, "b").await?;
        let is_new = |api: &&str| new.contains(*api) && !old.contains(*api);
        ensure!(ONLY_NEW.iter().all(is_new) && new.is_superset(&old), "{old:?}, {new:?}");
        Ok(Self { all: new, current: old })
    }

    /// Whether the custom resource is there; an error when anything else is not.
    fn be_in(&self, answer: &Answer) -> Result<bool> {
        let (mut all, mut current) = (BTreeSet::new(), BTreeSet::new());
        for (api, is_stale) in listed(&answer.json()?) {
            if !is_stale {
                current.insert(api.clone());
            }
            all.insert(api);
        }
        let lost: Vec<_> = self.all.difference(&all).collect();
        ensure!(lost.is_empty(), "lost: {lost:?}");
        let stale: Vec<_> = self.current.difference(&current).collect();
        ensure!(stale.is_empty(), "stale: {stale:?}");
        Ok(all.contains(CUSTOM))
    }
}

/// The built-in APIs that a server lists, once it lists the custom resource.
async fn listed_by(plane: &ControlPlane, name: &str) -> Result<BTreeSet<String>> {
    let client = direct(plane, name, Protocol::Http1)?;
    let look = async || anyhow::Ok(listed(&client.send(aggregated("/apis")).await?.json()?));
    let has_custom =
        async || look().await.is_ok_and(|all| all.iter().any(|(api, _)| api == CUSTOM));
    wait_until("listing the custom resource", SOON, has_custom).await?;
    let all = look().await?.into_iter().map(|(api, _)| api);
    Ok(all.filter(|api| !api.starts_with("example.com/")).collect())
}

/// `group/version/resource` and `group/version/resource/subresource` of an aggregated document, and
/// whether they are `Stale`.
fn listed(document: &Value) -> Vec<(String, bool)> {
    let each = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
    let name = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let mut listed = Vec::new();
    for group in each(document, "items") {
        for version in each(&group, "versions") {
            let is_stale = version["freshness"] == "Stale";
            let prefix =
                format!("{}/{}", name(&group["metadata"], "name"), name(&version, "version"));
            for resource in each(&version, "resources") {
                let api = format!("{prefix}/{}", name(&resource, "resource"));
                for subresource in each(&resource, "subresources") {
                    listed.push((format!("{api}/{}", name(&subresource, "subresource")), is_stale));
                }
                listed.push((api, is_stale));
            }
        }
    }
    listed
}
