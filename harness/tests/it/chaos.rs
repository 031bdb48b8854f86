//! Servers, and what is between, come and go under the load of real clients: nobody is told that
//! something is not there that is, nothing is lost, nothing is done twice.

use std::time::Duration;

use anyhow::Context;
use peerway_harness::chaos::{Plan, Scenario, Stage, Way};

/// `make chaos` takes longer.
const TIME: Duration = Duration::from_secs(6);
/// What the fetcher is told takes effect with its next poll.
const LONGER: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_upgraded_or_rolled_back_in_order_are_missed_by_nobody() {
    keeps_its_promises(TIME, &["roll-back", "upgrade"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_vanish_or_are_exchanged_are_soon_known_for_what_they_are() {
    keeps_its_promises(TIME, &["black-hole", "exchanged"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_die_or_freeze_are_soon_asked_no_more_and_take_nothing_along() {
    keeps_its_promises(TIME, &["kill-other", "freeze-other", "kill-only", "freeze-only", "gone"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_the_fetcher_is_as_good_as_before_to_everybody_else() {
    keeps_its_promises(LONGER, &["refused"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lies_or_is_not_ready_harms_nobody() {
    keeps_its_promises(LONGER, &["not-ready", "discovery"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_credential_and_configuration_can_go_and_nothing_is_forgotten() {
    keeps_its_promises(TIME, &["credential", "etcd", "configuration"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vms_that_panic_harm_no_more_than_what_they_had_in_hand() {
    keeps_its_promises(TIME, &["panic-fetcher", "panic-traffic"]).await;
}

/// On one stage, which the first scenario describes.
async fn keeps_its_promises(time: Duration, scenarios: &[&str]) {
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
    assert!(broken.is_empty(), "{broken}\n{told}");
}
