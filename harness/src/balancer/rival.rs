//! Another HTTP filter in a plain configuration, where Peerway's would be: what that one costs.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_yaml_ng::Value;

/// Puts `filter` before Envoy's own router in an `envoy.yaml`.
pub(super) fn insert(envoy_yaml: &Path, filter: &serde_json::Value) -> Result<()> {
    let text = std::fs::read_to_string(envoy_yaml).context("cannot read envoy.yaml")?;
    let mut envoy: Value = serde_yaml_ng::from_str(&text).context("envoy.yaml is no YAML")?;
    let filter = serde_yaml_ng::to_value(filter).context("a filter is no YAML")?;
    ensure!(insert_into(&mut envoy, &filter), "there is no {ROUTER} in {}", envoy_yaml.display());
    std::fs::write(envoy_yaml, serde_yaml_ng::to_string(&envoy)?).context("cannot write envoy.yaml")
}

/// Whether a router was found; the first one counts.
fn insert_into(value: &mut Value, filter: &Value) -> bool {
    match value {
        Value::Sequence(items) => {
            let is_router = |item: &Value| item.get("name").is_some_and(|name| name == ROUTER);
            let Some(at) = items.iter().position(is_router) else {
                return items.iter_mut().any(|item| insert_into(item, filter));
            };
            items.insert(at, filter.clone());
            true
        }
        Value::Mapping(fields) => fields.values_mut().any(|field| insert_into(field, filter)),
        _ => false,
    }
}

/// The last filter of every chain of HTTP filters.
const ROUTER: &str = "envoy.filters.http.router";
