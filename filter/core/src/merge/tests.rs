//! Each expected document was written by hand after the rules; `ETag`s are real servers'.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const NAMED: &[u8] = include_bytes!("../../testdata/discovery/1.36.3/apis.json");
const CORE: &[u8] = include_bytes!("../../testdata/discovery/1.36.3/api.json");
const NEWER: &[u8] = include_bytes!("../../testdata/discovery/1.37.2/apis.json");

/// `g v=r:verb+verb/sub:verb r… v=…` for a group, groups separated by `;`; `!` after a version
/// marks it as stale.
fn list(text: &'static str) -> List<'static> {
    let words = |text: &'static str| text.split('+').map(Text::from).collect();
    let resource = |text: &'static str| {
        let (itself, subresources) = text.split_once('/').unwrap_or((text, ""));
        let (name, verbs) = itself.split_once(':').unwrap_or((itself, "get"));
        let subresource = |text: &'static str| {
            let (name, verbs) = text.split_once(':').unwrap_or((text, "get"));
            Subresource {
                subresource: name.into(),
                response_kind: None,
                accepted_types: None,
                verbs: Some(words(verbs)),
            }
        };
        let below: Vec<_> =
            subresources.split('/').filter(|text| !text.is_empty()).map(subresource).collect();
        Resource {
            resource: name.into(),
            response_kind: None,
            scope: "Cluster".into(),
            singular_resource: Text::default(),
            verbs: Some(words(verbs)),
            short_names: None,
            categories: None,
            subresources: (!below.is_empty()).then_some(below),
        }
    };
    let version = |text: &'static str| {
        let (name, resources) = text.split_once('=').unwrap_or((text, ""));
        let stale = name.ends_with('!');
        let resources = resources.split(',').filter(|text| !text.is_empty()).map(resource);
        Version {
            version: name.trim_end_matches('!').into(),
            resources: Some(resources.collect()),
            freshness: if stale { "Stale" } else { "Current" }.into(),
        }
    };
    let group = |text: &'static str| {
        let mut words = text.split_whitespace();
        let metadata = Metadata { name: words.next().unwrap_or_default().into() };
        Group { metadata, versions: Some(words.map(version).collect()) }
    };
    List::of(text.split(';').filter(|text| !text.trim().is_empty()).map(group).collect())
}

/// The lists of servers a, b, c … as `local` merges them; `None` for its own document.
fn check_as(
    lists: &[&'static str],
    local: &str,
    excluded: &[(&str, &str)],
    expected: Option<&'static str>,
) {
    let texts = lists;
    let lists: Vec<List<'_>> = lists.iter().map(|text| list(text)).collect();
    let ids = ["a", "b", "c", "d"];
    let members: Vec<_> = ids.iter().zip(&lists).map(|(id, list)| Member { id, list }).collect();
    let gv = |(group, version): &(&str, &str)| GroupVersion {
        group: (*group).into(),
        version: (*version).into(),
    };
    let merged = merge(&members, local, &excluded.iter().map(gv).collect::<Vec<_>>());
    let expected = expected.map_or(Merged::Own, |text| Merged::Other(list(text)));
    assert_eq!(merged, Some(expected), "{texts:?} as {local}");
}

fn check(lists: &[&'static str], expected: &'static str) {
    check_as(lists, "a", &[], Some(expected));
}

#[test]
fn real_documents_are_read_and_written_byte_for_byte() {
    for document in [NAMED, CORE, NEWER] {
        let list = List::read(document).unwrap();
        assert!(list.to_json().unwrap() == document);
    }
}

#[test]
fn the_etag_is_the_one_that_the_real_server_sent() {
    for (document, expected) in [
        (
            NAMED,
            "\"A74552DF419C4697E3A22F67B8FE55FD8F2CC33F6134FF206B16341598294CDE\
             9896C7F67B2819217E6BB70E74F97FCC864DDFCDB02FDA565699CC7D6E3CC377\"",
        ),
        (
            CORE,
            "\"4D7E1BED90B364BC86049DD9E636494980AEF65B7F8CFAA267616FA062B514A8\
             A3CC2C2851CC9337B8D28B4C80960E2353DE5E0B152E87CC223E02EA3C5C37AC\"",
        ),
    ] {
        assert_eq!(etag(&List::read(document).unwrap()).unwrap(), expected);
    }
}

#[test]
fn a_newer_server_adds_what_only_it_has_and_nothing_else() {
    let (older, newer) = (List::read(NAMED).unwrap(), List::read(NEWER).unwrap());
    let members = [Member { id: "new", list: &newer }, Member { id: "old", list: &older }];
    let Some(Merged::Other(merged)) = merge(&members, "old", &[]) else { panic!("own") };
    assert_eq!(merged.groups().len(), newer.groups().len());
    assert!(merged.to_json().unwrap().len() >= NEWER.len());
    let own = merge(&members[1..], "old", &[]);
    assert_eq!(own, Some(Merged::Own));
}

#[test]
fn what_only_some_have_is_united() {
    check(&["g v1=x", "h v1=y"], "g v1=x; h v1=y");
    check(&["g v1=x", "g v2=x v1=x,y"], "g v2=x v1=x,y");
    check(&["g v1=x:get", "g v1=x:list+create"], "g v1=x:create+get+list");
    check(&["g v1=x/s:get", "g v1=x/s:put/a:get"], "g v1=x/a:get/s:put");
}

#[test]
fn the_first_server_decides_on_freshness() {
    check(&["g v1!=x", "g v1=x,y"], "g v1!=x,y");
}

#[test]
fn own_document_when_names_order_and_contents_are_the_same() {
    check_as(&["g v1=x", "g v1=x"], "b", &[], None);
    // Freshness does not count, the order does.
    check_as(&["g v1!=x", "g v1=x"], "b", &[], None);
    check_as(&["g v1=x,y", "g v1=y,x"], "b", &[], Some("g v1=x,y"));
}

#[test]
fn the_first_complete_order_wins_and_a_contradiction_ends_in_byte_order() {
    check(&["g v1=b,a", "g v1=a,b"], "g v1=b,a");
    check(
        &["z v1=x; a v1=x; b v1=x", "a v1=x; b v1=x; c v1=x; z v1=x"],
        "a v1=x; b v1=x; c v1=x; z v1=x",
    );
    check(&["z v1=x; a v1=x; p v1=x", "a v1=x; z v1=x; q v1=x"], "a v1=x; p v1=x; q v1=x; z v1=x");
}

#[test]
fn what_etcd_holds_is_left_out_of_peers_only() {
    let lists = ["g v1=x", "g v1=x,ghost; h v1=y"];
    check_as(&lists, "a", &[("g", "v1")], Some("g v1=x; h v1=y"));
    check_as(&lists, "b", &[("g", "v1")], Some("g v1=x,ghost; h v1=y"));
}

#[test]
fn an_excluded_version_without_resources_stays_unless_another_goes() {
    let lists = ["g v1=x", "g v1=x v2; h v1=y"];
    check_as(&lists, "a", &[("g", "v2")], Some("g v1=x v2; h v1=y"));
    check_as(&lists, "a", &[("g", "v2"), ("h", "v1")], None);
}

#[test]
fn a_document_that_is_none_is_refused() {
    for bad in
        ["", "{}", r#"{"kind":"APIGroupList"}"#, r#"{"kind":"APIGroupDiscoveryList","items":[1]}"#]
    {
        assert!(List::read(bad.as_bytes()).is_err(), "{bad}");
    }
}
