//! Who takes part in the merge, and what becomes of it. Expected documents are written by hand.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::apis::Apis;
use crate::discovery::read_aggregated;
use crate::request::Scope;
use crate::serving_map::{View, build};
use Standing::{Confirmed, Gone, Unknown};

/// `group/version:resource,resource group/version!:` as a document; `!` marks it as stale, and a
/// resource in capitals is one of a CRD.
fn document(text: &str) -> String {
    let resource = |group: &str, name: &str| match name.to_lowercase() {
        crd if crd != name => format!(
            r#"{{"resource":"{crd}","responseKind":{{"group":"{group}","version":"v1","kind":"K"}},"scope":"Cluster","singularResource":"","verbs":["delete","get","create"]}}"#
        ),
        name => format!(
            r#"{{"resource":"{name}","scope":"Cluster","singularResource":"","verbs":["get"]}}"#
        ),
    };
    let group = |text: &str| {
        let (gv, resources) = text.split_once(':').unwrap();
        let (group, version) = gv.split_once('/').unwrap();
        let freshness = if version.ends_with('!') { "Stale" } else { "Current" };
        let resources: Vec<_> = resources
            .split(',')
            .filter(|name| !name.is_empty())
            .map(|name| resource(group, name))
            .collect();
        let resources = match resources.is_empty() {
            true => String::new(),
            false => format!(r#""resources":[{}],"#, resources.join(",")),
        };
        format!(
            r#"{{"metadata":{{"name":"{group}"}},"versions":[{{"version":"{}",{resources}"freshness":"{freshness}"}}]}}"#,
            version.trim_end_matches('!')
        )
    };
    let groups: Vec<_> = text.split_whitespace().map(group).collect();
    format!(
        r#"{{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{{}},"items":[{}]}}"#,
        groups.join(",")
    ) + "\n"
}

/// Settles servers `a`, `b`, `c` … Those that were read later stand behind.
fn settled(servers: &[(Standing, &str)]) -> (Option<Page>, Option<String>) {
    let bodies: Vec<String> = servers.iter().map(|(_, text)| document(text)).collect();
    let read = |body: &String| {
        read_aggregated(Root::Named, body.as_bytes(), &Apis::default()).unwrap().apis
    };
    let apis: Vec<Apis> = bodies.iter().map(read).collect();
    let names: Vec<String> = ('a'..).take(servers.len()).map(String::from).collect();
    let places = servers.iter().zip(&apis).enumerate();
    let views: Vec<_> = places
        .map(|(at, ((standing, _), apis))| View {
            standing: *standing,
            apis: Some(apis),
            read_ms: at as u64,
        })
        .collect();
    let mut rows = build(&views);
    let mut sources = Vec::new();
    for ((name, body), (standing, _)) in names.iter().zip(&bodies).zip(servers) {
        sources.push(Some(Source { name, standing: *standing, body: body.as_bytes() }));
    }
    let document = settle(Root::Named, &sources, &mut rows).unwrap();
    let page = rows.pages.remove(&page_key(Scope::Named, Form::Aggregated));
    let text = document.map(|document| String::from_utf8(document.body.to_vec()).unwrap());
    (page, text)
}

fn check(servers: &[(Standing, &str)], own: &[usize], expected: &str) {
    let (page, text) = settled(servers);
    let page = page.unwrap_or_else(|| panic!("{servers:?}: any server"));
    assert_eq!(page.own, own.iter().copied().collect(), "{servers:?}");
    assert_eq!(text, Some(document(expected)), "{servers:?}");
    let etag = page.merged.unwrap();
    assert!(etag.len() == 130 && etag.starts_with('"'), "{etag}");
}

#[test]
fn servers_that_say_the_same_need_no_merged_document() {
    for standing in [Confirmed, Unknown, Gone] {
        let settled = settled(&[(Confirmed, "g/v1:x h/v1:y"), (standing, "g/v1:x h/v1:y")]);
        assert_eq!(settled, (None, None), "{standing:?}");
    }
}

#[test]
fn a_server_whose_own_document_is_the_merged_one_answers_itself() {
    let (old, new) = ("g/v1:x", "g/v1:x h/v1:y");
    check(&[(Confirmed, old), (Confirmed, new), (Confirmed, old)], &[1], new);
}

#[test]
fn what_only_one_of_several_has_is_in_the_merged_document() {
    check(
        &[(Confirmed, "g/v1:x h/v1:y"), (Confirmed, "g/v1:x k/v1:z")],
        &[],
        "g/v1:x h/v1:y k/v1:z",
    );
}

#[test]
fn what_a_gone_server_alone_has_stays_and_is_stale() {
    for standing in [Gone, Unknown] {
        check(&[(Confirmed, "g/v1:x"), (standing, "g/v1:x h/v1:y")], &[], "g/v1:x h/v1!:y");
        // Somebody who answers has something of it: a mark would take that away too.
        check(&[(Confirmed, "g/v1:x"), (standing, "g/v1:x,y")], &[], "g/v1:x,y");
    }
}

#[test]
fn what_one_answering_server_has_read_is_not_stale() {
    check(&[(Confirmed, "g/v1!: h/v1:y"), (Confirmed, "g/v1:x h/v1:y")], &[1], "g/v1:x h/v1:y");
    check(&[(Confirmed, "g/v1!:x"), (Confirmed, "g/v1!:x,y")], &[1], "g/v1!:x,y");
    check(&[(Confirmed, "g/v1!:x"), (Gone, "g/v1:x")], &[0], "g/v1!:x");
}

#[test]
fn a_gone_server_that_knew_nothing_of_a_version_says_nothing_of_it() {
    check(&[(Confirmed, "g/v1:x"), (Gone, "g/v1:x h/v1!:")], &[0], "g/v1:x");
}

#[test]
fn a_deleted_crd_does_not_come_back_with_a_gone_server() {
    let gone = (Gone, "g/v1:CRD,x h/v1:CRD k/v1:y");
    check(&[gone, (Confirmed, "g/v1:x")], &[], "g/v1:x k/v1!:y");
    // Read before the gone one was, it may not know of it yet.
    check(&[(Confirmed, "g/v1:x"), (Gone, "g/v1:CRD,x")], &[], "g/v1:CRD,x");
}

#[test]
fn a_document_comes_back_from_shared_data_and_a_damaged_one_does_not() {
    let document = MergedDocument { etag: "\"AB\"".into(), body: "{}".into() };
    let bytes = document.to_bytes();
    assert_eq!(MergedDocument::from_bytes(bytes.clone()), Ok(document));
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert!(MergedDocument::from_bytes(bad).is_err(), "{at}");
    }
}

/// Names of servers count, not their places in the configuration.
#[test]
fn the_merge_does_not_depend_on_the_configured_order() {
    let bodies = [document("g/v1:x h/v1:y"), document("k/v1:z g/v1:x,w")];
    let names = ["a", "b"];
    let merged = |order: [usize; 2]| {
        let source = |at: usize| {
            Some(Source { name: names[at], standing: Confirmed, body: bodies[at].as_bytes() })
        };
        settle(Root::Named, &order.map(source), &mut Rows::default()).unwrap()
    };
    assert_eq!(merged([0, 1]), merged([1, 0]));
}
