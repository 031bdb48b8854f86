//! What Peerway's `/map` says -> lines for a person.

use std::collections::BTreeMap;

use serde_json::Value;

/// A line for each server: its version, its state, how much it lists.
pub(crate) fn lines(map: &Value) -> Vec<String> {
    servers(map)
        .map(|server| {
            let text = |field| server.get(field).and_then(Value::as_str).unwrap_or("?");
            let apis = server.get("apis").and_then(Value::as_u64).unwrap_or_default();
            let alone = not_everywhere(server).count();
            let alone = match alone {
                0 => String::new(),
                _ => format!(", {alone} of them not everywhere"),
            };
            let (name, version, state) = (text("name"), text("version"), text("state"));
            format!("  {name}  {version:<9}  {state}, {apis} APIs{alone}")
        })
        .collect()
}

/// Every API that some server lists and some other does not, as `group/version/resource`, with
/// `/subresource` where there is one.
pub(crate) fn differences(map: &Value) -> Vec<String> {
    let keys = servers(map).flat_map(not_everywhere);
    let mut keys: Vec<_> = keys.map(|key| key.trim_end_matches('/').to_owned()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The same, gathered: group and version, and what is in it.
pub(crate) fn by_group_version(differences: &[String]) -> BTreeMap<String, String> {
    let mut groups: BTreeMap<String, String> = BTreeMap::new();
    for key in differences {
        // `/v1/pods` is of the core group, and has no name before the first slash.
        let mut parts = key.splitn(3, '/');
        let group_version =
            format!("{}/{}", parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let apis = groups.entry(group_version.trim_start_matches('/').to_owned()).or_default();
        if !apis.is_empty() {
            apis.push_str(", ");
        }
        apis.push_str(parts.next().unwrap_or(""));
    }
    groups
}

fn servers(map: &Value) -> impl Iterator<Item = &Value> {
    map.get("servers").and_then(Value::as_array).into_iter().flatten()
}

fn not_everywhere(server: &Value) -> impl Iterator<Item = &str> {
    let keys = server.get("notEverywhere").and_then(Value::as_array);
    keys.into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_server_that_lists_more_is_told_apart() {
        let old = json!({"name": "cp-1", "version": "v1.36.3", "state": "confirmed", "apis": 127,
            "notEverywhere": []});
        let new = json!({"name": "cp-3", "version": "v1.37.2", "state": "confirmed", "apis": 129,
            "notEverywhere": ["storage.k8s.io/v1/csinodes/status", "g/v1/things/"]});
        let map = json!({"servers": [old, new]});
        assert_eq!(
            lines(&map),
            [
                "  cp-1  v1.36.3    confirmed, 127 APIs",
                "  cp-3  v1.37.2    confirmed, 129 APIs, 2 of them not everywhere",
            ]
        );
        assert_eq!(differences(&map), ["g/v1/things", "storage.k8s.io/v1/csinodes/status"]);
        assert_eq!(differences(&json!({"servers": [old]})), [""; 0]);
    }

    #[test]
    fn differences_are_gathered_by_group_and_version() {
        let differences = ["g/v1/a", "g/v1/a/status", "h/v1/b", "/v1/c"].map(str::to_owned);
        let gathered: Vec<_> = by_group_version(&differences).into_iter().collect();
        let expected = [("g/v1", "a, a/status"), ("h/v1", "b"), ("v1", "c")];
        assert_eq!(gathered, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}
