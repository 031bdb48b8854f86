//! One server's life after the other, told as events.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::request::{Api, Scope};
use crate::servers::ServerSet;
use crate::snapshot;

const AGGREGATED: &[u8] = b"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
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

/// What a server does when it is asked.
#[derive(Clone)]
enum Behavior {
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
struct World {
    servers: Vec<Behavior>,
    poller: Poller,
    now_ms: u64,
    map: Option<Vec<u8>>,
    status: Vec<u8>,
    documents: Vec<Option<Vec<u8>>>,
    asked: Vec<(usize, String, Option<String>)>,
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
    fn new(servers: Vec<Behavior>) -> Self {
        let poller = Poller::resume(config(servers.len()), &Status::default(), |_| None);
        let documents = vec![None; servers.len()];
        let (map, status, asked) = (None, Vec::new(), Vec::new());
        Self { servers, poller, now_ms: 1_000, map, status, documents, asked }
    }

    /// One poll interval, all questions answered at once.
    fn poll(&mut self) -> &mut Self {
        self.tick_after(1_000)
    }

    /// A tick so many milliseconds later, all questions answered at once.
    fn tick_after(&mut self, later_ms: u64) -> &mut Self {
        self.asked.clear();
        self.now_ms += later_ms;
        let mut effects = self.poller.handle(Event::Tick, self.now_ms);
        while !effects.is_empty() {
            let mut next = Vec::new();
            for effect in effects {
                next.extend(self.carry_out(effect));
            }
            effects = next;
        }
        self
    }

