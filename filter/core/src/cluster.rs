//! What is known of each server's aggregated discovery -> the document that answers for the cluster.
//!
//! `merge` merges lists as a kube-apiserver does. Here is decided what goes into it and what comes out:
//! a server that cannot answer just now keeps its place with what it listed, but what etcd no longer
//! has is left out; a group-version is `Stale` only when no answering server has anything of it; and a
//! server whose own document is the merged one needs no other. Lists are merged in the byte order of
//! the servers' names, so that every worker, and every Peerway, comes to the same bytes.

mod plain;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;

use crate::discovery::{DiscoveryError, Root};
use crate::merge::{Group, List, Member, Merged, Resource, Version, etag, merge};
use crate::request::Form;
use crate::servers::ServerSet;
use crate::serving_map::{Page, PageKey, Rows, Standing, page_key};
use crate::snapshot::{SnapshotError, checksum, opened, sealed};
use crate::sorted;
use plain::{Listed, Plain};

/// What one server last answered for one root.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its name, which is its place in the merge.
    pub name: &'a str,
    /// How the map shows it.
    pub standing: Standing,
    /// The document; empty when it has none in this form.
    pub body: &'a [u8],
}

/// Who answers for the cluster.
enum Whole {
    /// Any server that was read: they say the same.
    Any,
    /// What cannot be merged, since a server has no document in this form.
    Unknown,
    /// The merged document, which is also what these servers say themselves; and the plain ones.
    Document(ServerSet, MergedDocument, Vec<Plain>),
}

/// A merged document, as it lies in shared data.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MergedDocument {
    /// `ETag`, quotes included; empty for a form that has none.
    #[prost(string, tag = "1")]
    pub etag: String,
    /// The document in JSON, as a server writes it.
    #[prost(bytes = "bytes", tag = "2")]
    pub body: Bytes,
}

/// Raised with every change of the message that an older worker would misread.
const FORMAT: u8 = 1;

impl MergedDocument {
    /// For shared data.
    pub fn to_bytes(&self) -> Vec<u8> {
        sealed(FORMAT, &self.encode_to_vec())
    }

    /// What [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SnapshotError> {
        Self::decode(opened(FORMAT, bytes)?).map_err(|_| SnapshotError::Message)
    }
}

/// Has the documents of one root say in `rows` who answers for the cluster, more exactly than keys do.
/// `sources` are in configured order, `None` for a server that was never read. Returns the merged
/// documents that `rows` speak of.
pub fn settle(
    root: Root,
    sources: &[Option<Source<'_>>],
    rows: &mut Rows,
) -> Result<Vec<(PageKey, MergedDocument)>, DiscoveryError> {
    let key = page_key(root.scope(), Form::Aggregated);
    let mut documents = Vec::new();
    match whole(root, sources, &rows.ghosts) {
        Ok(Whole::Any) => drop(rows.pages.remove(&key)),
        Ok(Whole::Document(own, document, plain)) => {
            let merged = Some(document.etag.clone());
            rows.pages.insert(key.clone(), Page { own, merged });
            documents.push((key, document));
            for Plain { key, own, body } in plain {
                let document = body.map(|body| MergedDocument { etag: String::new(), body });
                let merged = document.as_ref().map(|it| format!("{:x}", checksum(&it.body)));
                rows.pages.insert(key.clone(), Page { own, merged });
                documents.extend(document.map(|document| (key, document)));
            }
        }
        unmerged @ (Ok(Whole::Unknown) | Err(_)) => {
            if let Some(page) = rows.pages.get_mut(&key) {
                page.merged = None;
            }
            unmerged?;
        }
    }
    Ok(documents)
}

fn whole(
    root: Root,
    sources: &[Option<Source<'_>>],
    ghosts: &BTreeSet<String>,
) -> Result<Whole, DiscoveryError> {
    let read: Vec<_> = sources.iter().flatten().collect();
    if read.iter().any(|source| source.body.is_empty()) {
        return Ok(Whole::Unknown);
    }
    if read.windows(2).all(|pair| matches!(pair, [one, other] if one.body == other.body)) {
        return Ok(Whole::Any);
    }
    let own_lists: Vec<List<'_>> =
        read.iter().map(|source| List::read(source.body)).collect::<Result<_, _>>()?;
    let lists: Vec<List<'_>> = read
        .iter()
        .zip(&own_lists)
        .map(|(source, list)| counting(list, source.standing, ghosts))
        .collect();
    let members: Vec<_> =
        read.iter().zip(&lists).map(|(source, list)| Member { id: source.name, list }).collect();
    let Some(first) = members.iter().min_by_key(|member| member.id) else {
        return Ok(Whole::Any);
    };
    let mut merged = match merge(&members, first.id, &[]) {
        Some(Merged::Other(list)) => list,
        Some(Merged::Own) | None => first.list.clone(),
    };
    let places = sources.iter().enumerate().filter(|(_, source)| source.is_some());
    let listed: Vec<_> = places
        .zip(read.iter().zip(&lists))
        .map(|((at, _), (source, list))| Listed {
            at,
            is_confirmed: source.standing == Standing::Confirmed,
            is_there: matches!(source.standing, Standing::Confirmed | Standing::Late),
            list,
        })
        .collect();
    mark_stale(&mut merged, listed.iter().filter(|it| it.is_there).map(|it| it.list));
    let same = |list: &List<'_>| list.groups() == merged.groups();
    if own_lists.iter().all(same) {
        return Ok(Whole::Any);
    }
    let own = listed.iter().zip(&own_lists).filter(|(it, list)| it.is_confirmed && same(list));
    let own = own.map(|(it, _)| it.at).collect();
    let plain = plain::differing(root, &merged, &listed);
    let document = MergedDocument { etag: etag(&merged)?, body: merged.to_json()?.into() };
    Ok(Whole::Document(own, document, plain))
}

/// What of a server's list counts. A version without resources says no more than that there may be
/// some: of a server that does not answer it says nothing.
fn counting<'a>(list: &List<'a>, standing: Standing, ghosts: &BTreeSet<String>) -> List<'a> {
    let mut list = list.clone();
    let keeps_empty = standing == Standing::Confirmed;
    list.groups_mut().retain_mut(|group| {
        let name = group.metadata.name.clone();
        let had_versions = !group.versions().is_empty();
        let mut versions = group.versions.take();
        if let Some(versions) = &mut versions {
            versions.retain_mut(|version| {
                let was_empty = version.resources().is_empty();
                leave_out(version, &name, ghosts);
                !version.resources().is_empty() || (was_empty && keeps_empty)
            });
        }
        group.versions = versions;
        !had_versions || !group.versions().is_empty()
    });
    list
}

