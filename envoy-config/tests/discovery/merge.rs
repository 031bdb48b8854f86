//! `peerway merge` on saved documents. The merging itself is tested in the core.

use peerway_core::merge::{List, Member, Merged, etag, merge};

use crate::run::{printed, refuses, root, servers};

fn document(version: &str, file: &str) -> Vec<u8> {
    std::fs::read(root().join("../filter/core/testdata/discovery").join(version).join(file))
        .unwrap()
}

fn merged(versions: &[&str], more: &[&str]) -> String {
    let flags = servers(versions);
    let mut arguments = vec!["merge"];
    arguments.extend(flags.iter().map(String::as_str).chain(more.iter().copied()));
    printed(&arguments)
}

#[test]
fn what_differs_is_merged_into_a_complete_document_with_its_etag() {
    let (old, new) = (document("1.36.3", "apis.json"), document("1.37.2", "apis.json"));
    let (old, new) = (List::read(&old).unwrap(), List::read(&new).unwrap());
    let members = [Member { id: "cp-1", list: &old }, Member { id: "cp-2", list: &new }];
    let Some(Merged::Other(list)) = merge(&members, "cp-1", &[]) else { panic!("not merged") };
    let body = String::from_utf8(list.to_json().unwrap()).unwrap();
    assert_eq!(merged(&["1.36.3", "1.37.2"], &[]), body);
    let head = format!(
        "HTTP/1.1 200 OK\nContent-Type: \
         application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\nETag: {}\n\n",
        etag(&list).unwrap()
    );
    assert_eq!(merged(&["1.36.3", "1.37.2"], &["--headers"]), head + &body);
}

#[test]
fn equal_servers_get_the_own_document_byte_for_byte() {
    let own = String::from_utf8(document("1.36.3", "apis.json")).unwrap();
    assert_eq!(merged(&["1.36.3"], &[]), own);
    assert_eq!(merged(&["1.36.3", "1.36.3"], &["--local", "cp-2"]), own);
    let core = String::from_utf8(document("1.37.2", "api.json")).unwrap();
    assert_eq!(merged(&["1.37.2"], &["--core"]), core);
}

#[test]
fn what_is_excluded_comes_from_the_local_server_only() {
    let excluded = ["--exclude", "storagemigration.k8s.io/v1", "--exclude", "resource.k8s.io/v1"];
    let has = |text: &str, name: &str| text.contains(&format!("\"resource\":\"{name}\""));
    let old = merged(&["1.36.3", "1.37.2"], &excluded);
    assert!(has(&old, "resourceclaims") && has(&old, "clustertrustbundles"));
    assert!(!has(&old, "devicetaintrules") && !has(&old, "storageversionmigrations"));
    let new = merged(&["1.36.3", "1.37.2"], &[&excluded[..], &["--local", "cp-2"]].concat());
    assert!(has(&new, "devicetaintrules") && has(&new, "storageversionmigrations"));
}

#[test]
fn wrong_input_writes_nothing() {
    let server = servers(&["1.36.3"]).remove(0);
    refuses(&["merge"], 1, &["--server NAME=DIR"]);
    refuses(&["merge", &server, "--local", "x"], 1, &["--local x", "cp-1"]);
    refuses(&["merge", &server, "--exclude", "v1"], 2, &["GROUP/VERSION"]);
    refuses(&["merge", &server, "--exclude", "a/b/c"], 2, &["GROUP/VERSION"]);
}
