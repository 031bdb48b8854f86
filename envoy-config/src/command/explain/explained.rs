//! One request -> everything that `explain` says of it, as values.

use peerway_core::decide::{Decision, Peers, Reason, decide};
use peerway_core::negotiate::{self, Negotiation, Served, negotiate};
use peerway_core::request::{Target, decoded_path};
use peerway_core::request_info::{RequestInfo, origin_form};
use serde::Serialize;

use crate::command::servers::Plane;

/// What is not in the request line.
pub(super) struct Asker<'a> {
    /// The first `Accept` line, empty for none.
    pub(super) accept: &'a str,
    pub(super) served: Served,
}

/// All that is known of one request. What does not apply is left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explained<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    /// How a server reads it.
    pub(super) request: RequestInfo,
    /// Who lists it: with servers, for a resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listed_by: Option<Vec<&'a str>>,
    /// With servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decision: Option<Decided<'a>>,
    /// For a discovery document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) negotiation: Option<Negotiation>,
}

/// What becomes of it.
#[derive(Serialize)]
pub(super) struct Decided<'a> {
    /// `untouched`, `pool-once`, `peers`, `peers-once` or `merged`.
    pub(super) action: &'static str,
    /// Whom to ask, first to last; empty when any server of the pool will do. Those that
    /// are asked again when they refuse the connection are there twice, as for the filter.
    pub(super) servers: Vec<&'a str>,
    /// Absent where nothing is touched.
    pub(super) reason: Option<&'static str>,
    /// Whether the server is told that it need not look further.
    pub(super) stamp: bool,
    /// As in `reason`, for text.
    #[serde(skip)]
    pub(super) why: Option<Reason>,
}

impl<'a> Explained<'a> {
    pub(super) fn of(
        method: &'a str,
        target: &'a str,
        plane: Option<&'a Plane>,
        asker: &Asker<'_>,
    ) -> Self {
        let origin = origin_form(method, target.as_bytes()).unwrap_or_default();
        let path = decoded_path(origin).unwrap_or_default();
        let read = negotiate::target(&path, asker.accept);
        Self {
            method,
            target,
            request: RequestInfo::of(method, target.as_bytes()),
            listed_by: plane.and_then(|plane| listed_by(read, plane)),
            decision: plane.map(|plane| Decided::of(read, plane)),
            negotiation: negotiate(&path, asker.accept, asker.served),
        }
    }
}

fn listed_by<'a>(target: Target<'_>, plane: &'a Plane) -> Option<Vec<&'a str>> {
    let (Target::Resource(api), Some(map)) = (target, plane.map()) else { return None };
    let server = |index: usize| plane.servers.get(index).map(|server| server.name.as_str());
    Some(map.listing(&api).iter().filter_map(|id| server(id.index())).collect())
}

impl<'a> Decided<'a> {
    fn of(target: Target<'_>, plane: &'a Plane) -> Self {
        // The first turn: which of equally good servers is asked first changes with each request.
        match decide(target, &plane.servers, plane.knowledge(), 0) {
            Decision::Untouched => Self::in_pool("untouched"),
            Decision::PoolOnce => Self::in_pool("pool-once"),
            // A command waits for no server.
            Decision::NotYet(_) => Self::in_pool("not-yet"),
            Decision::Merged(peers) => Self { action: "merged", ..Self::at(&peers, plane) },
            Decision::Peers(peers) => Self::at(&peers, plane),
        }
    }

    fn at(peers: &Peers, plane: &'a Plane) -> Self {
        let server = |index: usize| plane.servers.get(index);
        let order = peers.order.iter().filter_map(|id| server(id.index()));
        Self {
            action: if peers.once { "peers-once" } else { "peers" },
            servers: order.map(|server| server.name.as_str()).collect(),
            reason: Some(peers.reason.name()),
            stamp: peers.stamp,
            why: Some(peers.reason),
        }
    }

    fn in_pool(action: &'static str) -> Self {
        Self { action, servers: Vec::new(), reason: None, stamp: false, why: None }
    }
}
