//! Aggregated lists -> plain documents, as kube-apiserver and its aggregator write them (`APIGroupList`,
//! `APIGroup`, `APIResourceList` of `k8s.io/apimachinery`, `meta/v1`).
//!
//! An aggregated list has all that they have but for `storageVersionHash`, which is left out, and
//! addresses of servers, which only the core group's list would have.

use super::document::{Group, GroupVersionKind, List, Resource, Subresource, Version};
use super::go_json::{Object, list};

/// `/apis`.
pub fn group_list(groups: &List<'_>) -> Vec<u8> {
    document("APIGroupList", |object| {
        list(groups.groups(), object.field("groups"), |group, out| {
            let mut object = Object::begin(out);
            group_fields(group, &mut object);
            object.end();
        });
    })
}

/// `/apis/<group>`.
pub fn group(group: &Group<'_>) -> Vec<u8> {
    document("APIGroup", |object| group_fields(group, object))
}

/// `/apis/<group>/<version>` and `/api/<version>`, the latter with an empty group.
pub fn resource_list(group: &str, version: &Version<'_>) -> Vec<u8> {
    let mut json = Vec::new();
    let mut object = Object::begin(&mut json);
    object.text("kind", "APIResourceList");
    // The oldest of all lists has no version of its own.
    if !group.is_empty() {
        object.text("apiVersion", "v1");
    }
    object.text("groupVersion", &group_version(group, version));
    let of = Enclosing { group, version: &version.version };
    let mut entries = Vec::new();
    for resource in version.resources() {
        // A parent that is made up for its subresources is not served itself.
        if resource.verbs.is_some() {
            entries.push(Entry::Resource(resource));
        }
        let subresources = resource.subresources.iter().flatten();
        entries.extend(subresources.map(|sub| Entry::Subresource(resource, sub)));
    }
    list(&entries, object.field("resources"), |entry, out| entry.write(&of, out));
    object.end();
    json.push(b'\n');
    json
}

fn document(kind: &str, fields: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut json = Vec::new();
    let mut object = Object::begin(&mut json);
    object.text("kind", kind);
    object.text("apiVersion", "v1");
    fields(&mut object);
    object.end();
    json.push(b'\n');
    json
}

/// The first version is the preferred one, as clients of the aggregated form take it.
fn group_fields(group: &Group<'_>, object: &mut Object<'_>) {
    let write = |version: &Version<'_>, out: &mut Vec<u8>| {
        let mut object = Object::begin(out);
        object.text("groupVersion", &group_version(group.name(), version));
        object.text("version", &version.version);
        object.end();
    };
    object.text("name", group.name());
    list(group.versions(), object.field("versions"), write);
    if let Some(preferred) = group.versions().first() {
        write(preferred, object.field("preferredVersion"));
    }
}

fn group_version(group: &str, version: &Version<'_>) -> String {
    match group {
        "" => version.version.to_string(),
        group => format!("{group}/{}", &*version.version),
    }
}

/// What a list speaks of: a kind of another group or version is spelled out.
struct Enclosing<'e> {
    group: &'e str,
    version: &'e str,
}

enum Entry<'e, 'a> {
    Resource(&'e Resource<'a>),
    Subresource(&'e Resource<'a>, &'e Subresource<'a>),
}

impl Entry<'_, '_> {
    fn write(&self, of: &Enclosing<'_>, out: &mut Vec<u8>) {
        let (parent, name, singular, kind, verbs) = match self {
            Self::Resource(it) => {
                (it, it.resource.to_string(), &*it.singular_resource, &it.response_kind, &it.verbs)
            }
            Self::Subresource(parent, it) => {
                let name = format!("{}/{}", &*parent.resource, &*it.subresource);
                (parent, name, "", &it.response_kind, &it.verbs)
            }
        };
        let mut object = Object::begin(out);
        object.text("name", &name);
        object.text("singularName", singular);
        let namespaced: &[u8] = if *parent.scope == *"Namespaced" { b"true" } else { b"false" };
        object.field("namespaced").extend(namespaced);
        if let Some(kind) = kind {
            kind_fields(kind, of, &mut object);
        }
        object.texts("verbs", Some(verbs.as_deref().unwrap_or_default()));
        if let Self::Resource(it) = self {
            object.texts_if_any("shortNames", it.short_names.as_deref());
            object.texts_if_any("categories", it.categories.as_deref());
        }
        object.end();
    }
}

fn kind_fields(kind: &GroupVersionKind<'_>, of: &Enclosing<'_>, object: &mut Object<'_>) {
    // Empty names are those of the list.
    let is_foreign =
        !kind.version.is_empty() && (*kind.group != *of.group || *kind.version != *of.version);
    if is_foreign {
        object.text_if_any("group", &kind.group);
        object.text("version", &kind.version);
    }
    object.text("kind", &kind.kind);
}
