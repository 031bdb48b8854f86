//! Decision -> header edits, and the names of the headers that Peerway speaks to Envoy with.
//!
//! All of them are stripped from what clients send and from what servers see by the rendered
//! configuration; only the stamp reaches a server.

use crate::decide::Decision;
use crate::servers::{Server, ServerId};

/// Chooses Envoy's route; absent for the pool.
pub const ROUTE: &str = "x-peerway-route";
/// `ip:port,ip:port`: whom to ask, in order (the Gateway API inference extension's convention).
pub const DESTINATIONS: &str = "x-gateway-destination-endpoint";
/// How often Envoy may try again: the list's length − 1.
pub const MAX_RETRIES: &str = "x-envoy-max-retries";
/// Tells a kube-apiserver not to look for another server itself (KEP-4020).
pub const PEER_PROXIED: &str = "x-kubernetes-peer-proxied";
/// On an answer: have the next server asked.
pub const ASK_NEXT: &str = "x-peerway-ask-next";

/// The values of [`ROUTE`].
pub mod route {
    /// The pool, never sent twice.
    pub const POOL_ONCE: &str = "pool-once";
    /// The listed servers, with the witness.
    pub const PEERS: &str = "peers";
    /// The listed servers, never sent twice and without the witness.
    pub const PEERS_ONCE: &str = "peers-once";
}

/// A header to set on the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Lower-case name.
    pub name: &'static str,
    /// Value.
    pub value: String,
}

/// What is taken away from a request whose answer Peerway replaces, since it speaks of that answer.
pub const OF_THE_ANSWER: [&str; 2] = ["if-none-match", "accept-encoding"];

/// The edits that carry out `decision`. None for an untouched request.
pub fn edits(decision: &Decision, servers: &[Server]) -> Vec<Edit> {
    let edit = |name, value: &str| Edit { name, value: value.to_owned() };
    let peers = match decision {
        Decision::Untouched | Decision::NotYet(_) => return Vec::new(),
        Decision::PoolOnce => return vec![edit(ROUTE, route::POOL_ONCE)],
        Decision::Peers(peers) | Decision::Merged(peers) => peers,
    };
    let retries = peers.order.len().saturating_sub(1).to_string();
    let mut edits = vec![
        edit(ROUTE, if peers.once { route::PEERS_ONCE } else { route::PEERS }),
        Edit { name: DESTINATIONS, value: destinations(&peers.order, servers) },
        Edit { name: MAX_RETRIES, value: retries },
    ];
    if peers.stamp {
        edits.push(edit(PEER_PROXIED, "true"));
    }
    edits
}

/// The addresses of `order`, separated by commas: the value of [`DESTINATIONS`].
pub fn destinations(order: &[ServerId], servers: &[Server]) -> String {
    let addresses = order.iter().filter_map(|id| servers.get(id.index()));
    addresses.map(|server| server.address.as_str()).collect::<Vec<_>>().join(",")
}
