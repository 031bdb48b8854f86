//! Answers of discovery and `/readyz` that break off, hang, come late or lie in subtle ways, while
//! traffic runs: what was known stays. The plainer ones are in `discovery_faults`.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hyper::StatusCode;
use hyper::header::ETAG;
use peerway_harness::client::{Client, Protocol};
use peerway_harness::control_plane::ADMIN_TOKEN;
use peerway_harness::process::wait_until;
use peerway_harness::simulated::{Discovery, Fault, Matcher, SimulatedServer};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::rig::{Listener, SOON, SimulatedPlane, no_vm_died, resident_bytes};

const EVERYBODYS: [&str; 2] = ["/api/v1/pods", "/apis/apps/v1/deployments"];
const THE_FIRSTS: &str = "/apis/first.example.com/v1/things";
const THE_THIRDS: &str = "/apis/third.example.com/v1/things";
/// What the third lists more while it is upgraded, under both roots.
const LATER: [&str; 2] = ["/api/v1/laters", "/apis/later.example.com/v1/things"];

/// What becomes of a server while it is faulty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It is read nevertheless.
    Read,
    /// What was known stays, with a problem that says this.
    Kept(&'static str),
    /// The same, and it is gone.
    Gone(&'static str),
    /// The same, and it is not asked any more.
    Silent(&'static str),
}

use Effect::{Gone, Kept, Read, Silent};

/// Of both roots of discovery.
fn of_discovery() -> Vec<(&'static str, Fault, Effect)> {
    let three = Duration::from_secs(3);
    let no_text =
        b"{\"kind\":\"APIGroupDiscoveryList\",\"items\":[{\"metadata\":{\"name\":\"\xff\"}}]}";
    vec![
        ("cut", Fault::Truncated, Kept("not discovery JSON")),
        ("broken off", Fault::CutMidway, Kept("no answer")),
        ("hanging", Fault::Hang, Kept("status 504")),
        ("a slow head", Fault::SlowHead(three), Read),
        ("a slow body", Fault::SlowBody(three), Read),
        ("no object", Fault::document("[]"), Kept("not discovery JSON")),
        ("another kind", Fault::document(r#"{"kind":"Status","items":[]}"#), Kept("\"Status\"")),
        ("another type", Fault::ContentType("text/html"), Kept("\"text/html\"")),
        ("another form", Fault::ContentType("application/json"), Kept("is not a discovery list")),
        ("a name that is no text", Fault::document(&no_text[..]), Kept("not discovery JSON")),
        ("15 MB of nothing", Fault::Megabytes(15), Kept("lists no API at all")),
    ]
}

/// Of `/apis` alone.
fn of_named_groups() -> Vec<(&'static str, Fault, Effect)> {
    vec![("a name that is no segment", group(r#""a/b""#), Kept("cannot be part of a path"))]
}

/// A refusal tells of the fetcher, everything else of the server.
fn of_readyz() -> Vec<(&'static str, Fault, Effect)> {
    vec![
        ("/readyz 403", status(403), Read),
        ("/readyz 429", status(429), Read),
        ("/readyz 500", status(500), Gone("/readyz: status 500")),
        ("/readyz 503", status(503), Gone("/readyz: status 503")),
        ("/readyz, no answer", Fault::Cut, Gone("/readyz: status 503")),
        ("/readyz hanging", Fault::Hang, Gone("/readyz: no answer in time")),
    ]
}

/// Of what waits for nothing too.
fn of_everything() -> Vec<(&'static str, Fault, Effect)> {
    vec![("frozen", Fault::Hang, Silent("/readyz: no answer in time"))]
}

fn status(code: u16) -> Fault {
    Fault::status(StatusCode::from_u16(code).unwrap_or_default())
}

fn list(items: &str) -> Fault {
    let list = format!(r#"{{"kind":"APIGroupDiscoveryList","items":[{items}]}}"#);
    match Fault::document(list) {
        // As all aggregated documents have: one without is taken for a plain one, read less often.
        Fault::Reply(reply) => Fault::Reply(reply.header(ETAG, "\"odd\"")),
        other => other,
    }
}

fn group(name: &str) -> Fault {
    let things = r#"[{"resource":"things","verbs":["get"]}]"#;
    let versions = format!(r#"[{{"version":"v1","resources":{things}}}]"#);
    list(&format!(r#"{{"metadata":{{"name":{name}}},"versions":{versions}}}"#))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_discovery_nothing_is_lost_and_traffic_goes_on() {
    let plane = three_servers().await.unwrap();
    let fast = json!({"pollInterval": "300ms", "probeTimeout": "2s", "discoveryTimeout": "5s"});
    let (builder, listener) = plane.fetching(fast).unwrap();
    let mut balancer = builder.setting("staleAfter", json!("1m")).start().await.unwrap();
    for name in ["a", "b", "c"] {
        listener.confirmed(name).await.unwrap();
    }
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    let (stop, traffic) = traffic_of_the_others(client.clone());
    let before = resident_bytes(&mut balancer).unwrap();

    let third = &plane.servers[2];
    let rig = Rig { listener: &listener, client: &client, third };
    let mut upgraded = false;
    for (paths, faults) in [
        (&["/api", "/apis"][..], of_discovery()),
        (&["/apis"], of_named_groups()),
        (&["/readyz"], of_readyz()),
        (&["/readyz", "/version"], of_everything()),
    ] {
        for (what, fault, effect) in faults {
            upgraded = !upgraded;
            rig.try_one(paths, fault, effect, upgraded).await.context(what).unwrap();
        }
    }
    // Traffic that went wrong has ended already, and says so below.
    let _ = stop.send(());
    assert!(traffic.await.unwrap().unwrap() > 100);
    let grown = resident_bytes(&mut balancer).unwrap().saturating_sub(before);
    assert!(grown < MOST_GROWTH, "Envoy has grown by {grown} bytes");
    no_vm_died(&mut balancer).await.unwrap();
}

struct Rig<'a> {
    listener: &'a Listener,
    client: &'a Client,
    third: &'a SimulatedServer,
}

impl Rig<'_> {
    /// One fault of the third server, from beginning to end. It is upgraded, or rolled back, in
    /// the same moment: an answer with another ETag cannot be a 304.
    async fn try_one(
        &self,
        paths: &[&str],
        fault: Fault,
        effect: Effect,
        upgraded: bool,
    ) -> Result<()> {
        let before = known(&self.listener.confirmed("c").await?);
        for path in paths {
            self.third.set_fault(Matcher::path(path), fault.clone());
        }
        self.third.set_discovery(third(upgraded)?);
        self.takes_effect(effect, &before).await?;
        self.serves(effect).await?;
        self.third.heal_all();
        let is_healed = |c: &Value| known(c) != before && lists_later(c) == upgraded;
        self.listener.confirmed_with("c", is_healed).await?;
        Ok(())
    }

    async fn takes_effect(&self, effect: Effect, before: &Value) -> Result<()> {
        let reached = |c: &Value| {
            let has = |problem| c["problem"].as_str().is_some_and(|text| text.contains(problem));
            match effect {
                Read => c["state"] == "confirmed" && known(c) != *before,
                Kept(problem) => c["state"] == "confirmed" && has(problem),
                Gone(problem) | Silent(problem) => c["state"] == "gone" && has(problem),
            }
        };
        let c = self.listener.wait_for("c", &format!("{effect:?}"), SOON, reached).await?;
        ensure!(effect == Read || known(&c) == *before, "something was lost: {c}");
        Ok(())
    }

    /// What it alone has comes from it while it gives any sign of life, and what all have is left
    /// alone while it is not gone.
    async fn serves(&self, effect: Effect) -> Result<()> {
        let [pods, _] = EVERYBODYS;
        let expected = matches!(effect, Gone(_) | Silent(_)).then_some("listed-by-some");
        let is_left_alone = async || {
            let answer = self.client.get(pods).await;
            answer.is_ok_and(|answer| answer.header("x-peerway-reason") == expected)
        };
        // A worker takes a new map on its next tick.
        wait_until(&format!("{expected:?} for {pods}"), SOON, is_left_alone).await?;
        let its_own = self.client.get(THE_THIRDS).await?;
        match effect {
            Silent(_) => super::asks_to_come_back(&its_own),
            _ if its_own.json()?["server"] == "c" => Ok(()),
            _ => bail!("{}", its_own.text()),
        }
    }
}

/// What `/map` says that a server lists.
fn known(server: &Value) -> Value {
    json!([server["apis"], server["notEverywhere"]])
}

fn lists_later(server: &Value) -> bool {
    let mut only_it = server["notEverywhere"].as_array().into_iter().flatten();
    only_it.any(|api| api == "later.example.com/v1/things/")
}

async fn three_servers() -> Result<SimulatedPlane> {
    let [pods, deployments] = EVERYBODYS;
    let first = Discovery::of(&[pods, deployments, THE_FIRSTS])?;
    let second = Discovery::of(&EVERYBODYS)?;
    SimulatedPlane::start(vec![("a", first), ("b", second), ("c", third(false)?)]).await
}

fn third(upgraded: bool) -> Result<Discovery> {
    let [pods, deployments] = EVERYBODYS;
    let later: &[&str] = if upgraded { &LATER } else { &[] };
    Discovery::of(&[&[pods, deployments, THE_THIRDS], later].concat())
}

/// Asks without end for what all have and for what only the first has, until it is told to stop.
/// Returns how often; an error when one answer was wrong.
fn traffic_of_the_others(client: Client) -> (oneshot::Sender<()>, JoinHandle<Result<usize>>) {
    let (stop, mut stopped) = oneshot::channel();
    let traffic = async move {
        let mut served = 0;
        while stopped.try_recv().is_err() {
            for path in EVERYBODYS {
                let answer = client.get(path).await?;
                ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
            }
            let answer = client.get(THE_FIRSTS).await?;
            let reason = answer.header("x-peerway-reason");
            ensure!(reason == Some("listed-by-some"), "{THE_FIRSTS}: {reason:?}");
            ensure!(answer.json()?["server"] == "a", "{THE_FIRSTS}: {}", answer.text());
            served += 3;
            tokio::time::sleep(PACE).await;
        }
        Ok(served)
    };
    (stop, tokio::spawn(traffic))
}

/// Some dozens of requests a second.
const PACE: Duration = Duration::from_millis(50);
/// 50 MB on their way, and what a VM needs to read 16 MB: its memory never shrinks.
const MOST_GROWTH: u64 = 250 << 20;
