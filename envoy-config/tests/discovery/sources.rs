//! Where servers come from: saved folders, kubeconfigs, control-plane files and a running Peerway,
//! and every way in which one of them is none.

use std::path::Path;

use peerway_core::apis::Apis;
use peerway_core::discovery::{Root, read_aggregated};
use peerway_core::record::{Document, Status};
use peerway_core::servers::Server;
use peerway_core::serving_map::Standing;
use peerway_core::status_page::page;
use serde_json::{Value, json};

use crate::listener::{listener, path};
use crate::run::{json as json_of, refuses, root};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const NEW: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles";

fn document(version: &str, file: &str) -> Vec<u8> {
    std::fs::read(root().join("../filter/core/testdata/discovery").join(version).join(file))
        .unwrap()
}

/// A server of this version that wants the token `secret`.
fn server(version: &'static str) -> String {
    listener(move |head| {
        if !head.contains("authorization: Bearer secret\r\n") {
            return (401, "application/json", b"{}".to_vec());
        }
        assert!(head.contains("profile=nopeer"), "a server must not answer for its peers");
        let file = format!("{}.json", path(head).trim_start_matches('/'));
        (200, AGGREGATED, document(version, &file))
    })
}

/// A kubeconfig in `folder` for a server; returns its path.
fn kubeconfig(folder: &Path, name: &str, url: &str, user: Value) -> String {
    let place = folder.join(name);
    let text = json!({
        "kind": "Config", "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": name, "user": "me"}}],
        "clusters": [{"name": name, "cluster": {"server": url}}],
        "users": [{"name": "me", "user": user}],
    });
    std::fs::write(&place, text.to_string()).unwrap();
    place.display().to_string()
}

#[test]
fn kubeconfigs_name_live_servers() {
    let folder = tempfile::tempdir().unwrap();
    let token = || json!({"token": "secret"});
    let old = kubeconfig(folder.path(), "old", &server("1.36.3"), token());
    let new = kubeconfig(folder.path(), "new", &server("1.37.2"), token());
    let named = format!("newer={new}");
    let explained = json_of(&["explain", "GET", NEW, "--kubeconfig", &old, "--kubeconfig", &named]);
    assert_eq!(explained["listedBy"], json!(["newer"]));
    assert_eq!(explained["decision"]["servers"][0], "newer");
}

#[test]
fn a_server_from_before_aggregated_discovery_is_read_piece_by_piece() {
    let url = listener(|head| {
        let body = match path(head) {
            "/api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
            "/apis" => json!({"kind": "APIGroupList", "groups": [
                {"name": "g", "versions": [{"groupVersion": "g/v1", "version": "v1"}]},
            ]}),
            "/api/v1" => json!({"kind": "APIResourceList", "resources": [{"name": "pods"}]}),
            "/apis/g/v1" => json!({"kind": "APIResourceList", "resources": [{"name": "x"}]}),
            other => panic!("{other} was asked"),
        };
        (200, "application/json", body.to_string().into_bytes())
    });
    let folder = tempfile::tempdir().unwrap();
    let file = kubeconfig(folder.path(), "old", &url, json!({}));
    for (target, listed_by) in [
        ("/api/v1/pods", json!(["old"])),
        ("/apis/g/v1/x", json!(["old"])),
        ("/apis/g/v1/y", json!([])),
    ] {
        let explained = json_of(&["explain", "GET", target, "--kubeconfig", &file]);
        assert_eq!(explained["listedBy"], listed_by, "{target}");
    }
    refuses(&["merge", "--kubeconfig", &file], 1, &["old", "no aggregated document"]);
}

