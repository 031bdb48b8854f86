//! The old servers are upgraded one after the other while requests go on through Peerway, and then
//! there is nothing left for Peerway to do: it leaves every request alone.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use hyper::Method;
use peerway_harness::client::{Answer, Client, Protocol, Request};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::process::wait_until;
use serde_json::json;

use crate::map_view;
use crate::outcome::Outcome;
use crate::requests::{CONFIG_MAP_PATH, CSI_NODE_STATUS, CSI_NODE_STATUS_PATH};
use crate::screen::Screen;
use crate::stage::{NEW, OLD_SERVERS, Stage, Way};

/// What clients got while servers went and came back.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// How often what.
    pub(crate) counts: BTreeMap<Outcome, usize>,
    /// The first request that did not do what it was sent for, and what came back.
    pub(crate) first_failure: Option<String>,
}

impl Answers {
    /// How many of one kind.
    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        self.counts.get(&outcome).copied().unwrap_or_default()
    }

    /// How many in all.
    pub(crate) fn total(&self) -> usize {
        self.counts.values().sum()
    }

    /// How many of the requests did what they were sent for.
    pub(crate) fn successes(&self) -> usize {
        let done = self.counts.iter().filter(|(outcome, _)| outcome.is_success());
        done.map(|(_, count)| count).sum()
    }

    fn add(&mut self, what: &str, answer: Result<Answer>) {
        let (outcome, words) = match answer {
            Ok(answer) => {
                (Outcome::from(&answer), format!("{} {}", answer.status, message(&answer)))
            }
            Err(error) => (Outcome::NoAnswer, format!("{error:#}")),
        };
        if !outcome.is_success() {
            self.first_failure.get_or_insert_with(|| format!("{what}: {words}"));
        }
        *self.counts.entry(outcome).or_default() += 1;
    }
}

/// What Peerway did when there was nothing to do.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    /// Requests that were sent.
    pub(crate) sent: usize,
    /// Those that Peerway had a reason for.
    pub(crate) touched: usize,
    /// By how much its metric of requests went up.
    pub(crate) counted: u64,
    /// APIs that are not listed by every server.
    pub(crate) differences: usize,
}

impl Traces {
    /// Whether Peerway was asked, and left everything alone.
    pub(crate) fn is_invisible(&self) -> bool {
        self.sent > 0 && self.touched == 0 && self.counted == 0
    }
}

/// Upgrades the old servers, and returns what was answered meanwhile.
pub(crate) async fn upgrade(stage: &Stage, screen: &Screen) -> Result<Answers> {
    let balancer = &stage.entrance(Way::Peerway).balancer;
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2)?;
    let answers = RefCell::new(Answers::default());
    for server in OLD_SERVERS {
        let over = Cell::new(false);
        let replaced = async {
            let replaced = stage.plane.replace_with(server, NEW).await;
            let read = match replaced {
                Ok(()) => balancer.all_confirmed().await,
                Err(error) => Err(error),
            };
            over.set(true);
            read
        };
        let go_on = ask_until(&client, &over, &answers, screen);
        let both = async { tokio::join!(replaced, go_on).0 };
        screen.during(&format!("{server} becomes {NEW} while requests go on"), both).await?;
    }
    Ok(answers.into_inner())
}

/// Sends the same requests as before, and sees whether Peerway has anything to do with them.
pub(crate) async fn look_for_traces(stage: &Stage) -> Result<Traces> {
    let balancer = &stage.entrance(Way::Peerway).balancer;
    // Connections are shared out among the workers, and each worker takes the new map by itself.
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http1)?;
    let untouched = async || {
        let answers = client.many(requests(16), 8).await;
        answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| !is_touched(answer)))
    };
    wait_until("left alone by Peerway", LIMIT, untouched).await?;
    let before = counted(stage).await?;
    let answers = client.many(requests(SENT_AFTERWARDS), 8).await;
    let touched = answers.iter().flatten().filter(|answer| is_touched(answer)).count();
    Ok(Traces {
        sent: answers.len(),
        touched,
        counted: counted(stage).await?.saturating_sub(before),
        differences: map_view::differences(&balancer.map().await?).len(),
    })
}

/// How many requests Peerway has counted so far: those that it did not leave alone.
pub(crate) async fn counted(stage: &Stage) -> Result<u64> {
    let counters = stage.entrance(Way::Peerway).balancer.counters().await?;
    let of_requests = |(name, _): &(&String, &u64)| name.starts_with("peerway_requests_total");
    Ok(counters.iter().filter(of_requests).map(|(_, count)| count).sum())
}

async fn ask_until(
    client: &Client,
    over: &Cell<bool>,
    answers: &RefCell<Answers>,
    screen: &Screen,
) {
    let mut pace = tokio::time::interval(PACE);
    while !over.get() {
        pace.tick().await;
        let number = answers.borrow().total();
        screen.note(&format!("{number} answers"));
        let (what, request) = request(number);
        let answer = client.send(request).await;
        answers.borrow_mut().add(what, answer);
    }
}

/// Reads and writes of what only new servers know, and of what all know; each with its name.
fn request(number: usize) -> (&'static str, Request) {
    let merge = |path: &str, change: String| {
        let patch = Request::new(Method::PATCH, path);
        patch.body("application/merge-patch+json", change)
    };
    let bundles = "/apis/certificates.k8s.io/v1/clustertrustbundles";
    let migrations = "/apis/storagemigration.k8s.io/v1/storageversionmigrations";
    let data = json!({"data": {"number": number.to_string()}}).to_string();
    match number % 6 {
        0 => ("list of clustertrustbundles", Request::get(bundles)),
        1 => ("patch of csinodes/status", merge(CSI_NODE_STATUS_PATH, CSI_NODE_STATUS.to_owned())),
        2 => ("list of namespaces", Request::get("/api/v1/namespaces")),
        3 => ("list of storageversionmigrations", Request::get(migrations)),
        4 => ("patch of a configmap", merge(CONFIG_MAP_PATH, data)),
        _ => ("discovery", Request::get("/apis")),
    }
}

fn requests(count: usize) -> Vec<Request> {
    (0..count).map(|number| request(number).1).collect()
}

/// What a server or Envoy says in a `Status`, or the text as it is.
fn message(answer: &Answer) -> String {
    let message = answer.json().ok().and_then(|status| Some(status.get("message")?.to_string()));
    message.unwrap_or_else(|| answer.text())
}

fn is_touched(answer: &Answer) -> bool {
    answer.header("x-peerway-reason").is_some()
}

/// Time between two requests, when answers come sooner.
const PACE: Duration = Duration::from_millis(10);
const SENT_AFTERWARDS: usize = 300;
/// A worker takes a new map within its tick, which is far shorter.
const LIMIT: Duration = Duration::from_secs(10);
