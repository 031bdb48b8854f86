//! Outcomes of requests -> the report: totals, and which clients and APIs they fall on.
//!
//! Memory is bounded by the number of APIs and `MAX_CLIENTS`, however long a log is.

use std::collections::{BTreeMap, HashMap};

use peerway_core::decide::Reason;
use serde::{Serialize, Serializer};

use super::log::{Client, Request};
use super::skew::{Exposure, Odds, Outcome, Skew};

/// Most clients that are told apart; what the others asked for is in the totals.
const MAX_CLIENTS: usize = 10_000;
/// So many addresses are kept of a client.
const MAX_ADDRESSES: usize = 3;

/// What was counted; the totals of `peerway rehearse -o json`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// All requests.
    pub requests: u64,
    /// Those that are neither for a resource nor for discovery.
    pub other: u64,
    /// Those for what no server lists.
    pub unlisted: u64,
    /// Those for what some servers list and others do not.
    pub skewed: u64,
    /// Of the skewed, those that the log shows as refused (401, 403): a server refuses before it
    /// looks for the API, so they cannot go wrong.
    pub refused: u64,
    /// Of the skewed, those that the log shows as answered with 404.
    pub recorded404: u64,
    /// What would have gone wrong in each way.
    pub ways: Ways,
    /// How Peerway would have decided: a reason, or `untouched`.
    pub decisions: BTreeMap<&'static str, u64>,
    #[serde(skip)]
    apis: HashMap<String, Share>,
    #[serde(skip)]
    clients: HashMap<(String, String), (Share, Vec<String>)>,
}

/// Counts in each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ways {
    /// Behind a plain balancer.
    pub plain: Harm,
    /// With kube-apiserver's mixed version proxy behind it.
    pub built_in: Harm,
    /// With Peerway.
    pub peerway: Harm,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Harm {
    /// 404 for what another server has.
    pub false404: Count,
    /// Discovery without what another server has.
    pub incomplete_discovery: Count,
}

/// How many requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Count {
    /// On average: the sum of the odds.
    #[serde(serialize_with = "to_hundredths")]
    pub expected: f64,
    /// At worst: those with any odds.
    pub possible: u64,
}

/// What one API or one client has of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// Skewed requests.
    pub requests: u64,
    /// Those that the log shows as answered with 404.
    pub recorded404: u64,
    /// What would have gone wrong with them.
    pub ways: Ways,
    /// Of an API: the servers that list it, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listed_by: Vec<String>,
}

/// A client and its share.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientShare {
    /// The user that the server took it for; empty if nobody.
    pub user: String,
    /// The first word of its `User-Agent`; empty if there was none.
    pub user_agent: String,
    /// The first few addresses that it came from.
    #[serde(rename = "sourceIPs")]
    pub source_ips: Vec<String>,
    /// Its share.
    #[serde(flatten)]
    pub share: Share,
}

/// An API and its share.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiShare {
    /// `group/version/resource/subresource` without empty parts, or a discovery path.
    pub api: String,
    /// Its share.
    #[serde(flatten)]
    pub share: Share,
}

impl Tally {
    /// Counts one request.
    pub fn add(&mut self, skew: &Skew, request: &Request<'_>) {
        let (outcome, reason) = skew.judge(&request.target);
        self.requests += 1;
        *self.decisions.entry(reason.map_or("untouched", Reason::name)).or_default() += 1;
        match outcome {
            Outcome::Other => self.other += 1,
            Outcome::Unlisted => self.unlisted += 1,
            Outcome::Even => {}
            Outcome::Skewed(exposure) => self.expose(skew, request, exposure),
        }
    }

    /// The APIs with the most to lose, most first.
    pub fn top_apis(&self, most: usize) -> Vec<ApiShare> {
        let apis = self.apis.iter();
        let apis = apis.map(|(api, share)| ApiShare { api: api.clone(), share: share.clone() });
        top(apis, most, |api| (&api.share, [&api.api, ""]))
    }

    /// The clients with the most to lose, most first; empty for a log that names none.
    pub fn top_clients(&self, most: usize) -> Vec<ClientShare> {
        let clients = self.clients.iter().map(|((user, agent), (share, addresses))| ClientShare {
            user: user.clone(),
            user_agent: agent.clone(),
            source_ips: addresses.clone(),
            share: share.clone(),
        });
        top(clients, most, |client| (&client.share, [&client.user, &client.user_agent]))
    }

    fn expose(&mut self, skew: &Skew, request: &Request<'_>, exposure: Exposure) {
        let refused = matches!(request.code, 401 | 403);
        let odds = if refused { [Odds::default(); 3] } else { exposure.odds };
        let recorded404 = u64::from(request.code == 404);
        self.skewed += 1;
        self.refused += u64::from(refused);
        self.recorded404 += recorded404;
        self.ways.add(odds);
        let of_api = self.apis.entry(exposure.api).or_insert_with(|| Share {
            listed_by: skew.names(exposure.listed_by),
            ..Share::default()
        });
        of_api.add(recorded404, odds);
        if let Some(client) = &request.client {
            self.expose_client(client, recorded404, odds);
        }
    }

