//! How servers stand: late, gone, silent, back; and what the map shows while none is confirmed.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

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
