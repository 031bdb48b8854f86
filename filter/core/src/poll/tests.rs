//! One server's life after the other, told as events.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

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
fn a_server_that_was_late_for_too_long_is_silent_until_it_gives_a_sign_of_life() {
    let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a"])]);
    world.poll();
    for (then, expected) in [
        (Dead, false),
        (RefusesAll(503), false),
        (Serves(vec!["a"]), false),
        (Frozen, false),
        (Frozen, false),
        (Frozen, true),
        // Its connection has ended, and no other can be made.
        (RefusesAll(503), true),
        (Dead, true),
        (RefusesAll(500), false),
        (Frozen, true),
        (Serves(vec!["a"]), false),
    ] {
        world.servers[1] = then;
        world.poll();
        assert_eq!(world.silent().contains(1), expected);
    }
}

#[test]
fn a_late_server_that_answers_nothing_is_silent_at_once_and_a_busy_one_is_not() {
    let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a"])]);
    world.poll();
    for (then, sign, expected) in [
        (Frozen, 504, true),
        (Serves(vec!["a"]), 200, false),
        (Frozen, 503, true),
        // A sign of life from one that is late.
        (Frozen, 200, false),
        // Busy with `/readyz` for so long that it is gone, and it serves.
        (Frozen, 401, false),
        (Frozen, 200, false),
        // Cut off: nothing is answered, by nobody.
        (Dead, 0, false),
        (Frozen, 0, true),
        (Dead, 0, true),
        (Frozen, 200, false),
    ] {
        world.servers[1] = then.clone();
        world.poll_with_sign(1, sign);
        assert_eq!(world.silent().contains(1), expected, "{then:?}, and {sign}");
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
fn a_vm_that_takes_over_knows_who_is_silent() {
    let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a", "b"])]);
    world.poll();
    world.servers[1] = Frozen;
    world.poll_with_sign(1, 504);
    let before = world.map.take();
    world.hand_over();
    let first_tick = world.poller.handle(Event::Tick, world.now_ms);
    let is_map = |effect: &Effect| matches!(effect, Effect::Publish(..));
    first_tick.into_iter().filter(is_map).for_each(|map| drop(world.carry_out(map)));
    assert!(world.silent().contains(1));
    assert_eq!(world.map, before);
    // Also that it spoke again.
    world.poll_with_sign(1, 200);
    world.hand_over().poll_with_sign(1, 200);
    assert!(!world.silent().contains(1));
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
    for then in [Dead, RefusesAll(401), RefusesAll(500), Frozen] {
        let mut world = World::new(vec![Serves(vec!["a"]), Serves(vec!["a", "b"])]);
        world.poll();
        world.servers = vec![then.clone(), then];
        world.poll().poll().poll().hand_over().poll();
        assert_eq!(world.confirmed(), ServerSet::first(2), "not only the one that failed last");
        assert_eq!((world.listing("a"), world.listing("b")), (vec![0, 1], vec![1]));
    }
}

#[test]
fn who_serves_without_being_ready_is_asked_before_who_answers_nothing() {
    let all = || Serves(vec!["a"]);
    let mut world = World::new(vec![all(), all(), all()]);
    world.poll();
    world.servers = vec![RefusesAll(500), RefusesAll(500), all()];
    for _ in 0..60 {
        world.poll();
    }
    assert_eq!(world.confirmed(), [2].into_iter().collect());
    world.servers[2] = Frozen;
    world.poll_with_sign(2, 504);
    assert_eq!((world.confirmed(), world.silent().contains(2)), (ServerSet::first(2), true));
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
