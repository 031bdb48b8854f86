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
fn settled_all(
    servers: &[(Standing, &str)],
) -> (BTreeMap<PageKey, Page>, BTreeMap<PageKey, String>) {
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
    let documents = settle(Root::Named, &sources, &mut rows).unwrap();
    let text = |body: &Bytes| String::from_utf8(body.to_vec()).unwrap();
    let texts = documents.into_iter().map(|(key, document)| (key, text(&document.body)));
    (rows.pages, sorted::map(texts))
}

fn settled(servers: &[(Standing, &str)]) -> (Option<Page>, Option<String>) {
    let (mut pages, mut texts) = settled_all(servers);
    let key = page_key(Scope::Named, Form::Aggregated);
    (pages.remove(&key), texts.remove(&key))
}

/// The plain documents in which servers differ: their keys, and who has all of each or what is said.
fn check_plain(servers: &[(Standing, &str)], expected: &[(Scope<'_>, Result<&[usize], &str>)]) {
    let (mut pages, mut texts) = settled_all(servers);
    for (scope, expected) in expected {
        let key = page_key(*scope, Form::Plain);
        let page = pages.remove(&key).unwrap_or_else(|| panic!("{servers:?}: no {scope:?}"));
        let (own, text) = match expected {
            Ok(own) => (own.iter().copied().collect(), None),
            Err(text) => (ServerSet::EMPTY, Some(format!("{text}\n"))),
        };
        assert_eq!(page.own, own, "{servers:?}: {scope:?}");
        assert_eq!(texts.remove(&key), text, "{servers:?}: {scope:?}");
        assert_eq!(page.merged.is_some(), text.is_some(), "{servers:?}: {scope:?}");
    }
    pages.retain(|key, _| key.starts_with(b"plain"));
    assert!(pages.is_empty(), "{servers:?}: more: {pages:?}");
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
    // Nor when that one is back, before it is read again.
    check(&[(Unknown, gone.1), (Confirmed, "g/v1:x")], &[], "g/v1:x k/v1!:y");
    // Read before the gone one was, it may not know of it yet.
    check(&[(Confirmed, "g/v1:x"), (Gone, "g/v1:CRD,x")], &[], "g/v1:CRD,x");
}

const GROUPS: &str = r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"g","versions":[{"groupVersion":"g/v1","version":"v1"}],"preferredVersion":{"groupVersion":"g/v1","version":"v1"}},{"name":"h","versions":[{"groupVersion":"h/v1","version":"v1"}],"preferredVersion":{"groupVersion":"h/v1","version":"v1"}}]}"#;
const GROUP_H: &str = r#"{"kind":"APIGroup","apiVersion":"v1","name":"h","versions":[{"groupVersion":"h/v1","version":"v1"}],"preferredVersion":{"groupVersion":"h/v1","version":"v1"}}"#;

#[test]
fn the_lists_of_names_are_merged_while_servers_differ_in_names() {
    let (one, two) = ("g/v1:x", "g/v1:x h/v1:y");
    let named = (Scope::Named, Err(GROUPS));
    let h = (Scope::Group(b"h"), Err(GROUP_H));
    let of_h = |own: &'static [usize]| (Scope::GroupVersion(b"h", b"v1"), Ok(own));
    check_plain(&[(Confirmed, one), (Confirmed, two)], &[named, h, of_h(&[1])]);
    // Only who is away has it: neither there nor absent.
    check_plain(&[(Confirmed, one), (Gone, two)], &[named, h, of_h(&[])]);
    check_plain(&[(Confirmed, two), (Gone, two)], &[]);
}

#[test]
fn a_version_of_which_nobody_has_everything_is_merged_without_the_hashes_of_storage() {
    let list = |resources: &str| {
        format!(
            r#"{{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"g/v1","resources":[{resources}]}}"#
        )
    };
    let entry = |name| {
        format!(r#"{{"name":"{name}","singularName":"","namespaced":false,"verbs":["get"]}}"#)
    };
    let crd = r#"{"name":"crd","singularName":"","namespaced":false,"kind":"K","verbs":["delete","get","create"]}"#;
    let all = list(&[entry("x"), entry("y"), crd.to_owned()].join(","));
    fn of_g<'e>(
        expected: Result<&'e [usize], &'e str>,
    ) -> [(Scope<'static>, Result<&'e [usize], &'e str>); 1] {
        [(Scope::GroupVersion(b"g", b"v1"), expected)]
    }
    check_plain(&[(Confirmed, "g/v1:x,CRD"), (Confirmed, "g/v1:x,y,CRD")], &of_g(Ok(&[1])));
    check_plain(&[(Confirmed, "g/v1:x,CRD"), (Gone, "g/v1:x,y,CRD")], &of_g(Err(&all)));
    check_plain(&[(Confirmed, "g/v1:x,CRD"), (Confirmed, "g/v1:y,CRD")], &of_g(Err(&all)));
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