    fn expose_client(&mut self, client: &Client<'_>, recorded404: u64, odds: [Odds; 3]) {
        // Behind the product there is the platform, and often the build: too fine to count by.
        let agent = client.agent.split_whitespace().next().unwrap_or_default();
        let key = (client.user.to_string(), agent.to_owned());
        if self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(&key) {
            return;
        }
        let (share, addresses) = self.clients.entry(key).or_default();
        share.add(recorded404, odds);
        let known = addresses.iter().any(|known| **known == *client.address);
        if !known && addresses.len() < MAX_ADDRESSES && !client.address.is_empty() {
            addresses.push(client.address.to_string());
        }
    }
}

impl Share {
    fn add(&mut self, recorded404: u64, odds: [Odds; 3]) {
        self.requests += 1;
        self.recorded404 += recorded404;
        self.ways.add(odds);
    }
}

impl Ways {
    fn add(&mut self, odds: [Odds; 3]) {
        let harms = [&mut self.plain, &mut self.built_in, &mut self.peerway];
        for (harm, odds) in harms.into_iter().zip(odds) {
            harm.false404.add(odds.false_404);
            harm.incomplete_discovery.add(odds.incomplete);
        }
    }

    /// In the order of [`super::skew::Way::ALL`].
    pub fn in_order(&self) -> [Harm; 3] {
        [self.plain, self.built_in, self.peerway]
    }
}

impl Count {
    fn add(&mut self, odds: f64) {
        self.expected += odds;
        self.possible += u64::from(odds > 0.0);
    }
}

/// The largest shares first: by what goes wrong behind a plain balancer, then requests, then name.
fn top<T>(
    shares: impl Iterator<Item = T>,
    most: usize,
    of: impl Fn(&T) -> (&Share, [&str; 2]),
) -> Vec<T> {
    let mut shares: Vec<T> = shares.collect();
    shares.sort_by(|left, right| {
        let ((left, left_name), (right, right_name)) = (of(left), of(right));
        let [left_harm, right_harm] = [left, right].map(|share| share.ways.plain);
        let by = |count: fn(Harm) -> Count| {
            count(right_harm).expected.total_cmp(&count(left_harm).expected)
        };
        by(|harm| harm.false404)
            .then(by(|harm| harm.incomplete_discovery))
            .then(right.requests.cmp(&left.requests))
            .then_with(|| left_name.cmp(&right_name))
    });
    shares.truncate(most);
    shares
}

/// Sums of thirds have endless digits, none of which means anything behind the second.
fn to_hundredths<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((number * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use peerway_core::apis::{Apis, Origin};

    use super::*;

    #[test]
    fn memory_is_bounded_by_clients_told_apart_not_by_clients() {
        let apis = |keys: &[&str]| -> Apis {
            keys.iter().map(|key| ((*key).to_owned(), Origin::BuiltIn)).collect()
        };
        let (old, new) = (apis(&["g/v1/a/"]), apis(&["g/v1/a/", "g/v1/b/"]));
        let skew = Skew::between(&[("old".into(), &old), ("new".into(), &new)]).unwrap();
        let mut tally = Tally::default();
        for at in 0..MAX_CLIENTS + 5 {
            let user = Cow::Owned(format!("user-{at}"));
            let client = Client { user, agent: "a/1 (b)".into(), address: "10.0.0.1".into() };
            let target = "/apis/g/v1/b".into();
            tally.add(&skew, &Request { target, code: 200, client: Some(client) });
        }
        assert_eq!(tally.skewed, MAX_CLIENTS as u64 + 5);
        let clients = tally.top_clients(usize::MAX);
        assert_eq!(clients.len(), MAX_CLIENTS);
        assert_eq!((clients[0].user.as_str(), clients[0].user_agent.as_str()), ("user-0", "a/1"));
        assert_eq!(tally.top_apis(1)[0].share.requests, MAX_CLIENTS as u64 + 5);
    }

    #[test]
    fn who_is_refused_cannot_be_told_404() {
        let apis = |keys: &[&str]| -> Apis {
            keys.iter().map(|key| ((*key).to_owned(), Origin::BuiltIn)).collect()
        };
        let (old, new) = (apis(&["g/v1/a/"]), apis(&["g/v1/a/", "g/v1/b/"]));
        let skew = Skew::between(&[("old".into(), &old), ("new".into(), &new)]).unwrap();
        let mut tally = Tally::default();
        for code in [200, 401, 403, 404] {
            tally.add(&skew, &Request { target: "/apis/g/v1/b".into(), code, client: None });
        }
        assert_eq!((tally.skewed, tally.refused, tally.recorded404), (4, 2, 1));
        assert_eq!(tally.ways.plain.false404, Count { expected: 1.0, possible: 2 });
        assert!(tally.top_clients(9).is_empty());
    }
}
