//! The rendered configuration with Peerway taken out: what a plain Envoy with the same settings does.

use std::path::Path;

use anyhow::{Context, Result};
use serde_yaml_ng::{Mapping, Value};

/// Takes the module, its listener, its clusters, its routes and the native guard out of a rendered
/// `envoy.yaml`. Timeouts, limits, TLS, lanes, and retries of what no server had stay. Callers with a
/// client certificate stay nobody: only the module can tell servers who they are.
pub(super) fn without_peerway(envoy_yaml: &Path) -> Result<()> {
    let text = std::fs::read_to_string(envoy_yaml).context("cannot read envoy.yaml")?;
    let mut envoy: Value = serde_yaml_ng::from_str(&text).context("envoy.yaml is no YAML")?;
    visit(&mut envoy);
    std::fs::write(envoy_yaml, serde_yaml_ng::to_string(&envoy)?).context("cannot write envoy.yaml")
}

fn visit(value: &mut Value) {
    match value {
        Value::Sequence(items) => {
            items.retain(|item| !is_peerways(item));
            items.iter_mut().for_each(visit);
        }
        Value::Mapping(fields) => {
            guard_nothing(fields);
            fields.values_mut().for_each(visit);
        }
        _ => {}
    }
}

/// Whether an item of some list (of filters, listeners, clusters, routes, header edits) is
/// Peerway's.
fn is_peerways(item: &Value) -> bool {
    const NAMES: [&str; 9] = [
        "router",
        "witness",
        "fetcher",
        "fetch",
        "fetch_pinger",
        "peers-read",
        "peers",
        "peers-once",
        "pool-once",
    ];
    let name = item.get("extension").unwrap_or(item).get("name").and_then(Value::as_str);
    let named = name.is_some_and(|name| NAMES.contains(&name) || name.ends_with("_peers"));
    let shape = item.get("append").and_then(|append| append.get("header"));
    named || shape.and_then(|header| header.get("key")).is_some_and(|key| key == "x-peerway-shape")
}

fn guard_nothing(fields: &mut Mapping) {
    fields.remove("retriable_headers");
    if let Some(Value::String(retry_on)) = fields.get_mut("retry_on") {
        *retry_on = retry_on.replace(",retriable-headers", "");
    }
}
