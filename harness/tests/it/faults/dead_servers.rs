//! Real servers, one of them dead, in each place of the list, with a map and without one.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Answer, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::process::wait_until;

use super::asks_to_come_back;
use crate::rig::{SOON, no_vm_died};

const EVERYBODYS: &str = "/api/v1/namespaces";
/// Only 1.37 has it.
const THE_NEW_ONES: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles";
const NOBODYS: [&str; 2] = ["/apis/no.such.group/v1/things", "/apis/apps/v1/nosuchthings"];
/// Twice around a list of three.
const TURNS: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    /// A living server's own answer: a list, and for a create without content a refusal.
    Served,
    NotFound,
    /// 503 that asks to be tried again.
    ComeBack,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_living_server_has_is_served_and_the_rest_is_only_404_when_the_dead_lacks_it() {
    let builder = ControlPlane::builder().server("a", "1.36.3").server("b", "1.36.3");
    let plane = builder.server("c", "1.37.2").start().await.unwrap();
    let mut mapped = Builder::before(&plane).patient().start().await.unwrap();
    let unmapped = Builder::before(&plane).patient().fetcher_token("nobody knows it");
    let mut unmapped = unmapped.start().await.unwrap();
    mapped.all_confirmed().await.unwrap();

    for dead in ["a", "b", "c"] {
        let new_ones = if dead == "c" { Expected::ComeBack } else { Expected::Served };
        plane.kill(dead).await.unwrap();
        // Nobody has noticed yet.
        check(&mapped, dead, new_ones, None).await.unwrap();
        mapped.server_is(dead, "gone").await.unwrap();
        check(&mapped, dead, new_ones, Some(Expected::NotFound)).await.unwrap();

        let earlier = unmapped.access_log().unwrap().len();
        check(&unmapped, dead, new_ones, Some(Expected::ComeBack)).await.unwrap();
        if dead != "c" {
            was_in_each_place(&unmapped, earlier).await.unwrap();
            plane.start(dead).await.unwrap();
            mapped.server_is(dead, "confirmed").await.unwrap();
        }
    }
    no_vm_died(&mut mapped).await.unwrap();
    no_vm_died(&mut unmapped).await.unwrap();
}

async fn check(
    balancer: &Balancer,
    dead: &str,
    new_ones: Expected,
    nobodys: Option<Expected>,
) -> Result<()> {
    let nobodys = nobodys.into_iter().flat_map(|expected| NOBODYS.map(|path| (path, expected)));
    let rows = [(EVERYBODYS, Expected::Served), (THE_NEW_ONES, new_ones)].into_iter();
    // One connection, so one worker, whose list turns by one with each request.
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2)?;
    for (path, expected) in rows.chain(nobodys) {
        for method in [Method::GET, Method::POST] {
            for _ in 0..TURNS {
                let request = Request::new(method.clone(), path).body("application/json", "{}");
                let answer = client.send(request).await?;
                let said = is(expected, &method, &answer);
                said.with_context(|| format!("{dead} is dead, {method} {path}: {expected:?}"))?;
            }
        }
    }
    Ok(())
}

fn is(expected: Expected, method: &Method, answer: &Answer) -> Result<()> {
    let status = answer.status.as_u16();
    match expected {
        Expected::ComeBack => return asks_to_come_back(answer),
        Expected::NotFound => ensure!(status == 404, "{status} {}", answer.text()),
        Expected::Served if method == Method::GET => {
            ensure!(status == 200, "{status} {}", answer.text());
        }
        Expected::Served => ensure!([400, 422].contains(&status), "{status} {}", answer.text()),
    }
    Ok(())
}

/// Without a map the one server that has the API was asked first, second and third, so the dead one
/// stood in each place too.
async fn was_in_each_place(unmapped: &Balancer, earlier: usize) -> Result<()> {
    let in_each_place = async || {
        let log = unmapped.access_log().unwrap_or_default();
        let asked = log.iter().skip(earlier);
        let asked = asked.filter(|line| line["path"] == THE_NEW_ONES && line["method"] == "GET");
        let attempts: BTreeSet<_> = asked.filter_map(|line| line["attempts"].as_u64()).collect();
        attempts == BTreeSet::from([1, 2, 3])
    };
    wait_until("asked in each place", SOON, in_each_place).await
}
