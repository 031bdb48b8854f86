//! What each server lists -> what can go wrong with a request, in each of three ways to send it.
//!
//! Every server counts as up and read: the rehearsal is of the skew alone. Behind a plain balancer
//! each server is as likely to be asked as any other. The built-in mixed version proxy is taken as
//! switched on at every server, with such a balancer before them: it knows resources, not
//! subresources, leaves out what CRDs define, and merges aggregated `/apis` only (kube-apiserver,
//! `pkg/util/peerproxy`). For Peerway it is `peerway_core::decide` that says who is asked.

use std::collections::{BTreeMap, BTreeSet};

use peerway_core::apis::{Apis, Origin};
use peerway_core::decide::{Decision, Knowledge, Reason, decide};
use peerway_core::request::{Api, Form, Scope, Target, decoded_path};
use peerway_core::servers::{MAX_SERVERS, Server, ServerId, ServerSet};
use peerway_core::serving_map::{ServingMap, Standing, View, build};
use peerway_core::snapshot;

/// The servers of a control plane, and what each lists.
#[derive(Debug)]
pub struct Skew {
    servers: Vec<Server>,
    map: ServingMap,
    coverage: BTreeMap<String, Coverage>,
    /// `group/version` of what is defined by CRDs.
    shared: BTreeSet<String>,
}

/// Who lists something of a scope, and who lists all of it that anyone does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Coverage {
    some: ServerSet,
    all: ServerSet,
}

/// What a request is about, and what may become of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Neither a resource nor discovery, or a path that every server refuses.
    Other,
    /// Every server lists it.
    Even,
    /// No server lists it: its 404 is true, or discovery does not name it.
    Unlisted,
    /// Some servers list it.
    Skewed(Exposure),
}

/// A request that not every server can answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposure {
    /// `group/version/resource/subresource` without empty parts, or a discovery path.
    pub api: String,
    /// Who can answer it.
    pub listed_by: ServerSet,
    /// In each way, in the order of [`Way::ALL`].
    pub odds: [Odds; 3],
}

/// How likely it is that a request goes wrong, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Odds {
    /// 404 for something that another server has.
    pub false_404: f64,
    /// A discovery document without something that another server has.
    pub incomplete: f64,
}

/// A way in which a request reaches a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A balancer that knows no APIs.
    Plain,
    /// The same, and kube-apiserver's mixed version proxy on every server.
    BuiltIn,
    /// Peerway.
    Peerway,
}

impl Way {
    /// All of them, in the order of columns.
    pub const ALL: [Self; 3] = [Self::Plain, Self::BuiltIn, Self::Peerway];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain balancer",
            Self::BuiltIn => "built-in proxy",
            Self::Peerway => "Peerway",
        }
    }
}

impl Skew {
    /// From what each server lists, in order. An error says why these servers cannot be compared.
    pub fn between(servers: &[(String, &Apis)]) -> Result<Self, String> {
        if !(2..=MAX_SERVERS).contains(&servers.len()) {
            let count = servers.len();
            return Err(format!("{count} servers: a skew needs 2 of them, to {MAX_SERVERS}"));
        }
        let views: Vec<_> = servers
            .iter()
            .map(|(_, apis)| View { standing: Standing::Confirmed, apis: Some(apis), read_ms: 1 })
            .collect();
        // Addresses only tell servers apart here.
        let named =
            |(name, _): &(String, &Apis)| Server { name: name.clone(), address: name.clone() };
        let described: Vec<_> = servers.iter().map(named).collect();
        let rows = build(&views);
        let coverage = coverage(&rows.apis);
        let map = snapshot::decode(snapshot::encode(&described, &rows), &described)
            .map_err(|error| error.to_string())?;
        let shared = servers
            .iter()
            .flat_map(|(_, apis)| apis.iter())
            .filter(|(_, origin)| *origin == Origin::Shared)
            .map(|(key, _)| group_version(key).to_owned())
            .collect();
        Ok(Self { servers: described, map, coverage, shared })
    }

    /// The names of a set of servers.
    pub fn names(&self, set: ServerSet) -> Vec<String> {
        let named = set.iter().filter_map(|id| self.servers.get(id.index()));
        named.map(|server| server.name.clone()).collect()
    }

