//! Servers as they answer, and a host that carries out what the poller wants.

use std::collections::BTreeMap;

use super::super::*;
use crate::discovery::API_SERVICES;
use crate::openapi::ROOT;
use crate::request::Api;
use crate::servers::ServerSet;
use crate::snapshot;

const AGGREGATED: &[u8] = b"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const JSON: &[u8] = b"application/json";
const CORE: &str = r#"{"kind":"APIGroupDiscoveryList","items":[{"metadata":{},"versions":[{"version":"v1","resources":[{"resource":"pods","verbs":[]}]}]}]}"#;

fn named(resources: &[&str]) -> String {
    let resources: Vec<_> = resources
        .iter()
        .map(|name| format!(r#"{{"resource":"{name}","verbs":["get"]}}"#))
        .collect();
    format!(
        r#"{{"kind":"APIGroupDiscoveryList","items":[{{"metadata":{{"name":"g"}},"versions":[{{"version":"v1","resources":[{}]}}]}}]}}"#,
        resources.join(",")
    )
}

fn api_services(group: &str) -> String {
    format!(
        r#"{{"kind":"APIServiceList","items":[{{"spec":{{"group":"{group}","version":"v1","service":{{}}}}}}]}}"#
    )
}

/// What a server does when it is asked.
#[derive(Debug, Clone)]
pub(super) enum Behavior {
    Serves(Vec<&'static str>),
    Dead,
    /// Answers nothing in time.
    Frozen,
    /// Good `/readyz`, this status on discovery.
    Refuses(u16),
    RefusesAll(u16),
    Garbage,
    /// Only plain discovery.
    Plain(Vec<&'static str>),
    /// This document of the named groups.
    Named(&'static str),
}

/// Servers, a poller, and what workers and other VMs would see.
pub(super) struct World {
    pub(super) servers: Vec<Behavior>,
    pub(super) poller: Poller,
    pub(super) now_ms: u64,
    pub(super) map: Option<Vec<u8>>,
    pub(super) status: Vec<u8>,
    pub(super) documents: Vec<Option<Vec<u8>>>,
    pub(super) asked: Vec<(usize, String, Option<String>)>,
    /// The group whose `v1` another API server answers for; without one, nobody may know.
    pub(super) api_services: Option<&'static str>,
    /// Whether that question, and the one for a version, is answered 429 instead.
    pub(super) is_busy: bool,
    /// Merged documents, as they were last published.
    pub(super) merged: BTreeMap<PageKey, MergedDocument>,
}

fn config(count: usize) -> Fetcher {
    let server = |at| Server { name: format!("s{at}"), address: format!("127.0.0.1:{at}") };
    Fetcher {
        servers: (0..count).map(server).collect(),
        cluster: "fetch".into(),
        authority: "kubernetes.default.svc".into(),
        poll_interval_ms: 1_000,
        probe_timeout_ms: 1_000,
        discovery_timeout_ms: 10_000,
    }
}

impl World {
    pub(super) fn new(servers: Vec<Behavior>) -> Self {
        let poller = Poller::resume(config(servers.len()), &Status::default(), |_| None);
        let documents = vec![None; servers.len()];
        let (map, status, asked) = (None, Vec::new(), Vec::new());
        let merged = BTreeMap::new();
        Self {
            servers,
            poller,
            now_ms: 1_000,
            map,
            status,
            documents,
            asked,
            api_services: None,
            is_busy: false,
            merged,
        }
    }

    /// One poll interval, all questions answered at once.
    pub(super) fn poll(&mut self) -> &mut Self {
        self.tick_after(1_000)
    }

    /// A tick so many milliseconds later, all questions answered at once.
    pub(super) fn tick_after(&mut self, later_ms: u64) -> &mut Self {
        self.asked.clear();
        let effects = self.tick(later_ms);
        self.carry_out_all(effects);
        self
    }

    /// One poll interval, in which this server's `/readyz` is answered only when its time is over. It
    /// is asked for a sign of life before, which is answered with this status.
    pub(super) fn poll_with_sign(&mut self, at: usize, sign: u16) {
        let mut effects = self.tick(1_000);
        let is_its = |effect: &mut Effect| match effect {
            Effect::Ask { call, .. } => call.server == at && call.ask == Ask::Ready,
            _ => false,
        };
        let probe: Vec<_> = effects.extract_if(.., is_its).collect();
        self.carry_out_all(effects);
        assert!(self.tick(499).is_empty());
        for effect in self.tick(1) {
            let Effect::Ask { call, timeout_ms: 500, .. } = effect else { panic!("{effect:?}") };
            assert_eq!((call.server, &call.ask), (at, &Ask::Sign));
            let answer = Answer { status: sign, ..Answer::default() };
            let effects = self.poller.handle(Event::Reply(call, answer), self.now_ms);
            self.carry_out_all(effects);
        }
        assert!(self.tick(499).is_empty(), "it is asked for one once");
        self.now_ms += 1;
        self.carry_out_all(probe);
    }

    fn tick(&mut self, later_ms: u64) -> Vec<Effect> {
        self.now_ms += later_ms;
        self.poller.handle(Event::Tick, self.now_ms)
    }

    fn carry_out_all(&mut self, mut effects: Vec<Effect>) {
        while !effects.is_empty() {
            let mut next = Vec::new();
            for effect in effects {
                next.extend(self.carry_out(effect));
            }
            effects = next;
        }
    }

    pub(super) fn carry_out(&mut self, effect: Effect) -> Vec<Effect> {
        match effect {
            Effect::Ask { call, path, if_none_match, .. } => {
                self.asked.push((call.server, path.clone(), if_none_match.clone()));
                let (status, content_type, body) = match self.api_services {
                    _ if self.is_busy && [API_SERVICES, "/version"].contains(&path.as_str()) => {
                        (429, JSON, String::new())
                    }
                    Some(group) if path == API_SERVICES => (200, JSON, api_services(group)),
                    _ => self.servers[call.server].answer(&path),
                };
                let etag = format!("\"{}\"", body.len());
                let aggregated = content_type == AGGREGATED;
                let unchanged = aggregated && if_none_match.as_ref() == Some(&etag);
                let answer = Answer {
                    status: if unchanged { 304 } else { status },
                    content_type,
                    etag: if aggregated { etag.as_bytes() } else { b"" },
                    body: body.as_bytes(),
                    body_bytes: body.len(),
                };
                return self.poller.handle(Event::Reply(call, answer), self.now_ms);
            }
            Effect::Publish(_, bytes) => self.map = Some(bytes),
            Effect::SaveStatus => self.status = self.poller.status().to_bytes(),
            Effect::SaveDocument(at) => {
                let (_, document) = self.poller.document(at).unwrap();
                self.documents[at] = Some(document.to_bytes());
            }
            Effect::PublishDocument(key, document) => drop(self.merged.insert(key, document)),
            Effect::Renew(_) | Effect::Count(..) | Effect::Log(_) => {}
        }
        Vec::new()
    }

    /// The VM that polled is gone; another goes on with what it left.
    pub(super) fn hand_over(&mut self) -> &mut Self {
        let status = Status::from_bytes(self.status.clone()).unwrap();
        let config = config(self.servers.len());
        let places: Vec<_> = config.servers.iter().map(|server| server.address.clone()).collect();
        self.poller = Poller::resume(config, &status, |server| {
            let at = places.iter().position(|address| *address == server.address)?;
            Document::from_bytes(self.documents[at].clone()?)
        });
        self
    }

    pub(super) fn listing(&self, resource: &str) -> Vec<usize> {
        let map = snapshot::decode(self.map.clone().unwrap(), &self.poller.config.servers).unwrap();
        let resource = resource.as_bytes();
        let listing = map.listing(&Api { group: b"g", version: b"v1", resource, subresource: b"" });
        listing.iter().map(|id| id.index()).collect()
    }

    pub(super) fn confirmed(&self) -> ServerSet {
        snapshot::decode(self.map.clone().unwrap(), &self.poller.config.servers).unwrap().confirmed
    }

    pub(super) fn silent(&self) -> ServerSet {
        snapshot::decode(self.map.clone().unwrap(), &self.poller.config.servers).unwrap().silent
    }

    pub(super) fn standing(&self, at: usize) -> Standing {
        self.poller.servers[at].record.standing()
    }
}

impl Behavior {
    fn answer(&self, path: &str) -> (u16, &'static [u8], String) {
        let json = JSON;
        match (self, path) {
            (Self::Dead, _) => (0, b"", String::new()),
            (Self::Frozen, _) => (504, b"text/plain", "upstream request timeout".into()),
            (Self::RefusesAll(status), _) => (*status, json, String::new()),
            (_, "/readyz") => (200, b"text/plain", "ok".into()),
            (_, "/version") => (200, json, r#"{"gitVersion":"v1.36.3"}"#.into()),
            (Self::Refuses(status), _) => (*status, json, "{}".into()),
            (Self::Garbage, _) => (200, AGGREGATED, "{\"kind\":".into()),
            (Self::Named(document), "/apis") => (200, AGGREGATED, (*document).into()),
            (Self::Serves(_) | Self::Named(_), "/api") => (200, AGGREGATED, CORE.into()),
            (Self::Serves(resources), "/apis") => (200, AGGREGATED, named(resources)),
            (Self::Serves(resources), path) if path.starts_with(ROOT) => {
                let hash = resources.join("-");
                let url = format!("{ROOT}/apis/g/v1?hash={hash}");
                let body = match path == ROOT {
                    true => {
                        format!(r#"{{"paths":{{"apis/g/v1":{{"serverRelativeURL":"{url}"}}}}}}"#)
                    }
                    false => format!(r#"{{"paths":{{"/{hash}":{{}}}}}}"#),
                };
                (if path == ROOT || path == url { 200 } else { 301 }, json, body)
            }
            (Self::Plain(_), "/api") => {
                (200, json, r#"{"kind":"APIVersions","versions":["v1"]}"#.into())
            }
            (Self::Plain(_), "/apis") => {
                let groups = r#"{"kind":"APIGroupList","groups":[{"name":"g","versions":[{"version":"v1"},{"version":"v9"}]}]}"#;
                (200, json, groups.into())
            }
            (Self::Plain(_), "/api/v1") => {
                (200, json, r#"{"kind":"APIResourceList","resources":[{"name":"pods"}]}"#.into())
            }
            (Self::Plain(resources), "/apis/g/v1") => {
                let names: Vec<_> =
                    resources.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
                (
                    200,
                    json,
                    format!(r#"{{"kind":"APIResourceList","resources":[{}]}}"#, names.join(",")),
                )
            }
            _ => (404, json, "{}".into()),
        }
    }
}
