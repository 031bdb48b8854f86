//! What clients see of a cluster whose servers differ: kubectl, kube-rs and client-go, each looking
//! many times, see every API of every server each time.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::control_plane::{self, ADMIN_TOKEN, AGGREGATED, ControlPlane};
use peerway_harness::go_client::{Form, View, discover};
use peerway_harness::kubeconfig::{Kubeconfig, kubectl};
use peerway_harness::process::{Process, wait_until};
use serde_json::json;

mod commands;
mod deletion;
mod mixes;
mod upgrades;

/// For what must come, on a machine however busy.
const SOON: Duration = Duration::from_secs(60);
/// A custom resource that every rig of these tests has.
const CUSTOM: &str = "example.com/v1/widgets";

/// Servers that differ, with a custom resource and an aggregated API server, behind Peerway.
struct Mixed {
    // In the order of their end.
    balancer: Balancer,
    _aggregated: Process,
    plane: ControlPlane,
    kubeconfig: Kubeconfig,
    /// What the servers have, each asked by itself, together.
    everything: Seen,
}

/// What a client sees of several servers, or of one.
#[derive(Debug, Default)]
struct Seen {
    /// `group/version/resource` or `group/version/resource/subresource`, without the core group's
    /// empty name.
    apis: BTreeSet<String>,
    /// The resources that a kind leads to.
    mapped: BTreeSet<String>,
}

impl Mixed {
    /// The last server is the one that the aggregated API server itself asks.
    async fn start(plane: control_plane::Builder) -> Result<Self> {
        let plane = plane.start().await?;
        let (newest, _) = *plane.servers().last().context("no server")?;
        let newest = plane.kubeconfig(newest, ADMIN_TOKEN)?;
        let aggregated = plane.aggregated_apiserver(&newest).await?;
        define_widgets(&plane).await?;
        let mut everything = Seen::default();
        for (name, _) in plane.servers() {
            let own = own(&plane, name).await?;
            everything.apis.extend(own.seen);
            everything.mapped.extend(own.mapped);
        }
        let balancer = Builder::before(&plane).start().await?;
        balancer.all_confirmed().await?;
        let kubeconfig = plane.kubeconfig_for("peerway", &balancer.url(), ADMIN_TOKEN)?;
        Ok(Self { balancer, _aggregated: aggregated, plane, kubeconfig, everything })
    }
}

async fn define_widgets(plane: &ControlPlane) -> Result<()> {
    let schema = json!({
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
            }],
        },
    });
    plane.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await
}

/// What a server has, once it has what etcd gives to all.
async fn own(plane: &ControlPlane, name: &str) -> Result<View> {
    let kubeconfig = plane.kubeconfig(name, ADMIN_TOKEN)?;
    let of_etcd = [CUSTOM, AGGREGATED.trim_start_matches("/apis/")];
    let look = async || discover(&kubeconfig, Form::Memory, 1).await.ok()?.pop();
    let is_whole = |view: &View| of_etcd.iter().all(|api| view.mapped.contains(*api));
    let has_all = async || look().await.is_some_and(|view| is_whole(&view));
    let waited = wait_until("listing what etcd gives to all", SOON, has_all).await;
    waited.with_context(|| name.to_owned())?;
    let view = look().await.context("saw nothing")?;
    ensure!(view.error.is_empty(), "{name}: {}", view.error);
    Ok(view)
}

/// What kubectl prints; an error when it fails.
async fn run(kubeconfig: &Kubeconfig, args: &[&str]) -> Result<String> {
    let output = kubectl(kubeconfig, args).await?;
    ensure!(output.succeeded(), "kubectl {args:?}: {output}");
    Ok(output.stdout)
}

/// An error that names what is in one and not in the other, both ways.
fn is_all(expected: &BTreeSet<String>, seen: &BTreeSet<String>) -> Result<()> {
    let missing: Vec<_> = expected.difference(seen).collect();
    let more: Vec<_> = seen.difference(expected).collect();
    ensure!(missing.is_empty() && more.is_empty(), "missing: {missing:?}; more: {more:?}");
    Ok(())
}
