//! OpenAPI of a cluster whose servers differ: an index of all documents, whose hashes are right.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use peerway_harness::balancer::{Balancer, Builder, workers_have_the_map};
use peerway_harness::client::{Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane, NOBODY_TOKEN};
use peerway_harness::process::wait_until;
use peerway_harness::simulated::{Discovery, Fault, Matcher, Reply};
use peerway_harness::workload::direct;
use serde_json::{Value, json};

use crate::rig::{SOON, SimulatedPlane, no_vm_died};

const ROOT: &str = "/openapi/v3";
const NEW_ONLY: &str = "apis/storagemigration.k8s.io/v1";

/// Path and URL of each document that an index names.
fn entries(index: &[u8]) -> Result<BTreeMap<String, String>> {
    let index: Value = serde_json::from_slice(index)?;
    let paths = index["paths"].as_object().context("no paths")?;
    let url = |entry: &Value| entry["serverRelativeURL"].as_str().unwrap_or_default().to_owned();
    Ok(paths.iter().map(|(path, entry)| (path.clone(), url(entry))).collect())
}

async fn index_of(plane: &ControlPlane, server: &str) -> BTreeMap<String, String> {
    let client = direct(plane, server, Protocol::Http2).unwrap();
    entries(&client.get(ROOT).await.unwrap().body).unwrap()
}

/// Waits until the index names all documents with their hashes, and each worker shows it.
async fn shown(balancer: &Balancer) -> BTreeMap<String, String> {
    let is_whole = async || {
        let Ok(client) = balancer.client(ADMIN_TOKEN, Protocol::Http2) else { return false };
        let Ok(answer) = client.get(ROOT).await else { return false };
        entries(&answer.body).is_ok_and(|it| it.values().all(|url| url.contains("?hash=")))
    };
    wait_until("the index has all hashes", SOON, is_whole).await.unwrap();
    workers_have_the_map().await;
    let client = balancer.client(NOBODY_TOKEN, Protocol::Http1).unwrap();
    entries(&client.get(ROOT).await.unwrap().body).unwrap()
}

