//! What a running Peerway says of itself -> values: the JSON of `/map` on its loopback listener, and
//! the module's counters among Envoy's statistics. Knows no network: that is the command's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The document of `/map` (`peerway_core::status_page` writes it), without the long list of what all
/// servers have. Ages are in milliseconds; a missing one means never.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Map {
    /// Counts the published maps; 0 while there is none.
    pub generation: u64,
    /// The configured servers, in order.
    pub servers: Vec<MapServer>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MapServer {
    /// Its configured name.
    pub name: String,
    /// Its configured `ip:port`.
    pub address: String,
    /// `confirmed`, `unknown`, `late` or `gone`.
    pub state: String,
    /// How the map shows it, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_as: Option<String>,
    /// `gitVersion`, empty if not known.
    pub version: String,
    /// Since `/readyz` was last good.
    pub probe_age_ms: Option<u64>,
    /// Since its discovery was last read or found unchanged.
    pub document_age_ms: Option<u64>,
    /// How many resources and subresources it lists.
    pub apis: usize,
    /// Keys of what it lists that not every other server does.
    pub not_everywhere: Vec<String>,
    /// What was wrong with the last look at it, empty if nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
}

/// The module's counters: metric without prefix, then label value (empty for a metric without
/// labels).
pub type Counters = BTreeMap<String, BTreeMap<String, u64>>;

impl Map {
    /// Reads the body of `/map`.
    pub fn from_json(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| format!("not the JSON of /map: {error}"))
    }

    /// What not every server lists, and the names of those that do.
    pub fn not_everywhere(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut listed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for server in &self.servers {
            for key in &server.not_everywhere {
                listed.entry(key).or_default().push(&server.name);
            }
        }
        listed
    }
}

/// Reads the module's counters from Envoy's `/stats`; other statistics are left out.
pub fn counters(stats: &str) -> Counters {
    let mut counters = Counters::new();
    for line in stats.lines() {
        let counter = line.strip_prefix("wasmcustom.peerway_").and_then(|rest| {
            let (name, count) = rest.rsplit_once(": ")?;
            let (metric, label) = name.split_once(';').unwrap_or((name, ""));
            let value = label.split_once('=').map_or("", |(_, value)| value);
            Some((metric, value, count.trim().parse().ok()?))
        });
        if let Some((metric, value, count)) = counter {
            counters.entry(metric.to_owned()).or_default().insert(value.to_owned(), count);
        }
    }
    counters
}

#[cfg(test)]
mod tests {
    use peerway_core::apis::{Apis, Origin};
    use peerway_core::record::{Document, Status};
    use peerway_core::servers::Server;
    use peerway_core::serving_map::Standing;
    use peerway_core::status_page::page;

    use super::*;

    #[test]
    fn the_page_that_the_fetcher_writes_is_read() {
        let apis: Apis = ["g/v1/r/", "g/v1/r/status"]
            .map(|key| (key.to_owned(), Origin::BuiltIn))
            .into_iter()
            .collect();
        let described = |name: &str| {
            let server = Server { name: name.into(), address: format!("{name}:6443") };
            Status::default().of(&server)
        };
        let mut record = described("cp-1");
        record.ready_ms = 900;
        record.set_standing(Standing::Gone, 0);
        let mut never_read = described("cp-2");
        never_read.problem = "no".into();
        let status = Status { generation: 7, servers: vec![record, never_read] };
        let documents = [Some(Document { apis, ..Document::default() }), None];
        let body = serde_json::to_vec(&page(&status, &documents, 1_000)).unwrap();

        let map = Map::from_json(&body).unwrap();
        assert_eq!((map.generation, map.servers.len()), (7, 2));
        let server = &map.servers[0];
        assert_eq!((server.state.as_str(), server.apis), ("gone", 2));
        assert_eq!((server.probe_age_ms, server.document_age_ms), (Some(100), None));
        assert_eq!(map.servers[1].problem, "no");
        assert!(Map::from_json(b"no map yet").is_err());
        // What `-o json` prints again is the same document, but for the list of what all have.
        let mut again: serde_json::Value = serde_json::from_slice(&body).unwrap();
        again.as_object_mut().unwrap().remove("everywhere");
        assert_eq!(serde_json::to_value(&map).unwrap(), again);
    }

    #[test]
    fn an_api_is_shown_with_all_servers_that_list_it() {
        let server = |name: &str, keys: &[&str]| -> serde_json::Value {
            serde_json::json!({"name": name, "address": "", "state": "confirmed", "version": "",
                "probeAgeMs": 1, "documentAgeMs": 1, "apis": 9, "notEverywhere": keys})
        };
        let servers = [server("a", &[]), server("b", &["x/v1/y/"]), server("c", &["x/v1/y/"])];
        let body = serde_json::json!({"generation": 1, "servers": servers}).to_string();
        let map = Map::from_json(body.as_bytes()).unwrap();
        assert_eq!(map.not_everywhere(), [("x/v1/y/", vec!["b", "c"])].into());
    }

    #[test]
    fn counters_are_found_among_other_statistics() {
        let stats = "cluster.pool.upstream_rq_total: 7\n\
            wasmcustom.peerway_maps_refused_total: 0\n\
            wasmcustom.peerway_requests_total;reason=listed-by-some: 12\n\
            wasmcustom.peerway_requests_total;reason=no-map: 0\n\
            wasmcustom.peerway_garbled\n";
        let expected: Counters = [
            ("maps_refused_total".to_owned(), [(String::new(), 0)].into()),
            (
                "requests_total".to_owned(),
                [("listed-by-some".to_owned(), 12), ("no-map".to_owned(), 0)].into(),
            ),
        ]
        .into();
        assert_eq!(counters(stats), expected);
    }
}
