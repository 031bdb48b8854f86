//! Mixed requests for APIs that came with Kubernetes 1.37, to be sent many at a time in any order.
//!
//! A workload first makes the objects that its requests need, at a server that has these APIs. Then
//! every request stands on its own, and tells when it was carried out twice: a second create by
//! name, a second update of the same resource version, a second patch that tests what it replaces
//! and a second delete fail, and a second create by `generateName` leaves two objects with the
//! number of one request. Knows nothing of balancers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use hyper::StatusCode;
use tokio::task::JoinSet;

use crate::client::{Answer, Client, Protocol, Request};
use crate::control_plane::{ADMIN_TOKEN, ControlPlane};
use mix::{Api, MIX, NUMBER, Planned, WORKLOAD};

mod mix;

/// Requests that are ready to be sent, once each.
#[derive(Debug)]
pub struct Workload {
    direct: Client,
    mark: String,
    planned: Vec<Planned>,
}

/// What came back, in the order of the requests.
#[derive(Debug)]
pub struct Outcome<'a> {
    answers: Vec<(&'a Planned, Result<Answer>)>,
}

/// A client of one server of a control plane, with no balancer between, as the administrator.
pub fn direct(plane: &ControlPlane, server: &str, protocol: Protocol) -> Result<Client> {
    let authority = &plane.pki().serving_ca;
    let trusted = std::fs::read_to_string(authority).context("cannot read the CA")?;
    let address = plane.address(server)?.parse().context("a server's address")?;
    Ok(Client::new(address, &trusted, protocol)?.with_token(ADMIN_TOKEN))
}

/// Whether an answer says that the server does not know the resource, as all versions word it.
pub fn says_not_known(answer: &Answer) -> bool {
    let text = answer.text();
    let words = ["the server could not find the requested resource", "404 page not found"];
    answer.status == StatusCode::NOT_FOUND && words.iter().any(|words| text.contains(words))
}

impl Workload {
    /// So many requests, and the objects that they need, made directly at `server`, which must have
    /// the APIs. All names begin with `mark`; of two workloads on one control plane each needs its
    /// own.
    pub async fn prepare(
        plane: &ControlPlane,
        server: &str,
        mark: &str,
        count: usize,
    ) -> Result<Self> {
        // Over HTTP/2 a server may refuse a request by closing the connection (`--goaway-chance`).
        let direct = direct(plane, server, Protocol::Http1)?;
        let authority = std::fs::read_to_string(&plane.pki().serving_ca).context("the CA")?;
        let mut planned: Vec<_> = (0..count)
            .zip(MIX.iter().cycle())
            .map(|(number, kind)| Planned::new(*kind, mark, number, &authority))
            .collect();
        let needed: Vec<_> = planned.iter_mut().filter(|planned| planned.needs_object()).collect();
        let creates = needed.iter().map(|planned| planned.creation()).collect();
        for (planned, answer) in needed.into_iter().zip(direct.many(creates, AT_A_TIME).await) {
            let answer = answer?;
            let (status, text) = (answer.status, answer.text());
            ensure!(status == StatusCode::CREATED, "{}: {status}: {text}", planned.what());
            planned.object = answer.json()?;
        }
        Ok(Self { direct, mark: mark.to_owned(), planned })
    }

    /// Number of requests.
    pub fn len(&self) -> usize {
        self.planned.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.planned.is_empty()
    }

    /// Sends all requests, so many at a time, shared out evenly to the clients. Each client gets
    /// requests of all kinds.
    pub async fn run(&self, clients: &[Client], at_a_time: usize) -> Outcome<'_> {
        let mut senders = JoinSet::new();
        for (turn, client) in clients.iter().enumerate() {
            let is_own = |place: usize| place / MIX.len() % clients.len() == turn;
            let own = self.planned.iter().enumerate().filter(|(place, _)| is_own(*place));
            let (places, requests): (Vec<_>, Vec<_>) =
                own.map(|(place, planned)| (place, planned.request())).unzip();
            let (client, share) = (client.clone(), at_a_time / clients.len());
            senders.spawn(async move { (places, client.many(requests, share).await) });
        }
        let mut answers = BTreeMap::new();
        for (places, own) in senders.join_all().await {
            answers.extend(places.into_iter().zip(own));
        }
        Outcome { answers: self.planned.iter().zip(answers.into_values()).collect() }
    }

    /// What the requests left behind at the server, where it is not what each of them carried out
    /// once leaves behind: a line each. To be asked when all were answered as they should be.
    pub async fn damage(&self) -> Result<Vec<String>> {
        let mut left: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
        for api in Api::WITH_OBJECTS {
            let path = format!("{}?labelSelector={WORKLOAD}%3D{}", api.path(), self.mark);
            let answer = self.direct.send(Request::get(path)).await?;
            let list = answer.json()?;
            let Some(items) = list.get("items").and_then(serde_json::Value::as_array) else {
                bail!("no list: {}", answer.text());
            };
            for object in items {
                let number = object.pointer(&format!("/metadata/labels/{NUMBER}"));
                let number = number.and_then(serde_json::Value::as_str).unwrap_or_default();
                left.entry(number.to_owned()).or_default().push(object.clone());
            }
        }
        let lines = self.planned.iter().filter_map(|planned| {
            let left = left.get(&planned.number.to_string()).map_or(&[][..], Vec::as_slice);
            Some(format!("{}: {}", planned.what(), planned.damage(left)?))
        });
        Ok(lines.collect())
    }
}

impl Outcome<'_> {
    /// How many answers say that the server does not know the resource.
    pub fn false_404s(&self) -> usize {
        let answers = self.answers.iter().filter_map(|(_, answer)| answer.as_ref().ok());
        answers.filter(|answer| says_not_known(answer)).count()
    }

    /// Each answer that is not what a server that has the API gives, in a line.
    pub fn wrong(&self) -> Vec<String> {
        let wrong = self.answers.iter().filter_map(|(planned, answer)| {
            Some(format!("{}: {}", planned.what(), planned.complaint(answer)?))
        });
        wrong.collect()
    }
}

/// For making objects, at a server that does nothing else.
const AT_A_TIME: usize = 20;
