//! What a running Peerway says of itself, which may be something else at that port.

use envoy_config::running::{Map, counters};

pub(crate) fn check(data: &[u8]) {
    if let Ok(map) = Map::from_json(data) {
        let again = serde_json::to_vec(&map).map(|json| Map::from_json(&json));
        assert!(matches!(again, Ok(Ok(again)) if again == map));
        let servers = map.not_everywhere().into_values().map(|names| names.len()).max();
        assert!(servers.is_none_or(|most| most > 0));
    }
    if let Ok(stats) = str::from_utf8(data) {
        assert!(counters(stats).len() <= stats.lines().count());
    }
}
