//! (target, map) -> which servers are asked, in which order, and why.
//!
//! This is the decision table: a resource that every server lists goes to the pool untouched, one
//! that only some list goes to those first, and nothing that a server might have is ever taken for
//! absent. Subresources count on their own; verbs, namespaces and names take no part. Knows no
//! clock: whether a map is too old is the caller's to say.

use crate::request::{Api, Scope, Target};
use crate::servers::{Server, ServerId, ServerSet};
use crate::serving_map::ServingMap;

/// The one reason of a decision: the same in metric, access log and debug header. A request that is
/// left untouched has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Some confirmed servers list it, and they are asked first.
    ListedBySome,
    /// Only servers that are gone, or not read since they came back, list it.
    ListedByUnconfirmed,
    /// No server is known to list it: all are asked.
    ListedByNobody,
    /// Discovery, while servers differ: answered by one that lists the most.
    FullestServer,
    /// No map yet: all servers are asked.
    NoMap,
    /// The map was not renewed in time: all servers are asked.
    MapExpired,
}

impl Reason {
    /// Every reason, in the order of the metric's definition.
    pub const ALL: [Self; 6] = [
        Self::ListedBySome,
        Self::ListedByUnconfirmed,
        Self::ListedByNobody,
        Self::FullestServer,
        Self::NoMap,
        Self::MapExpired,
    ];

    /// Its name in metrics, logs and headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListedBySome => "listed-by-some",
            Self::ListedByUnconfirmed => "listed-by-unconfirmed",
            Self::ListedByNobody => "listed-by-nobody",
            Self::FullestServer => "fullest-server",
            Self::NoMap => "no-map",
            Self::MapExpired => "map-expired",
        }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Any server of the pool, nothing changed.
    Untouched,
    /// Any server of the pool, by the route that never sends a request twice.
    PoolOnce,
    /// These servers, in this order, until one knows the API.
    Peers(Peers),
}

/// The servers to ask, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// Whom to ask, first to last. Never empty. Those at the front are there twice where a stream
    /// that their GOAWAYs refuse would have nowhere else to go.
    pub order: Vec<ServerId>,
    /// Whether a confirmed server lists the API, so that the server need not look further itself.
    pub stamp: bool,
    /// Whether the request must not be sent again once it was written (design decision D12).
    pub once: bool,
    /// Why.
    pub reason: Reason,
}

/// What a worker has to decide by.
#[derive(Debug, Clone, Copy)]
pub enum Knowledge<'a> {
    /// A map that is being renewed.
    Map(&'a ServingMap),
    /// None was ever read.
    NoMap,
    /// The last one is too old.
    Expired,
}

/// Decides on one request. `servers` are the configured ones; `turn` is any number that differs from
/// request to request, so that servers that are equally good take turns.
pub fn decide(
    target: Target<'_>,
    servers: &[Server],
    knowledge: Knowledge<'_>,
    turn: usize,
) -> Decision {
    let all = ServerSet::first(servers.len());
    let once = matches!(target, Target::Resource(api) if api.connects_through());
    let everyone = |reason| {
        let order = in_order(&[all], Front::Twice, turn);
        let peers = Peers { order, stamp: false, once, reason };
        Decision::Peers(peers)
    };
    match (target, knowledge) {
        (Target::Other, _) => Decision::Untouched,
        (_, Knowledge::NoMap) => everyone(Reason::NoMap),
        (_, Knowledge::Expired) => everyone(Reason::MapExpired),
        (Target::Discovery(scope), Knowledge::Map(map)) => discovery(scope, map, all, turn),
        (Target::Resource(api), Knowledge::Map(map)) => resource(&api, map, all, turn),
    }
}

fn resource(api: &Api<'_>, map: &ServingMap, all: ServerSet, turn: usize) -> Decision {
    let listing = map.listing(api).and(all);
    let once = api.connects_through();
    if listing == all && map.confirmed == all {
        return if once { Decision::PoolOnce } else { Decision::Untouched };
    }
    let reachable = map.confirmed.or(map.unknown);
    let first = listing.and(map.confirmed);
    // Not known to lack it: what it listed before, or nothing was ever read of it.
    let may_list = listing.or(map.unread).without(map.confirmed);
    let second = may_list.and(reachable);
    let third = reachable.without(first).without(second);
    let last = may_list.without(reachable).and(all);
    let reason = match (first.is_empty(), listing.is_empty()) {
        (false, _) => Reason::ListedBySome,
        (true, false) => Reason::ListedByUnconfirmed,
        (true, true) => Reason::ListedByNobody,
    };
    let front = match reason {
        Reason::ListedBySome => Front::of(first),
        // They say no, and the one that may say yes is gone.
        Reason::ListedByUnconfirmed if second.is_empty() => Front::Once,
        _ => Front::Twice,
    };
    let order = in_order(&[first, second, third, last], front, turn);
    Decision::Peers(Peers { order, stamp: !first.is_empty(), once, reason })
}

/// A server that has less than another must not answer for the cluster, also not as a fallback: what
/// a client does not find in discovery it takes for deleted.
fn discovery(scope: Scope<'_>, map: &ServingMap, all: ServerSet, turn: usize) -> Decision {
    let fullest = map.fullest(scope).and(all);
    if fullest == all && map.confirmed == all {
        return Decision::Untouched;
    }
    let (tiers, reason) = if fullest.is_empty() {
        let unread = map.unread.without(map.confirmed).without(map.unknown).and(all);
        ([map.confirmed.or(map.unknown), unread], Reason::ListedByNobody)
    } else {
        ([fullest, ServerSet::EMPTY], Reason::FullestServer)
    };
    let order = in_order(&tiers, Front::of(fullest), turn);
    Decision::Peers(Peers { order, stamp: false, once: false, reason })
}

/// How often the first tier is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Front {
    Once,
    Twice,
}

impl Front {
    /// A server that closes connections at random (`--goaway-chance`) refuses the streams that were
    /// on their way to it, unseen. Three that are known to serve the API do not all do so to one
    /// request; of fewer, or where nobody is known to serve it, each is asked a second time.
    fn of(known: ServerSet) -> Self {
        const ENOUGH: usize = 3;
        if known.len() < ENOUGH { Self::Twice } else { Self::Once }
    }
}

/// Tier after tier, each rotated by `turn`; the first that has any members once or twice.
fn in_order(tiers: &[ServerSet], front: Front, turn: usize) -> Vec<ServerId> {
    let named = tiers.iter().map(|tier| tier.len()).sum::<usize>();
    let mut order = Vec::with_capacity(named * 2);
    for tier in tiers {
        let start = order.len();
        order.extend(tier.iter());
        if let Some(members) = order.get_mut(start..)
            && !members.is_empty()
        {
            members.rotate_left(turn % members.len());
        }
        if start == 0 && front == Front::Twice {
            order.extend_from_within(..);
        }
    }
    order
}
