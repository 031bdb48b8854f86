//! The aggregated documents of all servers -> one, as kube-apiserver's peer-aggregated discovery has it.
//!
//! Mirrors `mergeResources` of apiserver (`pkg/endpoints/discovery/aggregated`, the same in 1.35 to
//! 1.37) and `GVExclusionManager` (`pkg/util/peerproxy`): whoever merges the same lists gets the same
//! bytes and the same `ETag`. The documents are in `merge::document`, the order of names in
//! `merge::order`. Knows nothing of servers beyond their names: every list counts as it is.

mod document;
pub(crate) mod go_json;
mod order;
pub mod plain;
mod text;

use std::borrow::Cow;
use std::collections::BTreeMap;

use sha2::{Digest, Sha512};

use crate::discovery::{DiscoveryError, GroupVersion};
use crate::sorted;
use document::Named;
pub use document::{Group, GroupVersionKind, List, Metadata, Resource, Subresource, Version};
pub use text::Text;

/// One server's list.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// What stands for the server's id: lists are merged in the byte order of these.
    pub id: &'a str,
    /// Its document.
    pub list: &'a List<'a>,
}

/// What the answering server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged<'a> {
    /// Its own document, since nothing differs in names, order or contents.
    Own,
    /// Another one.
    Other(List<'a>),
}

/// Merges the lists of all members as the one that is called `local` does when it is asked. Of the
/// others, what `excluded` names is left out. `None` when no member is called `local`; of members
/// with the same id, one counts.
pub fn merge<'a>(
    members: &[Member<'a>],
    local: &str,
    excluded: &[GroupVersion],
) -> Option<Merged<'a>> {
    let by_id = sorted::map(members.iter().map(|member| (member.id, member.list)));
    let own = by_id.get(local)?.groups();
    if by_id.len() == 1 {
        return Some(Merged::Own);
    }
    let lists: Vec<Cow<'a, [Group<'a>]>> = by_id
        .iter()
        .map(|(id, list)| match *id == local {
            true => Cow::Borrowed(list.groups()),
            false => without(list.groups(), excluded),
        })
        .collect();
    let own_names = names(own);
    let all_names: Vec<_> = lists.iter().map(|groups| names(groups)).collect();
    let mut merged: BTreeMap<&str, Group<'a>> = BTreeMap::new();
    let mut changed = false;
    for group in lists.iter().flat_map(|groups| groups.iter()) {
        match merged.get_mut(group.name()) {
            Some(known) => changed |= merge_group(known, group),
            None => drop(merged.insert(group.name(), group.clone())),
        }
    }
    let same_names = all_names.iter().all(|names| *names == own_names);
    let order = match (changed, same_names) {
        (false, true) => return Some(Merged::Own),
        (true, true) => own_names,
        (_, false) => order::merged(&all_names),
    };
    let groups = order.into_iter().filter_map(|name| merged.remove(name)).collect();
    Some(Merged::Other(List::of(groups)))
}

/// `ETag` of a list, quotes included: the hash of its JSON without kind and API version.
pub fn etag(list: &List<'_>) -> Result<String, DiscoveryError> {
    let hash = Sha512::digest(list.to_untyped_json());
    let hex: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(format!("\"{hex}\""))
}

/// What is left of a peer's list. A list that holds no resource of an excluded version is left as
/// it is, also an excluded version without resources in it.
fn without<'a>(groups: &'a [Group<'a>], excluded: &[GroupVersion]) -> Cow<'a, [Group<'a>]> {
    let is_excluded = |group: &Group<'_>, version: &Version<'_>| {
        excluded.iter().any(|gv| gv.group == group.name() && gv.version == version.name())
    };
    let has_resources = |group: &Group<'_>| {
        let mut full = group.versions().iter().filter(|version| !version.resources().is_empty());
        full.any(|version| is_excluded(group, version))
    };
    if !groups.iter().any(has_resources) {
        return Cow::Borrowed(groups);
    }
    let mut rest = groups.to_vec();
    rest.retain_mut(|group| {
        let mut versions = group.versions.take().unwrap_or_default();
        versions.retain(|version| !is_excluded(group, version));
        let is_left = !versions.is_empty();
        group.versions = Some(versions);
        is_left
    });
    Cow::Owned(rest)
}

/// Merges `other` into `group`; whether anything was different.
fn merge_group<'a>(group: &mut Group<'a>, other: &Group<'a>) -> bool {
    merge_named(&mut group.versions, other.versions.as_deref(), merge_version)
}

fn merge_version<'a>(version: &mut Version<'a>, other: &Version<'a>) -> bool {
    merge_named(&mut version.resources, other.resources.as_deref(), merge_resource)
}

fn merge_resource<'a>(resource: &mut Resource<'a>, other: &Resource<'a>) -> bool {
    if resource == other {
        return false;
    }
    let verbs = resource.verbs.iter().chain(&other.verbs).flatten();
    resource.verbs = non_empty(sorted::map(verbs.map(|verb| (verb.clone(), verb.clone()))));
    // Of a subresource that both have, the last one counts whole.
    let subresources = resource.subresources.iter().chain(&other.subresources).flatten();
    resource.subresources =
        non_empty(sorted::map(subresources.map(|sub| (sub.subresource.clone(), sub.clone()))));
    true
}

fn non_empty<'a, T>(sorted: BTreeMap<Text<'a>, T>) -> Option<Vec<T>> {
    (!sorted.is_empty()).then(|| sorted.into_values().collect())
}

fn names<T: Named>(items: &[T]) -> Vec<&str> {
    items.iter().map(Named::name).collect()
}

/// Merges `others` into `items` by name; whether anything was different, the order included.
fn merge_named<T: Named + Clone>(
    items: &mut Option<Vec<T>>,
    others: Option<&[T]>,
    merge: impl Fn(&mut T, &T) -> bool,
) -> bool {
    let others = others.unwrap_or_default();
    let Plan { places, order, same_names } = Plan::of(items.as_deref().unwrap_or_default(), others);
    let mut merged = items.take().unwrap_or_default();
    let mut changed = false;
    for (place, other) in places.into_iter().zip(others) {
        match merged.get_mut(place) {
            Some(item) => changed |= merge(item, other),
            None => merged.push(other.clone()),
        }
    }
    if same_names && !changed {
        *items = Some(merged);
        return false;
    }
    let mut merged: Vec<_> = merged.into_iter().map(Some).collect();
    let in_order = order.into_iter().filter_map(|place| merged.get_mut(place)?.take());
    *items = Some(in_order.collect());
    true
}

/// Where everything goes when two lists are merged, as places in the first with what only the
/// second has behind it.
struct Plan {
    /// Of each of the second list's.
    places: Vec<usize>,
    order: Vec<usize>,
    same_names: bool,
}

impl Plan {
    fn of<T: Named>(items: &[T], others: &[T]) -> Self {
        let (first, second) = (names(items), names(others));
        let same_names = first == second;
        let mut known = sorted::map(first.iter().enumerate().map(|(at, name)| (*name, at)));
        let mut next = first.len();
        let places = second
            .iter()
            .map(|name| {
                *known.entry(name).or_insert_with(|| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        let names = if same_names { first } else { order::merged(&[first, second]) };
        let order = names.iter().filter_map(|name| known.get(name).copied()).collect();
        Self { places, order, same_names }
    }
}

#[cfg(test)]
#[path = "merge/tests.rs"]
mod tests;
