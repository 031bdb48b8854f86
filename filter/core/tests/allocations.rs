//! The path of a request that is left alone allocates nothing.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests, which say what they expect by failing")]

use peerway_core::decide::{Decision, Knowledge, decide};
use peerway_core::request::{Target, decoded_path};
use peerway_core::servers::{Server, ServerSet};
use peerway_core::serving_map::{Rows, ServingMap};
use peerway_core::snapshot;

fn servers() -> Vec<Server> {
    let server = |at| Server { name: format!("s{at}"), address: format!("127.0.0.1:{at}") };
    (1..=3).map(server).collect()
}

/// All servers list deployments, the first alone lists widgets.
fn map() -> ServingMap {
    let rows = Rows {
        confirmed: ServerSet::first(3),
        apis: vec![
            ("apps/v1/deployments/".to_owned(), ServerSet::first(3)),
            ("example.com/v1/widgets/".to_owned(), ServerSet::first(1)),
        ],
        scopes: vec![(String::new(), ServerSet::first(3))],
        ..Rows::default()
    };
    snapshot::decode(snapshot::encode(&servers(), &rows), &servers()).unwrap()
}

/// Allocations of reading and deciding on a request, and the decision.
fn allocations(path: &str) -> (u64, Decision) {
    let (servers, map) = (servers(), map());
    let mut decision = Decision::Untouched;
    let counted = allocation_counter::measure(|| {
        let path = decoded_path(path.as_bytes()).unwrap_or_default();
        decision = decide(Target::of(&path), &servers, Knowledge::Map(&map), 7);
    });
    (counted.count_total, decision)
}

#[test]
fn a_request_that_is_left_alone_allocates_nothing() {
    for path in [
        "/apis/apps/v1/namespaces/default/deployments/web",
        "/apis/apps/v1/deployments?watch=true&resourceVersion=1",
        "/apis",
        "/healthz",
        "/",
    ] {
        assert_eq!(allocations(path), (0, Decision::Untouched), "{path}");
    }
}

#[test]
fn the_counter_counts() {
    let (count, decision) = allocations("/apis/example.com/v1/widgets");
    assert!(matches!(decision, Decision::Peers(_)), "{decision:?}");
    assert!(count > 0);
}
