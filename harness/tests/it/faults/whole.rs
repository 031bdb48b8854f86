//! Merged discovery while fetchers die and what the servers list changes: every document is whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use peerway_harness::balancer::{Balancer, workers_have_the_map};
use peerway_harness::client::{Client, Protocol, Request};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::module::Module;
use peerway_harness::process::wait_until;
use peerway_harness::simulated::Discovery;

use super::crashes::{a_worker_polls, every_fetcher_dies_in_turn};
use crate::merged::{V2, aggregated};
use crate::readers::{Readers, read};
use crate::rig::{SOON, SimulatedPlane};

const WORKERS: u32 = 2;
const READERS: usize = 4;
/// How often every worker's fetcher dies.
const ROUNDS: usize = 3;
/// Of each client, after each round.
const READS: usize = 20;
const PLAIN: &str = "/apis/example.com/v1";

/// A server that lists these of one group-version, beside what all list.
fn lists(names: &[&str]) -> Discovery {
    let mut paths = vec!["/api/v1/pods".to_owned()];
    paths.extend(names.iter().map(|name| format!("{PLAIN}/{name}")));
    Discovery::of(&paths.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_discovery_is_whole_or_503_while_fetchers_die_and_servers_change() {
    let [few, more] = [["bees", "cats"].as_slice(), &["bees", "cats", "dogs"]];
    let servers = vec![("a", lists(&["ants", "bees"])), ("b", lists(few))];
    let plane = SimulatedPlane::start(servers).await.unwrap();
    let builder = plane.balancer().module(Module::Panicking).workers(WORKERS);
    let mut balancer = builder.start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    // What is shown while nothing dies, of both states.
    let mut whole = Whole::default();
    for (names, absent) in [(more, None), (few, Some("dogs"))] {
        plane.servers[1].set_discovery(lists(names));
        whole.learn(&balancer, names, absent).await.unwrap();
    }

    let readers = readers(&balancer, &Arc::new(whole)).unwrap();
    a_worker_polls(&mut balancer).await.unwrap();
    for round in 0..ROUNDS {
        plane.servers[1].set_discovery(lists(if round % 2 == 0 { more } else { few }));
        every_fetcher_dies_in_turn(&mut balancer, WORKERS).await.unwrap();
        readers.go_on(READS).await.unwrap();
    }
    let (read, refused) = readers.end().await.unwrap();
    println!("{read} reads were whole, {refused} are to be repeated");
}

/// The documents that may be shown.
#[derive(Default, Clone)]
struct Whole {
    /// With their `ETag`s.
    aggregated: BTreeSet<(String, String)>,
    plain: BTreeSet<String>,
}

impl Whole {
    /// Waits until what is shown has all these names, and learns what it is.
    async fn learn(&mut self, balancer: &Balancer, b: &[&str], absent: Option<&str>) -> Result<()> {
        let client = balancer.client(ADMIN_TOKEN, Protocol::Http2)?;
        let is_whole = |text: &str| {
            let has = |name: &&str| text.contains(&format!("\"{name}\""));
            has(&"ants") && b.iter().all(has) && !absent.is_some_and(|it| has(&it))
        };
        let shown = async || {
            let answers = [client.send(aggregated("/apis")).await, client.get(PLAIN).await];
            answers.iter().all(|it| it.as_ref().is_ok_and(|it| is_whole(&it.text())))
        };
        wait_until("shown", SOON, shown).await?;
        workers_have_the_map().await;
        let answer = client.send(aggregated("/apis")).await?;
        ensure!(answer.header("x-peerway-reason") == Some("merged"), "{:?}", answer.headers);
        let etag = answer.header("etag").context("no ETag")?.to_owned();
        self.aggregated.insert((etag, answer.text()));
        self.plain.insert(client.get(PLAIN).await?.text());
        ensure!(self.aggregated.len() == self.plain.len(), "the states look alike");
        Ok(())
    }
}

/// Clients that read both forms.
fn readers(balancer: &Balancer, whole: &Arc<Whole>) -> Result<Readers> {
    let mut readers = Readers::default();
    for _ in 0..READERS {
        let client = balancer.client(ADMIN_TOKEN, Protocol::Http2)?;
        let whole = Arc::clone(whole);
        readers.add(move || {
            let (client, whole) = (client.clone(), Arc::clone(&whole));
            async move { both_are_whole(&client, &whole).await }
        });
    }
    Ok(readers)
}

async fn both_are_whole(client: &Client, whole: &Whole) -> Result<Option<()>> {
    let Some(answer) = read(client, aggregated("/apis")).await? else { return Ok(None) };
    ensure!(answer.header("content-type") == Some(V2), "{:?}", answer.headers);
    let etag = answer.header("etag").unwrap_or_default().to_owned();
    ensure!(whole.aggregated.contains(&(etag, answer.text())), "{:?}", answer);
    let Some(answer) = read(client, Request::get(PLAIN)).await? else { return Ok(None) };
    ensure!(whole.plain.contains(&answer.text()), "{:?}", answer);
    Ok(Some(()))
}
