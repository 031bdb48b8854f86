//! A `:path` -> target, decision and header edits, with any knowledge of the servers.

use std::sync::LazyLock;

use peerway_core::decide::{Decision, Knowledge, decide};
use peerway_core::edits::{self, edits};
use peerway_core::request::{Target, decoded_path};
use peerway_core::servers::{Server, ServerSet};
use peerway_core::serving_map::{Rows, ServingMap, Standing, View, build};
use peerway_core::snapshot;

use crate::input::{SERVERS, apis};

/// Servers that differ, one of them gone; and servers of which nothing is known.
static MAPS: LazyLock<[Option<ServingMap>; 2]> = LazyLock::new(|| {
    let old = apis(&["/v1/pods/", "/v1/pods/exec", "apps/v1/deployments/"]);
    let new = apis(&["/v1/pods/", "/v1/pods/exec", "apps/v1/deployments/", "new/v1/widgets/"]);
    let gone = apis(&["/v1/pods/", "/v1/pods/exec", "apps/v1/deployments/", "gone/v1/x/exec"]);
    let view = |standing, apis, read_ms| View { standing, apis, read_ms };
    let differ = build(&[
        view(Standing::Confirmed, Some(&old), 3),
        view(Standing::Confirmed, Some(&new), 2),
        view(Standing::Gone, Some(&gone), 1),
    ]);
    let unread = build(&[view(Standing::Unknown, None, 0); 3]);
    let map = |rows: &Rows| snapshot::decode(snapshot::encode(&*SERVERS, rows), &*SERVERS).ok();
    [map(&differ), map(&unread)]
});

pub(crate) fn check(data: &[u8]) {
    let Some(path) = decoded_path(data) else {
        assert!(data.contains(&b'%'), "refused without an escape in it");
        return;
    };
    let target = Target::of(&path);
    assert_eq!(Target::of(&[b"//", &*path, b"/"].concat()), target, "outer slashes do not count");
    if let Target::Resource(api) = target {
        for part in [api.group, api.version, api.resource, api.subresource] {
            assert!(!part.contains(&b'/'), "{api:?}");
        }
    }
    let with_map =
        |map| [Knowledge::Map(map), Knowledge::Expired(map), Knowledge::Starting(Some(map))];
    let maps = MAPS.iter().flatten().flat_map(with_map);
    for knowledge in maps.chain([Knowledge::NoMap, Knowledge::Starting(None)]) {
        let decision = decide(target, &*SERVERS, knowledge, data.len());
        assert_eq!(decide(target, &*SERVERS, knowledge, data.len()), decision, "no chance in it");
        check_decision(target, &decision, &*SERVERS);
    }
}

fn check_decision(target: Target<'_>, decision: &Decision, servers: &[Server]) {
    let connects = matches!(target, Target::Resource(api) if api.connects_through());
    if let Decision::Peers(peers) | Decision::Merged(peers) = decision {
        let all = ServerSet::first(servers.len());
        assert!(!peers.order.is_empty() && peers.order.iter().all(|id| all.contains(id.index())));
        assert_eq!(peers.once, connects, "what may have been executed is not sent again");
    }
    for edit in edits(decision, servers) {
        assert!(edit.value.bytes().all(|byte| byte.is_ascii_graphic()), "{edit:?}");
        if edit.name == edits::DESTINATIONS {
            let is_server = |entry: &str| servers.iter().any(|server| server.address == entry);
            assert!(edit.value.split(',').all(is_server), "{edit:?}");
        }
    }
}
