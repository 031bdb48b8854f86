//! Servers, and what is between, come and go under the load of real clients: nobody is told that
//! something is not there that is, nothing is lost, nothing is done twice.

use std::time::Duration;

use anyhow::Context;
use peerway_harness::chaos::{Plan, Scenario, Stage, Way};

/// `make chaos` takes longer, and plays all scenarios.
const TIME: Duration = Duration::from_secs(6);
/// What the fetcher is told takes effect with its next poll.
const LONGER: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_upgraded_in_order_are_missed_by_nobody() {
    let (told, broken) = play(TIME, &["upgrade"]).await;
    println!("{told}");
    assert!(broken.is_empty(), "{broken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_die_or_vanish_are_soon_asked_no_more_and_take_nothing_along() {
    let (told, broken) = play(TIME, &["black-hole", "kill-other"]).await;
    println!("{told}");
    assert!(broken.is_empty(), "{broken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_the_fetcher_is_as_good_as_before_to_everybody_else() {
    let (told, broken) = play(LONGER, &["refused"]).await;
    println!("{told}");
    assert!(broken.is_empty(), "{broken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_credential_and_configuration_can_go_and_nothing_is_forgotten() {
    let (told, broken) = play(TIME, &["credential", "etcd", "configuration"]).await;
    println!("{told}");
    assert!(broken.is_empty(), "{broken}");
}

/// On one stage, which the first scenario describes. Returns what was seen, and the promises that
/// were not kept.
async fn play(time: Duration, scenarios: &[&str]) -> (String, String) {
    let scenarios: Vec<_> = scenarios.iter().map(|name| Scenario::named(name).unwrap()).collect();
    let mut stage = Stage::start(&Plan::for_scenario(Way::Peerway, scenarios[0])).await.unwrap();
    let (mut told, mut broken) = (String::new(), String::new());
    for scenario in scenarios {
        let name = scenario.name;
        let outcome = stage.play(scenario, time, |_| {}).await.context(name).unwrap();
        told.push_str(&format!("{name}:\n{outcome}\n"));
        for promise in outcome.broken_promises(scenario.manner) {
            broken.push_str(&format!("{name}: {promise}\n"));
        }
    }
    (told, broken)
}
