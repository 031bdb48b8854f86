//! What the module holds in memory: as much after ten thousand polls as after the first thousand.

use std::time::Duration;

use peerway_harness::process::wait_until;
use peerway_harness::simulated::{Discovery, Matcher};
use serde_json::json;

use crate::rig::{SimulatedPlane, no_vm_died, resident_bytes};

/// As many as there may be, ten polls a second of each: ten thousand take twenty seconds.
const SERVERS: usize = 64;
const POLLS: usize = 10_000;
const WARM_UP: usize = 1_000;
/// Ten times what the polls need on a quiet machine.
const LIMIT: Duration = Duration::from_secs(200);
/// A few hundred bytes left behind by each poll would be more.
const MOST_GROWTH: u64 = 3 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_polls_leave_nothing_behind() {
    let own = |number: usize| format!("/apis/group-{number}.example.com/v1/things");
    let names: Vec<String> = (0..SERVERS).map(|number| format!("s{number}")).collect();
    let servers = names.iter().enumerate().map(|(number, name)| {
        (name.as_str(), Discovery::of(&["/api/v1/pods", &own(number)]).unwrap())
    });
    let plane = SimulatedPlane::start(servers.collect()).await.unwrap();
    let (builder, listener) = plane.fetching(json!({"pollInterval": "100ms"})).unwrap();
    let mut balancer = builder.start().await.unwrap();
    for name in &names {
        listener.confirmed(name).await.unwrap();
    }
    let mut polled = 0;
    let mut until = async |enough| {
        while polled < enough {
            let new = || -> usize {
                let polls = Matcher::path("/apis");
                plane.servers.iter().map(|server| server.requests_to(&polls).len()).sum()
            };
            let some = async || new() >= WARM_UP / 2;
            wait_until("polled", LIMIT, some).await.unwrap();
            polled += new();
            // What they remember is this program's memory.
            plane.servers.iter().for_each(|server| server.forget_requests());
        }
    };
    until(WARM_UP).await;
    // Another VM may take over once, and open connections and read documents of its own. A leak grows
    // each time.
    let mut grown = Vec::new();
    while grown.last().is_none_or(|last| *last >= MOST_GROWTH) {
        assert!(grown.len() < 2, "Envoy grew by {grown:?} bytes");
        let before = resident_bytes(&mut balancer).unwrap();
        until(WARM_UP + POLLS * (grown.len() + 1)).await;
        grown.push(resident_bytes(&mut balancer).unwrap().saturating_sub(before));
        println!("Envoy grew by {grown:?} bytes over {POLLS} polls each");
    }
    no_vm_died(&mut balancer).await.unwrap();
}
