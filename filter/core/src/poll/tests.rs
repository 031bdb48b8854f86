//! One server's life after the other, told as events.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod standing;
mod world;

use super::*;
use crate::openapi::{REREAD_MS, ROOT};
use crate::request::{Api, Form, Scope};
use crate::servers::ServerSet;
use crate::serving_map::page_key;
use crate::snapshot;
use world::Behavior::{Dead, Frozen, Garbage, Named, Plain, Refuses, RefusesAll, Serves};
use world::World;

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

#[test]
fn openapi_is_read_while_no_server_has_everything() {
    let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a"])]);
    let asked = |world: &World| {
        let openapi = world.asked.iter().filter(|(_, path, _)| path.starts_with(ROOT));
        openapi.map(|(at, path, _)| (*at, path.len() > ROOT.len())).collect::<Vec<_>>()
    };
    world.poll().poll();
    assert_eq!(asked(&world), []);
    world.servers = vec![Serves(vec!["a", "b"]), Serves(vec!["a", "c"])];
    world.poll().poll();
    assert_eq!(asked(&world), [(0, false), (1, false), (0, true), (1, true)]);
    let body = |world: &World, scope, form| {
        String::from_utf8(world.merged[&page_key(scope, form)].body.to_vec()).unwrap()
    };
    let united = body(&world, Scope::GroupVersion(b"g", b"v1"), Form::OpenApi);
    assert_eq!(united, r#"{"paths":{"/a-b":{},"/a-c":{}}}"#);
    let index = body(&world, Scope::Cluster, Form::OpenApiIndex);
    assert!(index.contains("/openapi/v3/apis/g/v1?hash="), "{index}");
    world.poll();
    assert_eq!(asked(&world), []);
    world.tick_after(REREAD_MS);
    assert_eq!(asked(&world), [(0, false), (1, false)], "what did not change is not read again");
    world.servers[0] = Dead;
    world.poll().poll();
    assert!(body(&world, Scope::Cluster, Form::OpenApiIndex).contains("?hash=a-c"), "the other's");
}

#[test]
fn an_aggregated_api_that_was_deleted_does_not_come_back_with_a_gone_server() {
    let with = || Serves(vec!["a", "aggregated"]);
    for (api_services, expected) in [(true, vec![]), (false, vec![0])] {
        let mut world = World::new(vec![with(), with()]);
        world.api_services = api_services.then_some("g");
        world.is_busy = true;
        world.poll();
        world.is_busy = false;
        world.poll().poll();
        world.servers[0] = Dead;
        world.poll();
        assert_eq!(world.listing("aggregated"), [0, 1]);
        world.servers[1] = Serves(vec!["b"]);
        world.poll().poll();
        assert_eq!(world.listing("aggregated"), expected, "{api_services}");
    }
}

#[test]
fn a_version_is_not_forgotten_because_a_server_is_busy() {
    let mut world = World::new(vec![Serves(vec!["a"])]);
    world.poll();
    world.is_busy = true;
    // Asked again, since another version may have taken its place.
    world.servers[0] = Serves(vec!["a", "b"]);
    world.poll();
    assert!(world.asked.iter().any(|(_, path, _)| path == "/version"));
    assert_eq!(world.poller.status().servers[0].version, "v1.36.3");
}
