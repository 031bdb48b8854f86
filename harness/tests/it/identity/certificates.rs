//! Certificates of all kinds, each shown to a server directly and to Peerway: the server sees the same
//! caller, or refuses the same.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Answer, Client, Protocol, Request};
use peerway_harness::control_plane::{ControlPlane, NOBODY_TOKEN};
use peerway_harness::pki::Identity;
use serde_json::{Value, json};

use super::table::{Row, rows};
use super::{Audit, REVIEWS};
use crate::bad_input::forgeries;
use crate::rig::no_vm_died;

/// What became of a question who one is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Came {
    /// The server's view of the caller.
    Caller(Value),
    /// Its refusal, and the first words of why.
    Refusal(u16, String),
    /// No TLS, or no answer on it.
    NoConnection,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_certificate_is_to_the_servers_what_it_is_without_peerway() {
    let audit = Audit::new().unwrap();
    let [policy, log] = audit.flags();
    let builder = ControlPlane::builder()
        .server_with("old", "1.36.3", &[&policy, &log])
        .server_with("new", "1.37.2", &[&policy, &log]);
    let plane = builder.start().await.unwrap();
    let mut balancer = Builder::before(&plane).identity(plane.pki()).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let trusted = std::fs::read_to_string(&plane.pki().serving_ca).unwrap();
    let servers: Vec<SocketAddr> =
        plane.servers().iter().map(|(_, address)| address.parse().unwrap()).collect();

    let mut wrong = Vec::new();
    for (number, row) in rows(plane.pki()).unwrap().into_iter().enumerate() {
        let (protocol, server) = match number % 4 {
            0 => (Protocol::Http2, servers[0]),
            1 => (Protocol::Http2, servers[1]),
            2 => (Protocol::Http1, servers[0]),
            _ => (Protocol::Http1, servers[1]),
        };
        let direct = Client::with_certificate(server, &trusted, protocol, &row.identity).unwrap();
        let through = balancer.client_with(&row.identity, protocol).unwrap();
        let (direct, through) = (who(&direct, &row).await, who(&through, &row).await);
        let expected = row.but.clone().unwrap_or_else(|| direct.0.clone());
        if through.0 != expected || !(row.is_usual)(&direct.0) {
            wrong.push(format!("{}\n  directly {direct:?}\n  through {through:?}", row.what));
        }
        if let (Came::Caller(_), [Some(direct), Some(through)]) =
            (&through.0, [&direct.1, &through.1])
        {
            let (direct, through) =
                (audit.event(direct).await.unwrap(), audit.event(through).await.unwrap());
            if direct["user"] != through["user"] && row.but.is_none() {
                wrong.push(format!(
                    "{}: audited {} and {}",
                    row.what, direct["user"], through["user"]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let jane = plane.pki().user_authority.client("jane", &["dev"]).unwrap();
    for scheme in ["http", "https"] {
        let ask = async |client: Client| {
            let target = format!("{scheme}://other{REVIEWS}");
            came(&client.raw(question_at(&target)).await.unwrap())
        };
        let direct = Client::with_certificate(servers[0], &trusted, Protocol::Http1, &jane);
        let through = balancer.client_with(&jane, Protocol::Http1).unwrap();
        assert_eq!(ask(through).await, ask(direct.unwrap()).await, "{scheme}");
    }
    for client in [
        balancer.client_with(&jane, Protocol::Http2).unwrap(),
        balancer.client(NOBODY_TOKEN, Protocol::Http1).unwrap(),
    ] {
        is_audited_as_coming_from_here(&client, &audit).await.unwrap();
    }
    nothing_forged_is_believed(&balancer, &jane, &servers[0].to_string()).await.unwrap();
    no_vm_died(&mut balancer).await.unwrap();

    let without = Builder::before(&plane).start().await.unwrap();
    certificates_are_not_taken(&without, &jane).await.unwrap();
}

/// By real servers, which would believe some of it of the front proxy.
async fn nothing_forged_is_believed(
    balancer: &Balancer,
    jane: &Identity,
    first: &str,
) -> Result<()> {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for (name, client) in [
            ("jane", balancer.client_with(jane, protocol)?),
            ("nobody", balancer.client(NOBODY_TOKEN, protocol)?),
            ("", balancer.stranger(protocol)?),
        ] {
            let honest = came(&client.send(question()).await?);
            let is_it = match &honest {
                Came::Caller(caller) => caller["username"] == name,
                // Nobody may not even ask.
                _ => name.is_empty() && matches!(honest, Came::Refusal(403, _)),
            };
            ensure!(is_it, "{name} by {protocol:?}: {honest:?}");
            for request in forgeries(Method::POST, REVIEWS, first) {
                let forged = came(&client.send(request.json(&review())).await?);
                ensure!(forged == honest, "{name} by {protocol:?}: {forged:?} for {honest:?}");
            }
        }
    }
    Ok(())
}

/// The audit log tells who connected to Peerway, and not what that one says.
async fn is_audited_as_coming_from_here(client: &Client, audit: &Audit) -> Result<()> {
    let forged = ["x-forwarded-for", "X-Forwarded-For", "x-real-ip"];
    let question =
        forged.iter().fold(question(), |question, name| question.header(name, "1.2.3.4"));
    let answer = client.send(question).await?;
    let event = audit.event(answer.header("audit-id").context("no id")?).await?;
    let from = event["sourceIPs"].as_array().context("no sources")?;
    // The client's, which on loopback Envoy writes as the machine's own, and Peerway's.
    ensure!(from.len() == 2 && from.iter().all(|ip| ip != "1.2.3.4"), "{event}");
    ensure!(from[1] == "127.0.0.1", "{event}");
    Ok(())
}

/// Where they are not configured, who has nothing else is told so.
async fn certificates_are_not_taken(balancer: &Balancer, jane: &Identity) -> Result<()> {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = balancer.client_with(jane, protocol)?;
        let told = client.send(question()).await?;
        let message = told.json()?["message"].as_str().unwrap_or_default().to_owned();
        ensure!(told.status == 401 && message.contains("listen.clientCa"), "{told:?}");
        ensure!(told.header("content-type") == Some("application/json"), "{told:?}");
        let token = format!("Bearer {NOBODY_TOKEN}");
        let by_token = client.send(question().header("authorization", token)).await?;
        let user = by_token.json()?["status"]["userInfo"]["username"].clone();
        ensure!(user == "nobody", "{by_token:?}");
        ensure!(balancer.stranger(protocol)?.get("/version").await?.status == 200);
    }
    Ok(())
}

fn question() -> Request {
    question_at(REVIEWS)
}

fn question_at(target: &str) -> Request {
    Request::new(Method::POST, target).json(&review())
}

fn review() -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
}

/// What the caller is told of itself, and the request's id in the audit log.
async fn who(client: &Client, row: &Row) -> (Came, Option<String>) {
    let mut request = question();
    for (name, value) in &row.headers {
        request = request.header(name, value.as_str());
    }
    match client.send(request).await {
        Err(_) => (Came::NoConnection, None),
        Ok(answer) => (came(&answer), answer.header("audit-id").map(str::to_owned)),
    }
}

fn came(answer: &Answer) -> Came {
    let body = answer.json().unwrap_or_default();
    match answer.status.as_u16() {
        201 => Came::Caller(body["status"]["userInfo"].clone()),
        status => {
            // Who it is that may not; the rest differs from version to version.
            let message = body["message"].as_str().unwrap_or_default();
            Came::Refusal(status, message.chars().take(40).collect())
        }
    }
}
