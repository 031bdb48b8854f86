//! Discovery of a cluster of which no server has everything: one document, from whichever server and
//! worker, for whoever may see it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use peerway_core::apis::Apis;
use peerway_core::cluster::{MergedDocument, Source, settle};
use peerway_core::discovery::{ACCEPT, Root, read_aggregated};
use peerway_core::merge::{List, plain};
use peerway_core::request::Form;
use peerway_core::serving_map::{Rows, Standing, page_key};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Answer, Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane, NOBODY_TOKEN};
use peerway_harness::process::wait_until;
use peerway_harness::simulated::Discovery;
use peerway_harness::workload::direct;
use serde_json::{Value, json};

use crate::rig::{SOON, SimulatedPlane, no_vm_died};

pub(crate) const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Neither has everything: the old one shows its alpha and beta APIs.
async fn mixed() -> Result<ControlPlane> {
    let all = ["--runtime-config=api/all=true"];
    let plane = ControlPlane::builder().server_with("old", "1.36.3", &all).server("new", "1.37.2");
    plane.start().await
}

pub(crate) fn aggregated(path: &str) -> Request {
    Request::get(path).header("accept", V2)
}

/// What the servers themselves say of a root, merged.
async fn expected(plane: &ControlPlane, root: Root) -> Result<MergedDocument> {
    let mut bodies = Vec::new();
    for (name, _) in plane.servers() {
        let request = Request::get(root.path()).header("accept", ACCEPT);
        bodies.push((name, direct(plane, name, Protocol::Http2)?.send(request).await?.body));
    }
    let mut sources = Vec::new();
    for (name, body) in &bodies {
        sources.push(Some(Source { name, standing: Standing::Confirmed, body }));
    }
    let merged =
        settle(root, &sources, &mut Rows::default()).map_err(|it| anyhow::anyhow!("{it}"))?;
    let key = page_key(root.scope(), Form::Aggregated);
    let found = merged.into_iter().find(|(found, _)| *found == key);
    let (_, document) =
        found.with_context(|| format!("{} is the same on all servers", root.path()))?;
    Ok(document)
}

fn keys(root: Root, body: &[u8]) -> Result<BTreeSet<String>> {
    let reading = read_aggregated(root, body, &Apis::default());
    let reading = reading.map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(reading.apis.iter().map(|(key, _)| key.to_owned()).collect())
}

/// Makes a CRD, and waits until each server lists it.
async fn make_crd(plane: &ControlPlane, balancer: &Balancer, plural: &str) -> Result<()> {
    let kind = plural.to_uppercase();
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    let answer = balancer.client(ADMIN_TOKEN, Protocol::Http2)?.post(CRDS, &crd).await?;
    ensure!(answer.status == 201, "{}", answer.text());
    let key = format!("example.com/v1/{plural}/");
    for (name, _) in plane.servers() {
        let client = direct(plane, name, Protocol::Http2)?;
        let is_listed = async || {
            let answer = client.send(aggregated("/apis")).await;
            answer.is_ok_and(|it| keys(Root::Named, &it.body).is_ok_and(|it| it.contains(&key)))
        };
        wait_until("the CRD is listed", SOON, is_listed).await?;
    }
    Ok(())
}

/// What a caller sees is what was expected of all servers.
async fn shows(balancer: &Balancer, root: Root, expected: &MergedDocument) -> Result<()> {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        // A connection each: both workers answer.
        for at in 0..10 {
            let client = balancer.client(NOBODY_TOKEN, protocol)?;
            let path = format!("{}?timeout=32s&at={at}", root.path());
            let answer = client.send(aggregated(&path).header("accept-encoding", "gzip")).await?;
            is_merged(&answer, expected)?;
            ensure!(answer.body == expected.body, "{path}: {}", answer.text());
            let again = aggregated(&path).header("if-none-match", expected.etag.as_str());
            let again = client.send(again).await?;
            ensure!(again.status == 304 && again.body.is_empty(), "{path}: {again:?}");
            ensure!(again.header("etag") == Some(&expected.etag), "{again:?}");
            ensure!(again.header("content-type").is_none(), "{again:?}");
            let head = Request::new(Method::HEAD, path).header("accept", V2);
            let head = balancer.client(ADMIN_TOKEN, protocol)?.send(head).await?;
            is_merged(&head, expected)?;
            ensure!(head.body.is_empty(), "{head:?}");
        }
    }
    Ok(())
}

