//! Discovery documents of real servers, from the core's test data, and the same with many CRDs.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// `/api` and `/apis` of a kube-apiserver of this version.
pub(crate) fn of(version: &str) -> Result<[Vec<u8>; 2]> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../filter/core/testdata/discovery");
    let read = |root: &str| {
        let path = folder.join(version).join(format!("{root}.json"));
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    Ok([read("api")?, read("apis")?])
}

/// The same with so many CRDs, ten in a group, each with its `status`.
pub(crate) fn with_crds(documents: &[Vec<u8>; 2], count: usize) -> Result<[Vec<u8>; 2]> {
    let [core, named] = documents;
    let mut list: Value = serde_json::from_slice(named).context("/apis is no JSON")?;
    let groups = list.get_mut("items").and_then(Value::as_array_mut).context("no groups")?;
    let numbers: Vec<usize> = (0..count).collect();
    groups.extend(numbers.chunks(CRDS_IN_A_GROUP).enumerate().map(|(group, numbers)| {
        let group = format!("group-{group}.example.com");
        let resources: Vec<Value> = numbers.iter().map(|number| crd(&group, *number)).collect();
        let version = json!({"version": "v1", "resources": resources, "freshness": "Current"});
        json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": [version]})
    }));
    Ok([core.clone(), list.to_string().into_bytes()])
}

fn crd(group: &str, number: usize) -> Value {
    let kind = json!({"group": group, "version": "v1", "kind": format!("Widget{number}")});
    json!({
        "resource": format!("widget{number}s"),
        "responseKind": kind,
        "scope": "Namespaced",
        "singularResource": format!("widget{number}"),
        "verbs": ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"],
        "shortNames": [format!("w{number}")],
        "subresources": [
            {"subresource": "status", "responseKind": kind, "verbs": ["get", "patch", "update"]},
        ],
    })
}

const CRDS_IN_A_GROUP: usize = 10;
