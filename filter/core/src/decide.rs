//! (target, map) -> which servers are asked, in which order, and why.
//!
//! This is the decision table: a resource that every server lists goes to the pool untouched, one
//! that only some list goes to those first, and nothing that a server might have is ever taken for
//! absent. Subresources count on their own; verbs, namespaces and names take no part. Knows no
//! clock: whether a map is too old is the caller's to say.

use crate::openapi::chosen;
use crate::request::{Api, Form, Scope, Target};
use crate::servers::{Server, ServerId, ServerSet};
use crate::serving_map::{Page, ServingMap};

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
    /// Discovery, while servers differ: answered by one that has everything that it speaks of.
    HasEverything,
    /// Discovery, and no server has everything: the merged document.
    Merged,
    /// Discovery, while some server was never read and is still waited for: to be asked again.
    Starting,
    /// OpenAPI, while servers differ: answered by one that lists the most of it, always the same one.
    FullestServer,
    /// No map yet: all servers are asked.
    NoMap,
    /// The map was not renewed in time: all servers are asked.
    MapExpired,
}

impl Reason {
    /// Every reason, in the order of the metric's definition.
    pub const ALL: [Self; 9] = [
        Self::ListedBySome,
        Self::ListedByUnconfirmed,
        Self::ListedByNobody,
        Self::HasEverything,
        Self::Merged,
        Self::Starting,
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
            Self::HasEverything => "has-everything",
            Self::Merged => "merged",
            Self::Starting => "starting",
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
    /// These servers, in this order, until one says whether the caller may see it; in place of what
    /// that one lists goes the merged document.
    Merged(Peers),
    /// No server: 503, to be asked again.
    NotYet(Reason),
}

impl Decision {
    /// Why; `None` for what is left to the pool.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Untouched | Self::PoolOnce => None,
            Self::Peers(peers) | Self::Merged(peers) => Some(peers.reason),
            Self::NotYet(reason) => Some(*reason),
        }
    }
}