/// Waits until every worker shows what the servers list together.
async fn is_shown(plane: &ControlPlane, balancer: &Balancer) -> Result<MergedDocument> {
    let documents = expected(plane, Root::Named).await?;
    let is_known = async || {
        let Ok(client) = balancer.client(ADMIN_TOKEN, Protocol::Http2) else { return false };
        let answer = client.send(aggregated("/apis")).await;
        answer.is_ok_and(|it| it.header("etag") == Some(&documents.etag))
    };
    wait_until("the merged document is shown", SOON, is_known).await?;
    peerway_harness::balancer::workers_have_the_map().await;
    Ok(documents)
}

fn is_merged(answer: &Answer, expected: &MergedDocument) -> Result<()> {
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    let length = expected.body.len().to_string();
    for (name, value) in [
        ("content-type", V2),
        ("etag", &expected.etag),
        ("vary", "Accept"),
        ("cache-control", "public"),
        ("content-length", &length),
        ("x-peerway-reason", "merged"),
    ] {
        ensure!(answer.header(name) == Some(value), "{name}: {:?}", answer.headers);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_worker_shows_one_document_with_all_that_any_server_lists() {
    let plane = mixed().await.unwrap();
    let mut balancer = Builder::before(&plane).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    make_crd(&plane, &balancer, "things").await.unwrap();
    let documents = is_shown(&plane, &balancer).await.unwrap();
    shows(&balancer, Root::Named, &documents).await.unwrap();

    let mut all = BTreeSet::new();
    for (name, _) in plane.servers() {
        let client = direct(&plane, name, Protocol::Http2).unwrap();
        let own = client.send(aggregated("/apis")).await.unwrap();
        let own = keys(Root::Named, &own.body).unwrap();
        assert!(!own.is_superset(&keys(Root::Named, &documents.body).unwrap()), "{name} has all");
        all.extend(own);
    }
    assert_eq!(keys(Root::Named, &documents.body).unwrap(), all);

    may_see_it_whom_a_server_lets(&plane, &balancer).await.unwrap();
    no_vm_died(&mut balancer).await.unwrap();
}

/// Who may not see discovery is told so by a server, in its own words.
async fn may_see_it_whom_a_server_lets(plane: &ControlPlane, balancer: &Balancer) -> Result<()> {
    let told = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        for other in ["date", "audit-id", "x-peerway-reason"] {
            headers.remove(other);
        }
        (answer.status, headers.clone(), answer.text())
    };
    let json = "application/json;g=apidiscovery.k8s.io;v=v1;as=APIGroupDiscoveryList";
    let mut requests = vec![(406, Request::get("/apis").header("accept", json))];
    // Of the last the old server has nothing: it would answer 404 to who may ask.
    let merged = ["/apis", "/apis/storage.k8s.io/v1", "/apis/storagemigration.k8s.io/v1"];
    let plain = merged.map(Request::get);
    for request in [aggregated("/api"), aggregated("/apis")].into_iter().chain(plain) {
        requests.push((401, request.clone().header("authorization", "Bearer unknown")));
        requests.push((403, request.header("impersonate-user", "system:anonymous")));
    }
    for (status, request) in requests {
        let of_server = direct(plane, "new", Protocol::Http1)?.send(request.clone()).await?;
        let answer = balancer.client(ADMIN_TOKEN, Protocol::Http1)?.send(request).await?;
        ensure!(answer.status == status, "{} {}", answer.status, answer.text());
        ensure!(told(&answer) == told(&of_server), "{answer:?} is not {of_server:?}");
    }
    Ok(())
}

/// A plain list without what only a server's own has.
fn without_hashes(mut list: Value) -> Value {
    let resources = list.get_mut("resources").and_then(Value::as_array_mut);
    for resource in resources.into_iter().flatten() {
        resource.as_object_mut().unwrap().remove("storageVersionHash");
    }
    list
}

/// Every plain document that aggregated ones speak of, by its path.
fn plain_of(root: Root, aggregated: &[u8]) -> Result<BTreeMap<String, Value>> {
    let list = List::read(aggregated).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut documents = BTreeMap::new();
    let mut add = |path: String, body: Vec<u8>| -> Result<()> {
        documents.insert(path, serde_json::from_slice(&body)?);
        Ok(())
    };
    if root == Root::Named {
        add("/apis".to_owned(), plain::group_list(&list))?;
    }
    for group in list.groups() {
        let name = group.name();
        if root == Root::Named {
            add(format!("/apis/{name}"), plain::group(group))?;
        }
        for version in group.versions() {
            let path = match name {
                "" => format!("/api/{}", &*version.version),
                name => format!("/apis/{name}/{}", &*version.version),
            };
            add(path, plain::resource_list(name, version))?;
        }
    }
    Ok(documents)
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_discovery_shows_all_that_any_server_lists_in_a_servers_words() {
    let plane = mixed().await.unwrap();
    let mut balancer = Builder::before(&plane).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    make_crd(&plane, &balancer, "things").await.unwrap();
    is_shown(&plane, &balancer).await.unwrap();

    for root in [Root::Core, Root::Named] {
        // What is made of a server's aggregated document is what it says itself.
        for (name, _) in plane.servers() {
            let client = direct(&plane, name, Protocol::Http2).unwrap();
            let own = client.send(aggregated(root.path())).await.unwrap();
            for (path, made) in plain_of(root, &own.body).unwrap() {
                // The aggregator makes these of what all servers registered.
                if path.matches('/').count() < 3 && root == Root::Named {
                    continue;
                }
                let own = client.get(&path).await.unwrap().json().unwrap();
                assert_eq!(made, without_hashes(own), "{name}: {path}");
            }
        }
        let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
        let merged = client.send(aggregated(root.path())).await.unwrap();
        for (path, expected) in plain_of(root, &merged.body).unwrap() {
            let with_protobuf = "application/vnd.kubernetes.protobuf, */*";
            for accept in ["", "application/json", with_protobuf, "application/yaml"] {
                let request = Request::get(path.as_str()).header("accept", accept);
                let answer = client.send(request).await.unwrap();
                assert_eq!(answer.status, 200, "{path}: {}", answer.text());
                let content_type = answer.header("content-type");
                let is_merged = answer.header("x-peerway-reason") == Some("merged");
                let is_yaml = accept == "application/yaml";
                assert!(!is_yaml || content_type == Some(accept), "{path}: {content_type:?}");
                // One server has all of some: then it says it in the form that it likes best.
                if content_type == Some("application/json") || (is_yaml && is_merged) {
                    let shown = without_hashes(answer.json().unwrap());
                    let why = answer.header("x-peerway-reason");
                    assert!(
                        shown == expected,
                        "{path}, {accept:?}, {why:?}: {shown} is not {expected}"
                    );
                }
            }
        }
    }
    no_vm_died(&mut balancer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_which_no_server_has_everything_is_listed_whole() {
    let some = |names: &[&str]| {
        let path = |name: &&str| format!("/apis/example.com/v1/{name}");
        let paths: Vec<_> =
            ["/api/v1/things".to_owned()].into_iter().chain(names.iter().map(path)).collect();
        Discovery::of(&paths.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
    };
    let servers = vec![("a", some(&["ants", "bees"])), ("b", some(&["bees", "cats"]))];
    let mut plane = SimulatedPlane::start(servers).await.unwrap();
    let mut balancer = plane.balancer().start().await.unwrap();
    balancer.all_confirmed().await.unwrap();
    peerway_harness::balancer::workers_have_the_map().await;
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    let names = async || {
        let answer = client.get("/apis/example.com/v1").await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let list = answer.json().unwrap();
        let resources = list["resources"].as_array().unwrap().iter();
        let mut names: Vec<_> =
            resources.map(|it| it["name"].as_str().unwrap().to_owned()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names().await, ["ants", "bees", "cats"]);
    // What one that is away alone had stays in the list: absent would be wrong.
    plane.servers[1].close().await;
    balancer.server_is("b", "gone").await.unwrap();
    peerway_harness::balancer::workers_have_the_map().await;
    assert_eq!(names().await, ["ants", "bees", "cats"]);
    no_vm_died(&mut balancer).await.unwrap();
}
