//! Aggregated discovery documents, made from a list of resources.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::ApiResource;

/// Which of the two documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Groups {
    Core,
    Named,
}

/// The document of `/api` or `/apis` that lists these.
pub(super) fn aggregated(
    resources: &BTreeSet<ApiResource>,
    group_versions: &BTreeSet<(String, String)>,
    groups: Groups,
) -> Vec<u8> {
    let mut versions_of: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (group, version) in group_versions {
        if group.is_empty() != (groups == Groups::Core) {
            continue;
        }
        let own = |one: &&ApiResource| (&one.group, &one.version) == (group, version);
        let entries = resource_entries(resources.iter().filter(own));
        let entry = json!({"version": version, "resources": entries, "freshness": "Current"});
        versions_of.entry(group).or_default().push(entry);
    }
    let items = versions_of.into_iter().map(|(group, versions)| {
        let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
        json!({"metadata": metadata, "versions": versions})
    });
    aggregated_list(items.collect()).into_bytes()
}

/// The resources of one group-version, each with its subresources.
fn resource_entries<'a>(own: impl Iterator<Item = &'a ApiResource>) -> Vec<Value> {
    let mut entries: BTreeMap<&str, (bool, Vec<Value>)> = BTreeMap::new();
    for one in own {
        let (is_served, subresources) = entries.entry(&one.resource).or_default();
        if one.subresource.is_empty() {
            *is_served = true;
            continue;
        }
        subresources.push(json!({
            "subresource": one.subresource,
            "responseKind": {"group": "", "version": "", "kind": KIND},
            "verbs": ["get", "patch", "update"],
        }));
    }
    let entry = |(resource, (is_served, subresources)): (&str, (bool, Vec<Value>))| {
        json!({
            "resource": resource,
            "responseKind": {"group": "", "version": "", "kind": if is_served { KIND } else { "" }},
            "scope": "Namespaced",
            "singularResource": "",
            "verbs": if is_served { json!(VERBS) } else { Value::Null },
            "subresources": subresources,
        })
    };
    entries.into_iter().map(entry).collect()
}

pub(super) fn aggregated_list(items: Vec<Value>) -> String {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": API_VERSION,
        "metadata": {},
        "items": items,
    })
    .to_string()
}

/// A group with one version, `v1`, and one resource.
pub(super) fn single_group(name: &str, resource: &str) -> Value {
    let resource = ApiResource::new(name, "v1", resource, "");
    let entries = resource_entries(std::iter::once(&resource));
    let version = json!({"version": "v1", "resources": entries, "freshness": "Current"});
    json!({"metadata": {"name": name}, "versions": [version]})
}

pub(super) const API_VERSION: &str = "apidiscovery.k8s.io/v2";
/// All simulated resources are of one kind: nobody looks.
pub(super) const KIND: &str = "Thing";
pub(super) const VERBS: [&str; 7] = ["create", "delete", "get", "list", "patch", "update", "watch"];
