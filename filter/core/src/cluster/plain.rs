//! The merged list, and what each server lists -> the plain documents in which servers differ.
//!
//! What a server says at `/apis` and `/apis/<group>` is made from APIService objects, which all servers
//! share and each changes when it starts: it may name what the server lacks, and for a moment lack what
//! others serve. While servers differ in names, those two are always made from the merged list.

use bytes::Bytes;

use super::{by_name, versions};
use crate::discovery::Root;
use crate::merge::{Group, List, plain};
use crate::request::{Form, Scope};
use crate::servers::ServerSet;
use crate::serving_map::{PageKey, page_key};

/// What counts of one server's list.
pub(super) struct Listed<'l, 'a> {
    pub(super) at: usize,
    /// Whether it may be asked for its own document.
    pub(super) is_confirmed: bool,
    /// Whether it can answer requests.
    pub(super) is_there: bool,
    pub(super) list: &'l List<'a>,
}

/// A plain document in which servers differ.
pub(super) struct Plain {
    pub(super) key: PageKey,
    /// Who has all of it.
    pub(super) own: ServerSet,
    /// The merged document, where nobody has all of it. None for what only servers have that cannot
    /// be asked: whoever reads it as served would meet errors, as absent would be wrong.
    pub(super) body: Option<Bytes>,
}

pub(super) fn differing(root: Root, merged: &List<'_>, listed: &[Listed<'_, '_>]) -> Vec<Plain> {
    let mut pages = Vec::new();
    if root == Root::Named && listed.iter().any(|it| !same_names(it.list.groups(), merged.groups()))
    {
        pages.push(Plain::merged(Scope::Named, plain::group_list(merged)));
        for group in merged.groups() {
            let is_same = |it: &Listed<'_, '_>| {
                let mut own = it.list.groups().iter().filter(|own| own.name() == group.name());
                own.next().is_some_and(|own| same_versions(own, group))
            };
            if !listed.iter().all(is_same) {
                let scope = Scope::Group(group.name().as_bytes());
                pages.push(Plain::merged(scope, plain::group(group)));
            }
        }
    }
    let known: Vec<_> = listed.iter().map(|it| by_name(it.list)).collect();
    for (group, version) in versions(merged) {
        let (mut own, mut is_there, mut differs) = (ServerSet::EMPTY, false, false);
        for (it, known) in listed.iter().zip(&known) {
            let found = known.get(&(group.name(), &*version.version));
            let resources = found.map(|found| found.resources()).unwrap_or_default();
            is_there |= it.is_there && !resources.is_empty();
            if found.is_none() || resources != version.resources() {
                differs = true;
            } else if it.is_confirmed {
                own.insert(it.at);
            }
        }
        if differs {
            let scope = Scope::GroupVersion(group.name().as_bytes(), version.version.as_bytes());
            let is_merged = own.is_empty() && is_there;
            let body = is_merged.then(|| plain::resource_list(group.name(), version).into());
            pages.push(Plain { key: page_key(scope, Form::Plain), own, body });
        }
    }
    pages
}

impl Plain {
    fn merged(scope: Scope<'_>, body: Vec<u8>) -> Self {
        let key = page_key(scope, Form::Plain);
        Self { key, own: ServerSet::EMPTY, body: Some(body.into()) }
    }
}

fn same_names(one: &[Group<'_>], other: &[Group<'_>]) -> bool {
    let same = |(one, other): (&Group<'_>, &Group<'_>)| {
        one.name() == other.name() && same_versions(one, other)
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

fn same_versions(one: &Group<'_>, other: &Group<'_>) -> bool {
    let (one, other) = (one.versions(), other.versions());
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| one.version == other.version)
}
