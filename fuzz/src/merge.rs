//! Aggregated documents of up to three servers, between lines of three dashes -> one.

use std::collections::BTreeSet;

use peerway_core::discovery::GroupVersion;
use peerway_core::merge::{List, Member, Merged, etag, merge};

const BETWEEN: &[u8] = b"\n---\n";

pub(crate) fn check(data: &[u8]) {
    let lists: Vec<List<'_>> =
        parts(data).into_iter().filter_map(|part| List::read(part).ok()).collect();
    lists.iter().for_each(writes_what_it_reads);
    let members: Vec<_> = ["cp-1", "cp-2", "cp-3"]
        .into_iter()
        .zip(&lists)
        .map(|(id, list)| Member { id, list })
        .collect();
    let Some(first) = lists.first() else { return };
    assert_eq!(merge(&members, "nobody", &[]), None);
    let merged = merge(&members, "cp-1", &[]);
    let backwards: Vec<_> = members.iter().rev().copied().collect();
    assert_eq!(merge(&backwards, "cp-1", &[]), merged, "the order of members says nothing");
    let shown = match &merged {
        Some(Merged::Own) => first,
        Some(Merged::Other(list)) => list,
        None => unreachable!("cp-1 is a member"),
    };
    writes_what_it_reads(shown);
    if lists.iter().all(has_distinct_names) {
        let all: BTreeSet<_> = lists.iter().flat_map(keys).collect();
        assert_eq!(keys(shown).collect::<BTreeSet<_>>(), all, "everything, and nothing else");
        let excluded = GroupVersion { group: "apps".to_owned(), version: "v1".to_owned() };
        if let Some(Merged::Other(list)) = merge(&members, "cp-1", &[excluded]) {
            let is_excluded =
                |key: &[&str; 3]| key.starts_with(&["apps", "v1"]) && !key[2].is_empty();
            let own: BTreeSet<_> = keys(first).collect();
            assert!(keys(&list).filter(is_excluded).all(|key| own.contains(&key)));
        }
    }
}

fn parts(data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        let (part, behind) = rest.split_at(at);
        parts.push(part);
        rest = behind.get(BETWEEN.len()..).unwrap_or_default();
    }
    parts.push(rest);
    parts.truncate(3);
    parts
}

fn writes_what_it_reads(list: &List<'_>) {
    let (Ok(json), Ok(tag)) = (list.to_json(), etag(list)) else {
        unreachable!("a list that was read cannot be written");
    };
    assert!(tag.len() == 130 && tag.bytes().all(|byte| byte.is_ascii_graphic()), "{tag}");
    let Ok(again) = List::read(&json) else {
        unreachable!("what was written cannot be read");
    };
    assert_eq!(again.to_json().ok(), Some(json.clone()));
    assert_eq!(etag(&again).ok(), Some(tag));
}

/// Group, version and resource of everything in it; a group or version without any counts too.
fn keys<'l>(list: &'l List<'_>) -> impl Iterator<Item = [&'l str; 3]> {
    list.groups().iter().flat_map(|group| {
        let name: &str = &group.metadata.name;
        let versions = group.versions().iter().flat_map(move |version| {
            let resources = version.resources().iter().map(move |resource| &*resource.resource);
            let itself = std::iter::once("");
            itself.chain(resources).map(move |resource| [name, &*version.version, resource])
        });
        std::iter::once([name, "", ""]).chain(versions)
    })
}

fn has_distinct_names(list: &List<'_>) -> bool {
    let mut known = BTreeSet::new();
    keys(list).all(|key| known.insert(key) && (!key[1].is_empty() || key[2].is_empty()))
}