/// Each document is there under the hash that the index gives it, whichever worker is asked.
async fn all_are_there(balancer: &Balancer, index: &BTreeMap<String, String>) -> Result<()> {
    for round in 0..4 {
        let client = balancer.client(NOBODY_TOKEN, Protocol::Http2)?;
        ensure!(entries(&client.get(ROOT).await?.body)? == *index, "another index");
        for (path, url) in index {
            let answer = client.get(url).await?;
            ensure!(answer.status == 200, "{round}, {url}: {} {:?}", answer.status, answer.headers);
            let (_, hash) = url.split_once("?hash=").context("no hash")?;
            ensure!(answer.header("etag") == Some(&format!("\"{hash}\"")), "{path}");
            let caching = answer.header("cache-control").unwrap_or_default();
            ensure!(caching.contains("immutable"), "{path}: {caching}");
            ensure!(answer.json()?["openapi"] == "3.0.0", "{path}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_names_every_servers_documents_by_hashes_that_are_right() {
    let all = ["--runtime-config=api/all=true"];
    let plane = ControlPlane::builder().server_with("old", "1.36.3", &all).server("new", "1.37.2");
    let plane = plane.start().await.unwrap();
    let mut balancer = Builder::before(&plane).patient().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let (old, new) = (index_of(&plane, "old").await, index_of(&plane, "new").await);
    assert!(new.keys().any(|path| !old.contains_key(path)), "the old server has everything");
    assert!(old.keys().any(|path| !new.contains_key(path)), "the new server has everything");

    let index = shown(&balancer).await;
    assert!(index.keys().eq(old.keys().chain(new.keys()).collect::<BTreeSet<_>>()));
    for (path, url) in &index {
        assert!([&old, &new].iter().any(|own| own.get(path) == Some(url)), "{path}: {url}");
    }
    all_are_there(&balancer, &index).await.unwrap();
    no_vm_died(&mut balancer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_everything_answers_for_all_and_is_missed_when_it_is_gone() {
    let plane = ControlPlane::builder().server("old", "1.36.3").server("new", "1.37.2");
    let plane = plane.start().await.unwrap();
    let mut balancer = Builder::before(&plane).patient().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let new = index_of(&plane, "new").await;
    assert_eq!(shown(&balancer).await, new);
    all_are_there(&balancer, &new).await.unwrap();

    plane.kill("new").await.unwrap();
    balancer.server_is("new", "gone").await.unwrap();
    // Before that only the names of group-versions are there.
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    let is_read = async || {
        let index = client.get(ROOT).await.and_then(|answer| entries(&answer.body));
        index.is_ok_and(|index| index.values().any(|url| url.contains("?hash=")))
    };
    wait_until("what is left is read", SOON, is_read).await.unwrap();
    workers_have_the_map().await;
    let index = entries(&client.get(ROOT).await.unwrap().body).unwrap();
    let named: Vec<_> = new.keys().filter(|path| !index.contains_key(*path)).collect();
    // Whether there is a group says `/apis/<group>`, and nobody who is asked now has it.
    assert_eq!(named, ["apis/storagemigration.k8s.io"], "no longer named");
    let url = &index[NEW_ONLY];
    let answer = client.get(url).await.unwrap();
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, Some("1"))
    );
    no_vm_died(&mut balancer).await.unwrap();
}

const EXAMPLE: &str = "/openapi/v3/apis/example.com/v1";
/// More than a float holds exactly: numbers must come out as they went in.
const LARGE: u64 = 9_007_199_254_740_993;

/// What a server with these resources of `example.com/v1` lists, and its OpenAPI document of them.
fn described(names: &[&str]) -> (Discovery, Value) {
    let paths: Vec<_> = names.iter().map(|it| format!("/apis/example.com/v1/{it}")).collect();
    let listed = ["/api/v1/pods"].into_iter().chain(paths.iter().map(String::as_str));
    let described: BTreeMap<_, _> = paths.iter().map(|it| (it, json!({"by": names}))).collect();
    let schemas: BTreeMap<_, _> = names.iter().map(|it| (it, json!({"max": LARGE}))).collect();
    let document =
        json!({"openapi": "3.0.0", "paths": described, "components": {"schemas": schemas}});
    (Discovery::of(&listed.collect::<Vec<_>>()).unwrap(), document)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_which_no_server_has_everything_is_one_of_all() {
    let (of_a, document_a) = described(&["ants", "bees"]);
    let (of_b, document_b) = described(&["bees", "cats"]);
    let plane = SimulatedPlane::start(vec![("a", of_a), ("b", of_b)]).await.unwrap();
    for (server, document) in plane.servers.iter().zip([document_a, document_b]) {
        let name = server.name();
        let url = format!("{EXAMPLE}?hash={name}");
        let index = json!({"paths": {"apis/example.com/v1": {"serverRelativeURL": url}}});
        let reply =
            |body: Value| Reply::new(StatusCode::OK).body("application/json", body.to_string());
        server.set_fault(Matcher::path(ROOT), Fault::Reply(reply(index)));
        server.set_fault(Matcher::path(EXAMPLE), Fault::Reply(reply(document)));
    }
    let mut balancer = plane.balancer().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    let is_united = async || {
        let answer = client.get(EXAMPLE).await.unwrap();
        answer.header("x-peerway-reason") == Some("merged")
    };
    wait_until("the document is united", SOON, is_united).await.unwrap();
    workers_have_the_map().await;

    let answer = client.get(EXAMPLE).await.unwrap();
    let by = |names: [&str; 2]| json!({"by": names});
    let paths = json!({
        "/apis/example.com/v1/ants": by(["ants", "bees"]),
        "/apis/example.com/v1/bees": by(["ants", "bees"]),
        "/apis/example.com/v1/cats": by(["bees", "cats"]),
    });
    let schema = json!({"max": LARGE});
    let schemas = json!({"ants": schema, "bees": schema, "cats": schema});
    let expected = json!({"openapi": "3.0.0", "paths": paths, "components": {"schemas": schemas}});
    assert_eq!(answer.json().unwrap(), expected);

    let index = entries(&client.get(ROOT).await.unwrap().body).unwrap();
    all_are_there(&balancer, &index).await.unwrap();
    let (of_a, right) = (format!("{EXAMPLE}?hash=a"), index["apis/example.com/v1"].clone());
    let moved = client.get(&of_a).await.unwrap();
    assert_eq!((moved.status.as_u16(), moved.header("location")), (301, Some(right.as_str())));
    let etag = answer.header("etag").unwrap();
    let known = Request::get(EXAMPLE).header("if-none-match", etag);
    assert_eq!(client.send(known).await.unwrap().status, 304);
    let protobuf = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
    let in_protobuf = Request::get(EXAMPLE).header("accept", protobuf);
    assert_eq!(client.send(in_protobuf).await.unwrap().status, 406);
    no_vm_died(&mut balancer).await.unwrap();
}
