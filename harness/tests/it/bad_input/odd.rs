//! Odd paths, methods and headers through Peerway, compared with what a real server says to them
//! directly.

mod table;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Answer, Client, Lines, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane, NOBODY_TOKEN};
use serde_json::{Value, json};
use tokio::time::error::Elapsed;

use self::table::{Row, rows, unknown_callers};
use super::{forgeries, many_at_once};
use crate::rig::{SOON, no_vm_died};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Status(u16),
    /// The stream or the connection ended without an answer.
    Nothing,
    /// Neither in time.
    Hung,
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_get_the_servers_own_answer_or_envoys_refusal_and_hurt_nobody() {
    let builder = ControlPlane::builder().server("old", "1.36.3").server("new", "1.37.2");
    let plane = builder.start().await.unwrap();
    // With one worker all requests and the watches share their connections upstream.
    let mut mapped = Builder::before(&plane).workers(1).start().await.unwrap();
    let unmapped = Builder::before(&plane).workers(1).fetcher_token("nobody knows it");
    let mut unmapped = unmapped.setting("startupWait", json!("0s")).start().await.unwrap();
    mapped.all_confirmed().await.unwrap();
    let mut watches = [watch(&mapped).await.unwrap(), watch(&unmapped).await.unwrap()];

    let server: SocketAddr = plane.address("new").unwrap().parse().unwrap();
    let trusted = std::fs::read_to_string(&plane.pki().serving_ca).unwrap();
    let mut wrong = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let server = Client::new(server, &trusted, protocol).unwrap().with_token(ADMIN_TOKEN);
        for balancer in [&mapped, &unmapped] {
            let through = balancer.client(ADMIN_TOKEN, protocol).unwrap();
            wrong.extend(compare(protocol, &server, &through).await.unwrap());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    for balancer in [&mapped, &unmapped] {
        callers_stay_who_they_are(balancer, &server.to_string()).await.unwrap();
    }
    let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "after"}});
    let client = mapped.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    assert_eq!(client.post(MAPS, &map).await.unwrap().status, 201);
    for watch in &mut watches {
        let event = watch.next(SOON).await.unwrap().expect("the watch is open");
        let event: Value = serde_json::from_slice(&event).unwrap();
        assert_eq!(event["object"]["metadata"]["name"], "after");
    }
    no_vm_died(&mut mapped).await.unwrap();
    no_vm_died(&mut unmapped).await.unwrap();
}

/// Sends everything to the server and through Peerway, and tells what is wrong.
async fn compare(protocol: Protocol, server: &Client, through: &Client) -> Result<Vec<String>> {
    let of_protocol = |row: &Row| row.protocols.contains(&protocol);
    let rows: Vec<_> = rows()?.into_iter().filter(of_protocol).collect();
    let requests: Vec<_> = rows.iter().map(|row| row.request.clone()).collect();
    let own = many_at_once(server, &requests).await;
    let got = many_at_once(through, &requests).await;
    let answers = own.iter().zip(&got).map(|(own, got)| (came(own), came(got)));
    let mut alone: Vec<_> = unknown_callers().into_iter().filter(of_protocol).collect();
    let mut wrong = Vec::new();
    for (row, answers) in rows.into_iter().zip(answers) {
        match row.wrong(protocol, answers) {
            // A busy machine breaks connections too: judged when it is asked for by itself.
            Some(_) if [answers.0, answers.1].contains(&Came::Nothing) => alone.push(row),
            other => wrong.extend(other),
        }
    }
    for row in alone {
        let own = server.raw(row.request.clone()).await;
        let got = through.raw(row.request.clone()).await;
        wrong.extend(row.wrong(protocol, (came(&own), came(&got))));
    }
    Ok(wrong)
}

impl Row {
    fn wrong(&self, protocol: Protocol, (own, got): (Came, Came)) -> Option<String> {
        let difference = self.differences.iter().find(|difference| difference.0 == protocol);
        let (expected, why) = difference.map_or((own, ""), |(_, came, why)| (*came, *why));
        // A difference that is none does not belong into the table. (What is far too large breaks a
        // server's connection before or after its answer is read.)
        let is_one = difference.is_none() || expected != own || own == Came::Nothing;
        let is_right = got == expected && is_one && own != Came::Hung;
        let Self { what, .. } = self;
        (!is_right).then(|| format!("{protocol:?} {what}: {got:?}, the server {own:?} {why}"))
    }
}

fn came(answer: &Result<Answer>) -> Came {
    match answer {
        Ok(answer) => Came::Status(answer.status.as_u16()),
        Err(error) if error.chain().any(|error| error.is::<Elapsed>()) => Came::Hung,
        Err(_) => Came::Nothing,
    }
}

async fn watch(balancer: &Balancer) -> Result<Lines> {
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2)?;
    let listed = client.get(MAPS).await?.json()?;
    let version = listed["metadata"]["resourceVersion"].as_str().context("no version")?;
    client.lines(Request::get(format!("{MAPS}?watch=1&resourceVersion={version}"))).await
}

/// Forged identities change nothing about who a real server takes the caller for.
async fn callers_stay_who_they_are(balancer: &Balancer, first: &str) -> Result<()> {
    let review = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
    let client = balancer.client(NOBODY_TOKEN, Protocol::Http1)?;
    let forged = forgeries(Method::POST, REVIEWS, first).into_iter();
    let reviews: Vec<_> = forged.map(|request| request.json(&review)).collect();
    for (request, answer) in reviews.iter().zip(many_at_once(&client, &reviews).await) {
        let answer = answer?;
        ensure!(answer.status == 201, "{request:?}: {} {}", answer.status, answer.text());
        let user = &answer.json()?["status"]["userInfo"];
        let is_nobody =
            user["username"] == "nobody" && user["groups"] == json!(["system:authenticated"]);
        ensure!(is_nobody, "{request:?}: {user}");
    }
    Ok(())
}
