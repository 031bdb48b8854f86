//! A custom resource is asked for as soon as kubectl has applied its definition. Servers learn of it
//! one after the other; one of them pauses meanwhile, as a throttled machine does, and learns last.
//!
//! A 404 is false from the moment on in which some server has been heard to know the resource.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use peerway_harness::client::{Client, Protocol};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::kubeconfig::kubectl_with_input;
use serde_json::json;
use tokio::task::JoinSet;

use crate::access_log::{AccessLog, Entry};
use crate::outcome::{Outcome, Try};
use crate::screen::Screen;
use crate::stage::{NEW_SERVER, Stage, Way};
use crate::table::Comparison;

/// How many definitions are made for each balancer.
const DEFINITIONS: usize = 5;
/// Who asks for the resource of each, without a pause.
const CLIENTS: usize = 4;
/// How many answers are looked at for each, once a server knows it.
const ANSWERS: usize = 12;

/// Makes definitions, one after the other, and asks for the resource of each through one balancer.
pub(crate) async fn compare(stage: &Stage, screen: &Screen) -> Result<Comparison> {
    let request = format!("GET of a custom resource, {PAUSED} having paused for a moment");
    let both = async {
        let mut of_way = [Vec::new(), Vec::new()];
        for number in 1..=DEFINITIONS {
            for (way, tries) in Way::BOTH.into_iter().zip(&mut of_way) {
                tries.extend(one(stage, way, number).await?);
            }
            screen.note(&format!("{number} of {DEFINITIONS}"));
        }
        Ok(of_way)
    };
    let [plain, peerway] = screen.alive("custom resources, just defined", both).await?;
    Ok(Comparison { request, kind: "a CRD just made", plain, peerway })
}

async fn one(stage: &Stage, way: Way, number: usize) -> Result<Vec<Try>> {
    let plural = format!("{}widgets{number}", way.slug());
    let path = format!("/apis/{GROUP}/v1/{plural}");
    let log = AccessLog::from_now_on(stage, way)?;
    let client = stage.entrance(way).balancer.client(ADMIN_TOKEN, Protocol::Http1)?;
    // Not through the balancer, whose turn may come to the server that stands still.
    let directly = stage.plane.kubeconfig(NEW_SERVER, ADMIN_TOKEN)?;
    stage.plane.freeze(PAUSED).await?;
    let definition = definition(&plural).to_string();
    let applied = kubectl_with_input(&directly, &["apply", "-f", "-"], &definition).await?;
    ensure!(applied.succeeded(), "kubectl apply of a CRD: {applied}");
    let go_on = async {
        tokio::time::sleep(PAUSE).await;
        stage.plane.thaw(PAUSED).await
    };
    let (answers, ()) = tokio::try_join!(ask_until_known(client, &path), go_on)
        .with_context(|| format!("{path} through {way}"))?;
    let all_logged = |log: &[Entry]| {
        answers.iter().all(|answer| log.iter().any(|entry| entry.path == answer.target))
    };
    let logged = log.read_until(all_logged).await?;
    let with_log = |answer: &Answer| {
        let entry = logged.iter().find(|entry| entry.path == answer.target)?;
        let (server, reason) = (entry.server.clone(), entry.reason.clone());
        Some(Try { outcome: answer.outcome, server, reason })
    };
    Ok(answers.iter().filter_map(with_log).collect())
}

/// An answer to a request that was sent when a server was known to know the resource.
#[derive(Debug)]
struct Answer {
    number: usize,
    target: String,
    outcome: Outcome,
}

/// What the clients of one resource share.
#[derive(Debug, Default)]
struct Progress {
    asked: AtomicUsize,
    /// Some server has answered otherwise than "not found".
    known: AtomicBool,
    counted: AtomicUsize,
}

async fn ask_until_known(client: Client, path: &str) -> Result<Vec<Answer>> {
    let progress = Arc::new(Progress::default());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask(client.clone(), path.to_owned(), Arc::clone(&progress)));
    }
    let mut answers = Vec::new();
    while let Some(asked) = clients.join_next().await {
        answers.extend(asked.context("a client ended early")??);
    }
    // Some were under way when there were enough.
    answers.sort_by_key(|answer| answer.number);
    answers.truncate(ANSWERS);
    Ok(answers)
}

async fn ask(client: Client, path: String, progress: Arc<Progress>) -> Result<Vec<Answer>> {
    let deadline = Instant::now() + LIMIT;
    let mut answers = Vec::new();
    while progress.counted.load(Ordering::Relaxed) < ANSWERS {
        ensure!(Instant::now() < deadline, "no server knows it after {LIMIT:?}");
        let number = progress.asked.fetch_add(1, Ordering::Relaxed);
        // A parameter that means nothing to a server, to find the request in the log.
        let target = format!("{path}?try={number}");
        // Read before the request is sent: a 404 on its way while another server learns is true.
        let known = progress.known.load(Ordering::SeqCst);
        let outcome = Outcome::from(&client.get(&target).await?);
        if outcome != Outcome::FalseNotFound {
            progress.known.store(true, Ordering::SeqCst);
        }
        if known {
            progress.counted.fetch_add(1, Ordering::Relaxed);
            answers.push(Answer { number, target, outcome });
        }
    }
    Ok(answers)
}

fn definition(plural: &str) -> serde_json::Value {
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {"plural": plural, "kind": plural},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    })
}

const GROUP: &str = "demo.example.com";
/// The server that pauses.
const PAUSED: &str = "cp-1";
/// Counted from when the definition is there. Shorter than what makes a server count as gone.
const PAUSE: Duration = Duration::from_millis(150);
const LIMIT: Duration = Duration::from_secs(30);