    fn carry_out(&mut self, effect: Effect) -> Vec<Effect> {
        match effect {
            Effect::Ask { call, path, if_none_match, .. } => {
                self.asked.push((call.server, path.clone(), if_none_match.clone()));
                let (status, content_type, body) = self.servers[call.server].answer(&path);
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
            Effect::PublishDocument(..) | Effect::Renew(_) | Effect::Count(..) | Effect::Log(_) => {
            }
        }
        Vec::new()
    }

    /// The VM that polled is gone; another goes on with what it left.
    fn hand_over(&mut self) -> &mut Self {
        let status = Status::from_bytes(self.status.clone()).unwrap();
        let config = config(self.servers.len());
        let places: Vec<_> = config.servers.iter().map(|server| server.address.clone()).collect();
        self.poller = Poller::resume(config, &status, |server| {
            let at = places.iter().position(|address| *address == server.address)?;
            Document::from_bytes(self.documents[at].clone()?)
        });
        self
    }

    fn listing(&self, resource: &str) -> Vec<usize> {
        let map = snapshot::decode(self.map.clone().unwrap(), &self.poller.config.servers).unwrap();
        let resource = resource.as_bytes();
        let listing = map.listing(&Api { group: b"g", version: b"v1", resource, subresource: b"" });
        listing.iter().map(|id| id.index()).collect()
    }

    fn confirmed(&self) -> ServerSet {
        snapshot::decode(self.map.clone().unwrap(), &self.poller.config.servers).unwrap().confirmed
    }

    fn standing(&self, at: usize) -> Standing {
        self.poller.servers[at].record.standing()
    }
}

impl Behavior {
    fn answer(&self, path: &str) -> (u16, &'static [u8], String) {
        let json: &[u8] = b"application/json";
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

use Behavior::{Dead, Frozen, Garbage, Named, Plain, Refuses, RefusesAll, Serves};

#[test]
fn what_each_server_lists_is_published() {
    let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a", "b"]), Dead]);
    world.poll();
    assert_eq!(
        (world.listing("a"), world.listing("b"), world.listing("c")),
        (vec![0, 1], vec![1], vec![])
    );
    assert_eq!(world.confirmed(), ServerSet::first(2));
    assert_eq!(world.standing(2), Standing::Gone);
}

#[test]
fn unchanged_servers_cost_one_probe_and_two_304s_and_publish_nothing() {
    let mut world = World::new(vec![Serves(vec!["a"])]);
    world.poll();
    world.map = None;
    world.poll();
    let asked: Vec<_> =
        world.asked.iter().map(|(_, path, etag)| (path.as_str(), etag.is_some())).collect();
    assert_eq!(asked, [("/readyz", false), ("/api", true), ("/apis", true)]);
    assert_eq!(world.map, None);
}

#[test]
fn a_dead_or_refusing_or_garbled_server_loses_nothing_that_was_known() {
    for then in [
        Dead,
        Frozen,
        Refuses(401),
        Refuses(403),
        Refuses(429),
        Refuses(500),
        RefusesAll(401),
        Garbage,
    ] {
        let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a", "b"])]);
        world.poll();
        world.servers[1] = then;
        world.poll().poll();
        assert_eq!(world.listing("b"), [1]);
    }
}

#[test]
fn only_death_makes_a_server_gone_at_once() {
    for (then, expected) in [
        (Dead, Standing::Gone),
        (Frozen, Standing::Late),
        (RefusesAll(503), Standing::Gone),
        (RefusesAll(429), Standing::Confirmed),
        (Refuses(403), Standing::Confirmed),
        (Garbage, Standing::Confirmed),
    ] {
        let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a"])]);
        world.poll();
        world.servers[1] = then;
        world.poll();
        assert_eq!(world.standing(1), expected);
    }
}

#[test]
fn a_late_server_is_asked_last_and_looked_at_again_at_once() {
    let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a", "b"])]);
    world.poll();
    world.servers[1] = Frozen;
    world.poll();
    assert_eq!((world.standing(1), world.confirmed()), (Standing::Late, ServerSet::first(1)));
    assert_eq!(world.listing("b"), [1], "what it listed stays");

    world.servers[1] = Serves(vec!["a", "b"]);
    world.tick_after(1);
    assert_eq!((world.standing(1), world.confirmed()), (Standing::Confirmed, ServerSet::first(2)));
}

#[test]
fn a_server_that_is_late_several_times_in_a_row_is_gone() {
    let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a"])]);
    world.poll();
    for expected in [Standing::Late, Standing::Late, Standing::Gone, Standing::Gone] {
        world.servers[1] = Frozen;
        world.poll();
        assert_eq!(world.standing(1), expected);
    }
    world.servers[1] = Refuses(403);
    world.poll();
    assert_eq!(world.standing(1), Standing::Unknown, "it is read again first");
}

#[test]
fn a_server_that_was_gone_and_refuses_is_not_back_before_it_does_so_several_times() {
    for status in [401, 403, 429] {
        let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a"])]);
        world.poll();
        world.servers[1] = Dead;
        world.poll();
        world.servers[1] = RefusesAll(status);
        for expected in [Standing::Gone, Standing::Gone, Standing::Unknown, Standing::Unknown] {
            assert_eq!(world.poll().standing(1), expected);
        }
        // As a server does that starts: it refuses, is not ready, is ready.
        world.servers[1] = Dead;
        world.poll();
        for (then, expected) in [
            (RefusesAll(status), Standing::Gone),
            (RefusesAll(500), Standing::Gone),
            (RefusesAll(status), Standing::Gone),
            (Serves(vec!["a"]), Standing::Confirmed),
            (RefusesAll(status), Standing::Confirmed),
        ] {
            world.servers[1] = then;
            assert_eq!(world.poll().standing(1), expected);
        }
    }
}

#[test]
fn a_vm_that_takes_over_reads_a_late_server_again() {
    let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a"])]);
    world.poll();
    world.servers[1] = Frozen;
    world.poll().hand_over();
    world.servers[1] = Refuses(403);
    world.poll();
    assert_eq!(world.standing(1), Standing::Unknown);
}

#[test]
fn a_server_that_came_back_is_confirmed_only_when_it_was_read_again() {
    let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a", "b"])]);
    world.poll();
    world.servers[1] = Dead;
    world.poll();
    world.servers[1] = Refuses(403);
    world.poll();
    assert_eq!(world.standing(1), Standing::Unknown);
    world.servers[1] = Serves(vec!["a"]);
    world.poll();
    assert_eq!((world.standing(1), world.listing("b")), (Standing::Confirmed, vec![]));
}

#[test]
fn an_answer_from_before_a_death_is_dropped() {
    let mut world = World::new(vec![Serves(vec!["a"])]);
    world.poll();
    world.now_ms += 1_000;
    let ask_ready = world.poller.handle(Event::Tick, world.now_ms);
    let Some(Effect::Ask { call, .. }) = ask_ready.first().cloned() else {
        panic!("{ask_ready:?}")
    };
    let ok = Answer { status: 200, ..Answer::default() };
    let asks = world.poller.handle(Event::Reply(call, ok), world.now_ms);
    world.servers[0] = Dead;
    world.poll();
    world.servers[0] = Serves(vec!["a"]);
    for effect in asks {
        world.carry_out(effect);
    }
    assert_eq!(world.standing(0), Standing::Gone);
}

#[test]
fn while_no_server_is_confirmed_everything_stays_as_it_was() {
    for then in [Dead, RefusesAll(401)] {
        let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a", "b"])]);
        world.poll();
        world.servers = vec![then.clone(), then];
        world.poll().hand_over().poll();
        assert!(!world.confirmed().is_empty(), "the last one that was seen stays");
        assert_eq!((world.listing("a"), world.listing("b")), (vec![0, 1], vec![1]));
    }
}

#[test]
fn nothing_is_published_before_a_server_was_read() {
    let mut world = World::new(vec![Dead, Refuses(403), Garbage]);
    world.poll().poll();
    assert_eq!(world.map, None);
}

#[test]
fn a_vm_that_takes_over_knows_what_was_known_of_a_dead_server() {
    let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a", "b"])]);
    world.poll();
    world.servers[1] = Dead;
    world.poll().hand_over().poll();
    assert_eq!((world.listing("b"), world.confirmed()), (vec![1], ServerSet::first(1)));
}

#[test]
fn a_map_is_renewed_while_all_servers_are_dead() {
    let mut world = World::new(vec![Serves(vec!["a"])]);
    world.poll();
    world.servers[0] = Dead;
    world.poll().hand_over();
    let effects = world.poller.handle(Event::Tick, world.now_ms + 1_000);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Renew(_))), "{effects:?}");
}

#[test]
fn plain_discovery_is_read_group_version_by_group_version() {
    let mut world = World::new(vec![Plain(vec!["a", "a/status"]), Serves(vec!["a"])]);
    world.poll();
    assert_eq!(world.listing("a"), [0, 1]);
    let map = snapshot::decode(world.map.clone().unwrap(), &world.poller.config.servers).unwrap();
    let status = Api { group: b"g", version: b"v1", resource: b"a", subresource: b"status" };
    assert_eq!(map.listing(&status).len(), 1);
    assert_eq!(
        map.fullest(Scope::Group(b"g")).iter().map(|id| id.index()).collect::<Vec<_>>(),
        [0]
    );
    world.poll();
    assert!(
        !world.asked.iter().any(|(at, path, _)| *at == 0 && path == "/apis"),
        "{:?}",
        world.asked
    );
}

/// As the CRD server writes it: its own group spelled out, verbs unsorted.
const CRD: &str = r#"{"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":"g"},"versions":[{"version":"v1","resources":[
    {"resource":"a","verbs":["get"]},
    {"resource":"crd","responseKind":{"group":"g","version":"v1","kind":"C"},"verbs":["delete","get","create"]}]}]}]}"#;

#[test]
fn a_crd_that_was_deleted_while_a_server_was_dying_does_not_stay() {
    let mut world = World::new(vec![Named(CRD), Named(CRD)]);
    world.poll();
    assert_eq!(world.listing("crd"), [0, 1]);
    // The living one no longer lists it when both are looked at for the last time …
    world.servers[1] = Serves(vec!["a"]);
    world.poll();
    // … and the other dies without having been read again. Its death is seen before the living
    // one's document is found unchanged, and so newer.
    world.servers[0] = Dead;
    world.poll();
    assert_eq!(world.listing("crd"), Vec::<usize>::new());
    assert_eq!(world.listing("a"), [0, 1]);
}

#[test]
fn a_refresh_looks_at_every_server_at_once() {
    let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a"])]);
    world.poll();
    let effects = world.poller.handle(Event::Refresh, world.now_ms + 1);
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Ask { .. })).count(), 2);
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_the_polling() {
    let mut world = World::new(vec![Serves(vec!["a"])]);
    world.poll();
    world.now_ms = 10;
    world.poll();
    assert!(!world.asked.is_empty());
}