fn leave_out(version: &mut Version<'_>, group: &str, ghosts: &BTreeSet<String>) {
    let prefix = format!("{group}/{}/", &*version.version);
    let mut of_version = ghosts.range(prefix.clone()..);
    if !of_version.next().is_some_and(|key| key.starts_with(&prefix)) {
        return;
    }
    let is_ghost = |resource: &str, subresource: &str| {
        ghosts.contains(&format!("{prefix}{resource}/{subresource}"))
    };
    let stays = |resource: &mut Resource<'_>| {
        let name = resource.resource.clone();
        if let Some(subresources) = &mut resource.subresources {
            subresources.retain(|sub| !is_ghost(&name, &sub.subresource));
        }
        let is_made_up =
            resource.verbs.is_none() && resource.subresources.iter().flatten().next().is_none();
        !is_ghost(&name, "") && !is_made_up
    };
    if let Some(resources) = &mut version.resources {
        resources.retain_mut(stays);
    }
}

/// `Stale` means "failed to be read" to clients: they keep what they knew of the group-version, and
/// take nothing of it from this document.
fn mark_stale<'l, 'a: 'l>(merged: &mut List<'a>, answering: impl Iterator<Item = &'l List<'a>>) {
    let mut current = BTreeMap::new();
    for (gv, version) in answering.flat_map(by_name) {
        if version.freshness != STALE.into() {
            current.entry(gv).or_insert(version);
        }
    }
    for group in merged.groups_mut() {
        let name = group.metadata.name.clone();
        for version in group.versions.iter_mut().flatten() {
            version.freshness = match current.get(&(&*name, &*version.version)) {
                Some(current) => current.freshness.clone(),
                None => STALE.into(),
            };
        }
    }
}

const STALE: &str = "Stale";

type ByName<'l, 'a> = BTreeMap<(&'l str, &'l str), &'l Version<'a>>;

/// The versions of a list, by the names of group and version.
fn by_name<'l, 'a>(list: &'l List<'a>) -> ByName<'l, 'a> {
    sorted::map(versions(list).map(|(group, it)| ((group.name(), &*it.version), it)))
}

fn versions<'l, 'a>(list: &'l List<'a>) -> impl Iterator<Item = (&'l Group<'a>, &'l Version<'a>)> {
    list.groups()
        .iter()
        .flat_map(|group| group.versions().iter().map(move |version| (group, version)))
}

#[cfg(test)]
#[path = "cluster/tests.rs"]
mod tests;
