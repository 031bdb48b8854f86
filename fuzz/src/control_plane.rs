//! A control-plane file -> Envoy's configuration, in which no value is more than a value.

use envoy_config::{ControlPlane, render};
use peerway_core::config::Config;
use serde_yaml_ng::Value;

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let control_plane = match ControlPlane::from_yaml(text) {
        Ok(control_plane) => control_plane,
        Err(problems) => return assert!(!problems.0.is_empty(), "refused without a word"),
    };
    let rendered = render(&control_plane);
    assert_eq!(render(&control_plane), rendered);
    for (name, contents) in rendered.files() {
        let yaml: Result<Value, _> = serde_yaml_ng::from_str(contents);
        let Ok(yaml) = yaml else { unreachable!("{name} is not YAML:\n{contents}") };
        check_plugins(&yaml);
        let keys = yaml.as_mapping().into_iter().flat_map(|mapping| mapping.keys());
        for key in keys.filter_map(Value::as_str) {
            assert!(TOP.contains(&key), "{name} has {key} at its top");
        }
    }
}

/// What stands at the top of a rendered file.
const TOP: [&str; 6] =
    ["node", "admin", "stats_config", "overload_manager", "static_resources", "resources"];

/// Whatever is told to the module, it can read.
fn check_plugins(yaml: &Value) {
    match yaml {
        Value::String(text) if text.trim_start().starts_with("{\n  \"role\"") => {
            let read = Config::from_json(text.as_bytes());
            assert!(read.is_ok(), "the module refuses {text}");
        }
        Value::Sequence(values) => values.iter().for_each(check_plugins),
        Value::Mapping(mapping) => mapping.values().for_each(check_plugins),
        _ => {}
    }
}