    /// How many servers there are.
    pub fn size(&self) -> usize {
        self.servers.len()
    }

    /// What may become of a request, and the reason that Peerway would give for its decision.
    pub fn judge(&self, target: &str) -> (Outcome, Option<Reason>) {
        let Some(path) = decoded_path(target.as_bytes()) else {
            return (Outcome::Other, None);
        };
        // A log does not tell which form of discovery was asked for: taken as the aggregated one,
        // which is what clients have asked for since 1.26.
        let read = match Target::of(&path) {
            Target::Discovery(scope @ (Scope::Core | Scope::Named), Form::Plain) => {
                Target::Discovery(scope, Form::Aggregated)
            }
            read => read,
        };
        let outcome = match read {
            Target::Other => Outcome::Other,
            Target::Resource(api) => self.resource(api),
            Target::Discovery(scope, form) => self.discovery(scope, form, &path),
        };
        (outcome, self.decision(read, 0).reason())
    }

    fn decision(&self, target: Target<'_>, turn: usize) -> Decision {
        decide(target, &self.servers, Knowledge::Map(&self.map), turn)
    }

    fn everyone(&self) -> ServerSet {
        ServerSet::first(self.size())
    }

    fn resource(&self, api: Api<'_>) -> Outcome {
        let listed_by = self.map.listing(&api);
        if listed_by == self.everyone() {
            return Outcome::Even;
        }
        if listed_by.is_empty() {
            return Outcome::Unlisted;
        }
        let false_404 = |false_404| Odds { false_404, incomplete: 0.0 };
        let unlisted = |id: ServerId| -> f64 { u8::from(!listed_by.contains(id.index())).into() };
        let odds = [
            self.mean(unlisted),
            self.mean(|id| self.built_in_odds(id, api, listed_by)),
            self.peerway_odds(Target::Resource(api), unlisted),
        ];
        let parts = [api.group, api.version, api.resource, api.subresource];
        let shown = parts.into_iter().filter(|part| !part.is_empty()).map(String::from_utf8_lossy);
        let api = shown.collect::<Vec<_>>().join("/");
        Outcome::Skewed(Exposure { api, listed_by, odds: odds.map(false_404) })
    }

    /// The odds of a false 404 when `server` is asked for `api` and may ask a peer for it.
    fn built_in_odds(&self, server: ServerId, api: Api<'_>, listed_by: ServerSet) -> f64 {
        let with_parent = self.map.listing(&Api { subresource: b"", ..api }).or(listed_by);
        if with_parent.contains(server.index()) {
            return u8::from(!listed_by.contains(server.index())).into();
        }
        let group_version = [api.group, b"/", api.version].concat();
        let left_out = self.shared.contains(String::from_utf8_lossy(&group_version).as_ref());
        if left_out {
            return 1.0;
        }
        share(with_parent.without(listed_by).len(), with_parent.len())
    }

    fn discovery(&self, scope: Scope<'_>, form: Form, path: &[u8]) -> Outcome {
        let (key, shown) = scope_key(scope, form);
        let Some(&Coverage { some, all }) = self.coverage.get(&key) else {
            return Outcome::Unlisted;
        };
        if all == self.everyone() {
            return Outcome::Even;
        }
        let lacks =
            |set: ServerSet, id: ServerId| -> f64 { u8::from(!set.contains(id.index())).into() };
        let odds = |false_404: f64, short: f64| Odds { false_404, incomplete: short - false_404 };
        let plain = odds(self.mean(|id| lacks(some, id)), self.mean(|id| lacks(all, id)));
        let built_in = if path == b"/apis" { Odds::default() } else { plain };
        let target = Target::Discovery(scope, form);
        let peerway = odds(
            self.peerway_odds(target, |id| lacks(some, id)),
            self.peerway_odds(target, |id| lacks(all, id)),
        );
        let odds = [plain, built_in, peerway];
        Outcome::Skewed(Exposure { api: shown, listed_by: all, odds })
    }

    /// The mean over all servers: each is as likely to be asked.
    fn mean(&self, odds: impl Fn(ServerId) -> f64) -> f64 {
        self.everyone().iter().map(odds).sum::<f64>() / self.size() as f64
    }

