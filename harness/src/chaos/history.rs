//! What really happened, as etcd tells it: every object that was made, changed or removed, in
//! order. Asked over etcd's JSON gateway; servers and balancers have no part in it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Client, Protocol, Request};
use crate::control_plane::{ControlPlane, ETCD};

/// Something that happened to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// When, in etcd's own count, which is also what servers call `resourceVersion`.
    pub(super) revision: u64,
    /// The object's path in etcd; its last segment is the object's name.
    pub(super) key: String,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Created,
    Changed,
    Deleted,
}

impl Change {
    /// The object's name.
    pub(super) fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }
}

/// The revision of now.
pub(super) async fn revision(plane: &ControlPlane) -> Result<u64> {
    let answer = ask(plane, "/v3/kv/range", &json!({"key": encoded("x")})).await?;
    number(&answer, "/header/revision").context("etcd tells no revision")
}

/// All keys that there are.
pub(super) async fn keys(plane: &ControlPlane) -> Result<Vec<String>> {
    let all = json!({"key": encoded(FIRST), "range_end": encoded(LAST), "keys_only": true});
    let answer = ask(plane, "/v3/kv/range", &all).await?;
    let pairs = answer.get("kvs").and_then(Value::as_array).into_iter().flatten();
    pairs.map(key).collect()
}

/// Everything that happened after a revision and until now.
pub(super) async fn since(plane: &ControlPlane, revision: u64) -> Result<Vec<Change>> {
    let end = json!({"key": encoded(END), "value": encoded("")});
    ask(plane, "/v3/kv/put", &end).await?;
    let watch = json!({"create_request": {
        "key": encoded(FIRST), "range_end": encoded(LAST), "start_revision": revision + 1,
    }});
    let client = client(plane)?;
    let mut lines = client.lines(Request::new(Method::POST, "/v3/watch").json(&watch)).await?;
    let mut changes = Vec::new();
    while let Some(line) = lines.next(PATIENCE).await? {
        let message: Value = serde_json::from_slice(&line).context("etcd's watch is no JSON")?;
        if let Some(error) = message.get("error").or(message.pointer("/result/cancel_reason")) {
            bail!("etcd's watch: {error}");
        }
        for event in
            message.pointer("/result/events").and_then(Value::as_array).into_iter().flatten()
        {
            let change = change(event)?;
            if change.key == END {
                return Ok(changes);
            }
            changes.push(change);
        }
    }
    bail!("etcd's watch ended early")
}

fn change(event: &Value) -> Result<Change> {
    let pair = event.get("kv").context("an event without an object")?;
    let of = |field| number(pair, field);
    let revision = of("/mod_revision").context("an event without a revision")?;
    let what = match event.get("type").and_then(Value::as_str) {
        Some("DELETE") => What::Deleted,
        _ if of("/create_revision") == Some(revision) => What::Created,
        _ => What::Changed,
    };
    Ok(Change { revision, key: key(pair)?, what })
}

fn key(pair: &Value) -> Result<String> {
    let key = pair.get("key").and_then(Value::as_str).context("no key")?;
    Ok(String::from_utf8_lossy(&STANDARD.decode(key)?).into_owned())
}

/// The gateway writes numbers of 64 bits as text.
fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer)?.as_str()?.parse().ok()
}

async fn ask(plane: &ControlPlane, path: &str, question: &Value) -> Result<Value> {
    let answer = client(plane)?.post(path, question).await?;
    anyhow::ensure!(answer.status == 200, "etcd: {path}: {}", answer.text());
    answer.json()
}

fn client(plane: &ControlPlane) -> Result<Client> {
    Client::plain(plane.address(ETCD)?.parse().context("etcd's address")?, Protocol::Http1)
}

fn encoded(key: &str) -> String {
    STANDARD.encode(key)
}

/// All that kube-apiservers keep, and the end that is written here, lies between these.
const FIRST: &str = "/registry/";
const LAST: &str = "/registry0";
const END: &str = "/registry/peerway-end-of-history";
/// etcd answers from memory.
const PATIENCE: Duration = Duration::from_secs(20);
