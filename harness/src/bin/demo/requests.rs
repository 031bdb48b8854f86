//! What a person asks with kubectl, through both balancers at the same time, again and again.

use std::cell::Cell;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use peerway_harness::client::Protocol;
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::kubeconfig::{Output, kubectl, kubectl_with_input};
use serde_json::json;

use crate::access_log::{AccessLog, Entry};
use crate::outcome::{Outcome, Try};
use crate::screen::Screen;
use crate::stage::{NEW_SERVER, Stage, Way};
use crate::table::Comparison;

/// How often each command is run through each balancer.
const TRIES: usize = 12;

/// The new subresource of an object that is there.
pub(crate) const CSI_NODE_STATUS_PATH: &str = "/apis/storage.k8s.io/v1/csinodes/node-1/status";
/// A change that is valid for it.
pub(crate) const CSI_NODE_STATUS: &str = r#"{"status":{"storageHealth":[]}}"#;
/// An object of a kind that every server knows.
pub(crate) const CONFIG_MAP_PATH: &str = "/api/v1/namespaces/default/configmaps/demo";

/// One command of kubectl, and the request that it comes down to.
#[derive(Debug)]
struct Asked {
    kind: &'static str,
    args: &'static [&'static str],
    /// Further arguments that nobody needs to see.
    hidden: &'static [&'static str],
    method: &'static str,
    path: &'static str,
}

const COMMANDS: [Asked; 3] = [
    Asked {
        kind: "a new resource",
        args: &["get", "clustertrustbundles"],
        hidden: &[],
        method: "GET",
        path: "/apis/certificates.k8s.io/v1/clustertrustbundles",
    },
    Asked {
        kind: "a new group",
        args: &["get", "storageversionmigrations"],
        hidden: &[],
        method: "GET",
        path: "/apis/storagemigration.k8s.io/v1/storageversionmigrations",
    },
    Asked {
        kind: "a new subresource",
        args: &["patch", "csinode", "node-1", "--subresource=status"],
        hidden: &["--type=merge", "--patch", CSI_NODE_STATUS],
        method: "PATCH",
        path: CSI_NODE_STATUS_PATH,
    },
];

/// Makes at the new server the objects that are asked for.
pub(crate) async fn prepare(stage: &Stage) -> Result<()> {
    let node = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": {"name": "node-1"},
        "spec": {"drivers": []},
    });
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "demo"}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [node, map]}).to_string();
    let directly = stage.plane.kubeconfig(NEW_SERVER, ADMIN_TOKEN)?;
    let created = kubectl_with_input(&directly, &["create", "-f", "-"], &list).await?;
    ensure!(created.succeeded(), "kubectl create of what is asked for: {created}");
    Ok(())
}

/// Runs every command through both balancers, and hands each comparison over as soon as it is made.
pub(crate) async fn compare(
    stage: &Stage,
    screen: &Screen,
    mut show: impl FnMut(Comparison) -> Result<()>,
) -> Result<()> {
    for asked in &COMMANDS {
        let request = format!("kubectl {}", asked.args.join(" "));
        let done = Cell::new(0);
        let step = || {
            done.set(done.get() + 1);
            screen.note(&format!("{} of {}", done.get(), 2 * TRIES));
        };
        let both = async {
            tokio::try_join!(
                through(stage, Way::Plain, asked, step),
                through(stage, Way::Peerway, asked, step)
            )
        };
        let (plain, peerway) = screen.alive(&request, both).await?;
        show(Comparison { request, kind: asked.kind, plain, peerway })?;
    }
    Ok(())
}

async fn through(stage: &Stage, way: Way, asked: &Asked, step: impl Fn()) -> Result<Vec<Try>> {
    let all = async {
        let mut tries = Vec::new();
        for _ in 0..TRIES {
            tries.push(run(stage, way, asked).await?);
            step();
        }
        Ok(tries)
    };
    let other = || others_ask(stage, way);
    tokio::select! {
        tries = all => tries,
        ended = async { tokio::try_join!(other(), other(), other()) } => match ended? {},
    }
}

/// Nobody is alone at a balancer. Without others, a kubectl of three requests and a round robin over
/// three servers walk in step: the same server gets the same request each time.
async fn others_ask(stage: &Stage, way: Way) -> Result<Infallible> {
    let client = stage.entrance(way).balancer.client(ADMIN_TOKEN, Protocol::Http1)?;
    loop {
        client.get("/api/v1/namespaces").await?;
        let pause_ms = 5 + RandomState::new().hash_one(()) % 10;
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

async fn run(stage: &Stage, way: Way, asked: &Asked) -> Result<Try> {
    let log = AccessLog::from_now_on(stage, way)?;
    let args: Vec<&str> = asked.args.iter().chain(asked.hidden).copied().collect();
    let output = kubectl(&stage.entrance(way).kubeconfig, &args).await?;
    let is_decisive = |entry: &&Entry| {
        if says_no_such_type(&output) {
            return entry.path.starts_with("/apis?");
        }
        let did_it = entry.method == asked.method && entry.status < 400;
        // kubectl stops at the first answer that it does not like, be it to a GET before a PATCH.
        let denied = entry.status >= 400;
        entry.path.starts_with(asked.path) && if output.succeeded() { did_it } else { denied }
    };
    let entries = log.read_until(|entries| entries.iter().any(|entry| is_decisive(&entry))).await;
    let entries = entries.with_context(|| format!("kubectl {} said: {output}", args.join(" ")))?;
    let last = entries.iter().rfind(is_decisive).context("a request is in no log")?;
    let outcome = match (output.succeeded(), last.status) {
        (true, status) => Outcome::Status(status),
        (false, _) if says_no_such_type(&output) => Outcome::Undiscovered,
        // What is asked for is there: a list, or the status of an object that was made before.
        (false, 404) => Outcome::FalseNotFound,
        (false, status @ 500..) => Outcome::Status(status),
        (false, _) => bail!("kubectl {} through {way}: {output}", args.join(" ")),
    };
    Ok(Try { outcome, server: last.server.clone(), reason: last.reason.clone() })
}

/// kubectl asked discovery, did not find the resource there, and asked no further.
fn says_no_such_type(output: &Output) -> bool {
    !output.succeeded() && output.stderr.contains("doesn't have a resource type")
}