    /// What the filter's decision leaves of the odds. Its witness asks on down the list until a
    /// server knows a resource; discovery, and what must not be sent twice, is the first server's.
    fn peerway_odds(&self, target: Target<'_>, odds: impl Fn(ServerId) -> f64) -> f64 {
        let over_turns = |turn| match self.decision(target, turn) {
            Decision::Untouched | Decision::PoolOnce => self.mean(&odds),
            Decision::Merged(_) | Decision::NotYet(_) => 0.0,
            Decision::Peers(peers) => {
                let asks_on = matches!(target, Target::Resource(_)) && !peers.once;
                let asked = if asks_on { peers.order.len() } else { 1 };
                peers.order.into_iter().take(asked).map(&odds).fold(1.0, f64::min)
            }
        };
        (0..self.size()).map(over_turns).sum::<f64>() / self.size() as f64
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn group_version(key: &str) -> &str {
    key.match_indices('/').nth(1).and_then(|(end, _)| key.get(..end)).unwrap_or(key)
}

/// Discovery as a client asks for it: where its coverage is kept, and its path for people. The
/// document of a group names versions only; all others have every resource.
fn scope_key(scope: Scope<'_>, form: Form) -> (String, String) {
    let text = String::from_utf8_lossy;
    let prefix = if form == Form::OpenApi { "/openapi/v3" } else { "" };
    match scope {
        Scope::Cluster => ("openapi".into(), "/openapi".into()),
        Scope::Core => ("/v1".into(), "/api".into()),
        Scope::Named => ("apis".into(), "/apis".into()),
        Scope::Group(group) => {
            (format!("{}/", text(group)), format!("{prefix}/apis/{}", text(group)))
        }
        Scope::GroupVersion(b"", version) => {
            (format!("/{}", text(version)), format!("{prefix}/api/{}", text(version)))
        }
        Scope::GroupVersion(group, version) => {
            let key = format!("{}/{}", text(group), text(version));
            let shown = format!("{prefix}/apis/{key}");
            (key, shown)
        }
    }
}

/// For every key of [`scope_key`]: who has some of it, and who has all.
fn coverage(apis: &[(String, ServerSet)]) -> BTreeMap<String, Coverage> {
    let mut versions: BTreeMap<&str, ServerSet> = BTreeMap::new();
    let mut coverage = BTreeMap::new();
    let mut add = |scope: String, servers: ServerSet| {
        let of_scope = coverage.entry(scope).or_insert(Coverage { some: servers, all: servers });
        *of_scope = Coverage { some: of_scope.some.or(servers), all: of_scope.all.and(servers) };
    };
    for (key, servers) in apis {
        let version = group_version(key);
        let known = versions.entry(version).or_default();
        *known = known.or(*servers);
        add(version.to_owned(), *servers);
        add("openapi".into(), *servers);
        if !version.starts_with('/') {
            add("apis".into(), *servers);
        }
    }
    for (version, servers) in versions {
        let group = version.split('/').next().unwrap_or_default();
        add(format!("{group}/"), servers);
    }
    coverage
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two old servers and one new one, of every kind of skew.
    fn skew() -> Skew {
        let old = [
            ("/v1/pods/", Origin::BuiltIn),
            ("a/v1/even/", Origin::BuiltIn),
            ("crd.io/v1/widgets/", Origin::Shared),
        ];
        let more = [
            ("a/v1/even/status", Origin::BuiltIn),
            ("a/v1/new/", Origin::BuiltIn),
            ("b/v1/x/", Origin::BuiltIn),
            ("crd.io/v1/late/", Origin::Shared),
        ];
        let apis = |keys: &[(&str, Origin)]| -> Apis {
            keys.iter().map(|(key, origin)| ((*key).to_owned(), *origin)).collect()
        };
        let (old, new) = (apis(&old), apis(&[old.as_slice(), &more].concat()));
        Skew::between(&[("cp-1".into(), &old), ("cp-2".into(), &old), ("cp-3".into(), &new)])
            .unwrap()
    }

    /// Thirds of false 404 and of incomplete discovery: plain, built-in, Peerway.
    fn check(target: &str, expected: [(u8, u8); 3]) {
        let Outcome::Skewed(exposure) = skew().judge(target).0 else {
            panic!("{target}: not skewed");
        };
        let thirds = |odds: Odds| [odds.false_404, odds.incomplete].map(|odds| odds * 3.0);
        for (way, (odds, expected)) in Way::ALL.iter().zip(exposure.odds.into_iter().zip(expected))
        {
            let expected = [expected.0, expected.1].map(f64::from);
            let close = thirds(odds).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
            assert!(close, "{target}, {}: {odds:?}, expected {expected:?}/3", way.name());
        }
    }

    #[test]
    fn the_built_in_proxy_covers_resources_and_merged_discovery_only() {
        check("/apis/a/v1/new", [(2, 0), (0, 0), (0, 0)]);
        check("/apis/b/v1/namespaces/n/x/o?watch=1", [(2, 0), (0, 0), (0, 0)]);
        check("/apis/a/v1/even/o/status", [(2, 0), (2, 0), (0, 0)]);
        check("/apis/crd.io/v1/late", [(2, 0), (2, 0), (0, 0)]);
        check("/apis?timeout=32s", [(0, 2), (0, 0), (0, 0)]);
        check("/apis/", [(0, 2), (0, 2), (0, 0)]);
        check("/apis/a/v1", [(0, 2), (0, 2), (0, 0)]);
        check("/apis/b/v1", [(2, 0), (2, 0), (0, 0)]);
        check("/apis/b", [(2, 0), (2, 0), (0, 0)]);
        check("/openapi/v3", [(0, 2), (0, 2), (0, 0)]);
        check("/openapi/v3/apis/b/v1?hash=A", [(2, 0), (2, 0), (0, 0)]);
    }

    #[test]
    fn what_all_servers_have_cannot_go_wrong() {
        for even in ["/api/v1/pods", "/api", "/api/v1", "/apis/a", "/apis/a/v1/even"] {
            assert_eq!(skew().judge(even).0, Outcome::Even, "{even}");
        }
        for unlisted in ["/apis/c/v1/x", "/apis/c", "/apis/a/v2", "/api/v1/pods/p/log", "/api/apis"]
        {
            assert_eq!(skew().judge(unlisted).0, Outcome::Unlisted, "{unlisted}");
        }
        for other in ["/version", "", "/apis/%zz/v1/x", "/api/v1/watch"] {
            assert_eq!(skew().judge(other).0, Outcome::Other, "{other}");
        }
    }

    #[test]
    fn a_peer_without_the_subresource_is_a_false_404_of_the_built_in_proxy() {
        let apis = |keys: &[&str]| -> Apis {
            keys.iter().map(|key| ((*key).to_owned(), Origin::BuiltIn)).collect()
        };
        let (none, some) = (apis(&["g/v1/a/"]), apis(&["g/v1/b/"]));
        let all = apis(&["g/v1/b/", "g/v1/b/status"]);
        let skew =
            Skew::between(&[("a".into(), &none), ("b".into(), &some), ("c".into(), &all)]).unwrap();
        let Outcome::Skewed(exposure) = skew.judge("/apis/g/v1/b/o/status").0 else { panic!() };
        // Server a asks b or c, b answers itself, c has it.
        assert_eq!(exposure.odds.map(|odds| odds.false_404), [2.0 / 3.0, 0.5, 0.0]);
        assert_eq!(skew.names(exposure.listed_by), ["c"]);
    }

    #[test]
    fn nobody_has_all_of_a_group_version() {
        let apis = |keys: &[&str]| -> Apis {
            keys.iter().map(|key| ((*key).to_owned(), Origin::BuiltIn)).collect()
        };
        let (left, right) = (apis(&["g/v1/a/"]), apis(&["g/v1/b/"]));
        let skew = Skew::between(&[("a".into(), &left), ("b".into(), &right)]).unwrap();
        let Outcome::Skewed(exposure) = skew.judge("/apis/g/v1").0 else { panic!() };
        assert_eq!(exposure.odds, [Odds { false_404: 0.0, incomplete: 1.0 }; 3]);
    }

    #[test]
    fn one_server_is_no_skew() {
        let apis = Apis::default();
        assert!(Skew::between(&[("a".into(), &apis)]).is_err());
    }
}
