//! The APIs that the load uses: one that every server always has, one that a CRD adds to all of
//! them, one of an API server that they aggregate, one that only the newer version has; and small
//! objects of each.

use anyhow::{Context, Result, ensure};
use hyper::Method;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::super::record::Class;
use crate::client::{Answer, Client, Protocol, Request};
use crate::control_plane::ControlPlane;
use crate::workload::direct;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    ConfigMaps,
    /// Custom resources.
    Widgets,
    /// What an API server has that all servers pass requests on to.
    Flunders,
    /// Cluster trust bundles: they came with 1.37.
    Bundles,
}

/// Where the load lives.
pub(crate) const NAMESPACE: &str = "chaos";
/// Its status is a subresource that came with 1.37, of a resource that all have.
pub(super) const CSI_NODE_STATUS: &str = "/apis/storage.k8s.io/v1/csinodes/chaos/status";
pub(super) const NOBODYS: [&str; 2] =
    ["/apis/no.such.group/v1/things", "/apis/apps/v1/nosuchthings"];
/// On each object; what a patch replaces, after it has tested it.
pub(super) const PATCHED: &str = "patched";

impl Api {
    pub(crate) const ALL: [Self; 4] =
        [Self::ConfigMaps, Self::Widgets, Self::Flunders, Self::Bundles];

    pub(crate) fn class(self) -> Class {
        match self {
            Self::Bundles => Class::New,
            Self::ConfigMaps | Self::Widgets | Self::Flunders => Class::Everywhere,
        }
    }

    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::ConfigMaps => "configmaps",
            Self::Widgets => "widgets",
            Self::Flunders => "flunders",
            Self::Bundles => "clustertrustbundles",
        }
    }

    /// Its list.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::ConfigMaps => "/api/v1/namespaces/chaos/configmaps",
            Self::Widgets => "/apis/chaos.example.com/v1/namespaces/chaos/widgets",
            Self::Flunders => "/apis/wardle.example.com/v1alpha1/namespaces/chaos/flunders",
            Self::Bundles => "/apis/certificates.k8s.io/v1/clustertrustbundles",
        }
    }

    /// What etcd's keys of its objects have in them, before the name.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::ConfigMaps => "/configmaps/chaos/",
            Self::Widgets => "/chaos.example.com/widgets/chaos/",
            Self::Flunders => "/flunders/chaos/",
            Self::Bundles => "/clustertrustbundles/",
        }
    }

    /// An object with this `metadata`, to which a label is added.
    pub(super) fn object(self, mut metadata: Value) -> Value {
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("labels".to_owned(), json!({PATCHED: "no"}));
        }
        let (version, kind) = self.version_and_kind();
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
        if self == Self::Bundles
            && let Some(object) = object.as_object_mut()
        {
            object.insert("spec".to_owned(), json!({"trustBundle": AUTHORITY}));
        }
        object
    }

    /// What kube-rs needs to know of it.
    pub(super) fn resource(self) -> ApiResource {
        let (version, kind) = self.version_and_kind();
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let kind = GroupVersionKind::gvk(group, version, kind);
        ApiResource::from_gvk_with_plural(&kind, self.plural())
    }

    fn version_and_kind(self) -> (&'static str, &'static str) {
        match self {
            Self::ConfigMaps => ("v1", "ConfigMap"),
            Self::Widgets => ("chaos.example.com/v1", "Widget"),
            Self::Flunders => ("wardle.example.com/v1alpha1", "Flunder"),
            Self::Bundles => ("certificates.k8s.io/v1", "ClusterTrustBundle"),
        }
    }
}

/// Makes the namespace, the custom resource and the CSI node, where they are not there yet.
pub(super) async fn prepare(plane: &ControlPlane, server: &str) -> Result<()> {
    let client = direct(plane, server, Protocol::Http1)?;
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.chaos.example.com"},
        "spec": {
            "group": "chaos.example.com", "scope": "Namespaced", "versions": [version],
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        },
    });
    let node = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSINode",
        "metadata": {"name": "chaos"}, "spec": {"drivers": []},
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for (path, object) in [
        ("/api/v1/namespaces", json!({"metadata": {"name": NAMESPACE}})),
        (definitions, definition),
        ("/apis/storage.k8s.io/v1/csinodes", node),
    ] {
        let answer = client.post(path, &object).await?;
        let is_there = [201, 409].contains(&answer.status.as_u16());
        ensure!(is_there, "{path}: {} {}", answer.status, answer.text());
    }
    for (name, _) in plane.servers() {
        let client = direct(plane, name, Protocol::Http1)?;
        let serves = async || is_ok(client.get(Api::Widgets.path()).await);
        let what = format!("{name} serving the custom resource");
        crate::process::wait_until(&what, super::SOON, serves).await?;
    }
    Ok(())
}

/// Makes a last object of each API that is there: a watcher that has heard of it has heard all
/// before it. Returns whether each API of `Api::ALL` got one, and its name.
pub(super) async fn leave_ends(
    plane: &ControlPlane,
    server: &str,
    mark: &str,
) -> Result<Vec<(Api, String)>> {
    let client = direct(plane, server, Protocol::Http1)?;
    let mut ends = Vec::new();
    for api in Api::ALL {
        let name = format!("{mark}-end");
        let request = Request::new(Method::POST, api.path());
        let made = client.send(request.json(&api.object(json!({"name": name})))).await?;
        match made.status.as_u16() {
            201 => ends.push((api, name)),
            404 if api.class() == Class::New => {}
            status => anyhow::bail!("{}: {status} {}", api.path(), made.text()),
        }
    }
    Ok(ends)
}

/// A list of this path's objects, asked of one server.
pub(super) async fn items(client: &Client, path: &str) -> Result<Vec<Value>> {
    let answer = client.get(path).await?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
    let mut list = answer.json()?;
    let items = list.get_mut("items").map(Value::take).context("a list without items")?;
    Ok(serde_json::from_value(items)?)
}

fn is_ok(answer: Result<Answer>) -> bool {
    answer.is_ok_and(|answer| answer.status == 200)
}

/// Servers look whether it is one; nobody trusts it, and its key is gone.
pub(super) const AUTHORITY: &str = include_str!("authority.pem");