/// The servers to ask, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// Whom to ask, first to last. Never empty. Those at the front are there twice where a stream
    /// that their GOAWAYs refuse would have nowhere else to go.
    pub order: Vec<ServerId>,
    /// Those of them that are gone, as far as is known: should one be back, it may be starting.
    pub gone: ServerSet,
    /// Who may list it too, and is silent: not asked, since it would keep the caller waiting. Without
    /// its word no 404 is true.
    pub unasked: ServerSet,
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
    /// The last one, which is too old.
    Expired(&'a ServingMap),
    /// Peerway has only just started: a server that was not read is still waited for.
    Starting(Option<&'a ServingMap>),
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
        let (gone, unasked) = (ServerSet::EMPTY, ServerSet::EMPTY);
        let peers = Peers { order, gone, unasked, stamp: false, once, reason };
        Decision::Peers(peers)
    };
    let map = match knowledge {
        Knowledge::Map(map) | Knowledge::Starting(Some(map)) => Ok(map),
        Knowledge::NoMap | Knowledge::Starting(None) => Err(Reason::NoMap),
        Knowledge::Expired(_) => Err(Reason::MapExpired),
    };
    match (target, map) {
        (Target::Other | Target::Discovery(_, Form::OneServers), _) => Decision::Untouched,
        (Target::Discovery(scope, form), _) => match knowledge {
            Knowledge::Starting(None) => Decision::NotYet(Reason::Starting),
            Knowledge::Starting(Some(map)) if !map.unread.is_empty() => {
                Decision::NotYet(Reason::Starting)
            }
            // What was known says more of the cluster than any one server does.
            Knowledge::Map(map) | Knowledge::Starting(Some(map)) | Knowledge::Expired(map) => {
                discovery(scope, form, map, all, turn)
            }
            Knowledge::NoMap => everyone(Reason::NoMap),
        },
        (Target::Resource(_), Err(reason)) => everyone(reason),
        (Target::Resource(api), Ok(map)) => resource(&api, map, all, turn),
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
    let away = may_list.without(reachable).and(all);
    // Somebody has to be asked.
    let unasked = if reachable.is_empty() { ServerSet::EMPTY } else { away.and(map.silent) };
    let last = away.without(unasked);
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
    Decision::Peers(Peers { order, gone: last, unasked, stamp: !first.is_empty(), once, reason })
}

/// A server that has less than another must not answer for the cluster, also not as a fallback: what
/// a client does not find in discovery it takes for deleted.
fn discovery(
    scope: Scope<'_>,
    form: Form,
    map: &ServingMap,
    all: ServerSet,
    turn: usize,
) -> Decision {
    let peers = |tiers: &[ServerSet], known, reason| Peers {
        order: in_order(tiers, Front::of(known), turn),
        gone: ServerSet::EMPTY,
        unasked: ServerSet::EMPTY,
        stamp: false,
        once: false,
        reason,
    };
    let from = |own: ServerSet, reason| match own == all {
        true => Decision::Untouched,
        false => Decision::Peers(peers(&[own], own, reason)),
    };
    let confirmed = map.confirmed.and(all);
    match (form, map.page(scope, form)) {
        (Form::Aggregated, None) => return from(confirmed, Reason::HasEverything),
        (Form::OpenApi | Form::OpenApiIndex, _) => match openapi(scope, form, map, all) {
            Some(decision) => return decision,
            None if is_out_of_reach(map.page(scope, Form::Plain)) => {
                return Decision::NotYet(Reason::ListedByUnconfirmed);
            }
            None => {}
        },
        (_, Some(page)) if !page.own.and(all).is_empty() => {
            return from(page.own.and(all), Reason::HasEverything);
        }
        (_, Some(Page { merged: Some(_), .. })) => {
            let tiers = [confirmed, map.unknown.and(all)];
            return Decision::Merged(peers(&tiers, confirmed, Reason::Merged));
        }
        (Form::Plain, Some(_)) => return Decision::NotYet(Reason::ListedByUnconfirmed),
        (_, _) => {}
    }
    let fullest = map.fullest(scope).and(all);
    if !fullest.is_empty() {
        return from(fullest, Reason::FullestServer);
    }
    let unread = map.unread.without(map.confirmed).without(map.unknown).and(all);
    let tiers = [confirmed.or(map.unknown), unread];
    Decision::Peers(peers(&tiers, ServerSet::EMPTY, Reason::ListedByNobody))
}

/// Whether only servers have something of it that cannot be asked.
fn is_out_of_reach(page: Option<&Page>) -> bool {
    page.is_some_and(|page| page.own.is_empty() && page.merged.is_none())
}

/// While servers differ, index and documents come from the same server as far as can be: a client that
/// asks one for what another named is sent on, and would be sent back. `None` when no confirmed server
/// has any of it.
fn openapi(scope: Scope<'_>, form: Form, map: &ServingMap, all: ServerSet) -> Option<Decision> {
    map.page(Scope::Cluster, Form::OpenApiIndex)?;
    let fullest = map.fullest(scope).and(all);
    let first = chosen(fullest, map.fullest(Scope::Cluster).and(all))?;
    let first: ServerSet = [first.index()].into_iter().collect();
    let is_merged = map.page(scope, form).is_some_and(|page| page.merged.is_some());
    // Of a merged index any server can say whether the caller may see it.
    let rest =
        if is_merged && form == Form::OpenApiIndex { map.confirmed.and(all) } else { fullest };
    let order = in_order(&[first, rest.without(first)], Front::of(rest), 0);
    let reason = if is_merged { Reason::Merged } else { Reason::FullestServer };
    let (gone, unasked) = (ServerSet::EMPTY, ServerSet::EMPTY);
    let peers = Peers { order, gone, unasked, stamp: false, once: false, reason };
    Some(if is_merged { Decision::Merged(peers) } else { Decision::Peers(peers) })
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