#[test]
fn a_running_peerway_tells_what_it_knows() {
    let old = apis("1.36.3");
    let new = apis("1.37.2");
    let url = listener(move |head| {
        assert_eq!(path(head), "/map");
        let servers = ["cp-1", "cp-2", "cp-3"]
            .map(|name| Server { name: name.into(), address: format!("{name}:6443") });
        let mut records = servers.map(|server| Status::default().of(&server));
        for record in &mut records {
            *record = record.showing(Standing::Confirmed);
            record.set_standing(Standing::Confirmed, 1);
            (record.ready_ms, record.read_ms) = (900, 900);
        }
        let status = Status { generation: 3, servers: records.to_vec() };
        let read = |apis: &Apis| Some(Document { apis: apis.clone(), ..Document::default() });
        let documents = [read(&old), read(&new), read(&new)];
        let body = serde_json::to_vec(&page(&status, &documents, 1_000)).unwrap();
        (200, "application/json", body)
    });
    let decision =
        |target: &str| json_of(&["explain", "GET", target, "--map", &url])["decision"].clone();
    assert_eq!(decision("/api/v1/pods")["action"], "untouched");
    assert_eq!(decision(NEW)["servers"], json!(["cp-2", "cp-3", "cp-2", "cp-3", "cp-1"]));
    assert_eq!(decision("/apis/nobody/v1/x")["reason"], "listed-by-nobody");
}

fn apis(version: &str) -> Apis {
    let read = |root, file| {
        read_aggregated(root, &document(version, file), &Apis::default()).unwrap().apis
    };
    let mut apis = read(Root::Core, "api.json");
    apis.keep_from(&read(Root::Named, "apis.json"), |_| true);
    apis
}

#[test]
fn what_is_no_saved_server_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display().to_string();
    let flag = format!("--server=a={place}");
    let explain = |flags: &[&str], complaints: &[&str]| {
        refuses(&[&["explain", "GET", "/"], flags].concat(), 1, complaints);
    };
    explain(&["--server=a=no/such/folder"], &["no/such/folder"]);
    explain(&[&flag], &[&place, "neither api.json nor apis.json", "Accept: "]);
    for (body, complaint) in [
        ("", "not discovery JSON"),
        ("{", "not discovery JSON"),
        (r#"{"kind":"APIGroupList","groups":[],"items":[]}"#, "APIGroupList"),
        (r#"{"kind":"APIGroupDiscoveryList","items":[]}"#, "lists no API at all"),
    ] {
        std::fs::write(folder.path().join("apis.json"), body).unwrap();
        explain(&[&flag], &["apis.json", complaint, "Accept: "]);
    }
    std::fs::write(folder.path().join("apis.json"), document("1.36.3", "apis.json")).unwrap();
    explain(&[&flag, &flag], &["two servers are called a"]);
}

#[test]
fn what_is_no_live_server_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, url: &str, user: Value| kubeconfig(folder.path(), name, url, user);
    let explain = |flag: &str, value: &str, complaints: &[&str]| {
        refuses(&["explain", "GET", "/", flag, value], 1, complaints);
    };
    let url = server("1.36.3");
    let wrong = file("wrong", &url, json!({"token": "x"}));
    explain("--kubeconfig", &wrong, &["wrong", &url, "401"]);
    let plugin = file("plugin", &url, json!({"exec": {"command": "x"}}));
    explain("--kubeconfig", &plugin, &["plugin", "only a token or a client certificate"]);
    let half = file("half", &url, json!({"client-certificate-data": "eA=="}));
    explain("--kubeconfig", &half, &["half", "client-key"]);
    let nowhere = file("nowhere", "http://127.0.0.1:1", json!({}));
    explain("--kubeconfig", &nowhere, &["nowhere", "127.0.0.1:1"]);
    explain("--kubeconfig", "no/such/file", &["no/such/file"]);
    explain("--control-plane", "no/such/file", &["no/such/file"]);
    explain("--control-plane", &wrong, &["wrong", "version"]);
    explain("--map", "http://127.0.0.1:1", &["http://127.0.0.1:1/map"]);
    let html = listener(|_| (200, "text/html", b"<html>".to_vec()));
    explain("--map", &html, &["/map"]);
    explain("--kubeconfig", &file("html", &html, json!({})), &["text/html"]);
}
