//! What all servers list -> which server to ask for what.
//!
//! Two halves of one thing: [`build`] runs in the fetcher and turns what is known of each server into
//! rows; [`ServingMap`] is what a worker holds and looks up in. `snapshot` carries the rows between
//! them. A lookup allocates nothing, and its cost does not grow with the map.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};

use bytes::Bytes;
use hashbrown::HashTable;

use crate::apis::{Apis, Origin, group_of};
use crate::request::{Api, Form, Scope};
use crate::servers::ServerSet;
use crate::sorted;

/// What the fetcher knows of a server right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Ready, and its discovery was read since it last became reachable.
    Confirmed,
    /// Ready, but not read since it became reachable; or never asked.
    Unknown,
    /// Did not say in time whether it is ready: busy, or frozen. Asked last, and still there: what it
    /// said before holds, and with its next answer it stands as before.
    Late,
    /// Not reachable, not ready, or late for too long.
    Gone,
}

impl Standing {
    /// Every standing, best first.
    pub const ALL: [Self; 4] = [Self::Confirmed, Self::Unknown, Self::Late, Self::Gone];

    /// Its name in `/map` and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Unknown => "unknown",
            Self::Late => "late",
            Self::Gone => "gone",
        }
    }

    /// Whether its document may be out of date: it is gone, or back and not read again.
    pub fn is_remembered(self) -> bool {
        matches!(self, Self::Unknown | Self::Gone)
    }
}

/// One server as it enters the map.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Its standing.
    pub standing: Standing,
    /// Its last good document, `None` if it was never read.
    pub apis: Option<&'a Apis>,
    /// When that document was last seen to hold, in milliseconds.
    pub read_ms: u64,
}

/// The map as rows, in key order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Servers whose document was read since they became reachable, and that are ready.
    pub confirmed: ServerSet,
    /// Servers that are ready, but not read.
    pub unknown: ServerSet,
    /// Servers of which no document was ever read: they may list anything.
    pub unread: ServerSet,
    /// Of the servers that are late or gone, those that answer nothing at all, or were late for too
    /// long and gave no sign of life since: frozen, or out of reach. Not known to [`build`].
    pub silent: ServerSet,
    /// `group/version/resource/subresource` and who lists it.
    pub apis: Vec<(String, ServerSet)>,
    /// `` (the cluster), `group/` or `group/version`, and the confirmed servers that list the most
    /// of it: all that any confirmed server lists, where there is such a server.
    pub scopes: Vec<(String, ServerSet)>,
    /// The discovery documents in which the servers that were read differ.
    pub pages: BTreeMap<PageKey, Page>,
    /// What lives in etcd and is only remembered: left out of `apis`, and to be left out of what is
    /// merged.
    pub ghosts: BTreeSet<String>,
}

/// Names a discovery document: see [`page_key`].
pub type PageKey = Vec<u8>;

/// A discovery document in which servers differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The confirmed servers whose own answer is what the cluster as a whole would answer.
    pub own: ServerSet,
    /// What tells the merged document from another of the same key. `None` when the documents of the
    /// servers cannot be merged, when no merged one is needed, and for a plain document when only
    /// servers have something of it that cannot be asked.
    pub merged: Option<String>,
}

/// What [`Rows::pages`] has a document under.
pub fn page_key(scope: Scope<'_>, form: Form) -> PageKey {
    key_parts(scope, form).concat()
}

fn key_parts<'a>(scope: Scope<'a>, form: Form) -> [&'a [u8]; 4] {
    let form: &[u8] = match form {
        Form::Plain => b"plain ",
        Form::Aggregated => b"aggregated ",
        Form::OpenApi => b"openapi ",
        Form::OpenApiIndex => b"index ",
        Form::OneServers => b"own ",
    };
    match scope {
        Scope::Cluster => [form, b"", b"", b""],
        Scope::Core => [form, b"", b"", b"/"],
        Scope::Named => [form, b"*", b"", b""],
        Scope::Group(group) => [form, group, b"/", b""],
        Scope::GroupVersion(group, version) => [form, group, b"/", version],
    }
}

/// Builds the rows from what is known of each server, in configured order.
pub fn build(views: &[View<'_>]) -> Rows {
    let standing = |wanted| -> ServerSet {
        let places = views.iter().enumerate();
        places.filter(|(_, view)| view.standing == wanted).map(|(at, _)| at).collect()
    };
    let unread = views.iter().enumerate().filter(|(_, view)| view.apis.is_none());
    let mut rows = Rows {
        confirmed: standing(Standing::Confirmed),
        unknown: standing(Standing::Unknown),
        unread: unread.map(|(at, _)| at).collect(),
        ..Rows::default()
    };
    let mut listed: BTreeMap<&str, (ServerSet, Origin)> = BTreeMap::new();
    for (at, view) in views.iter().enumerate() {
        for (key, origin) in view.apis.into_iter().flat_map(Apis::iter) {
            let (servers, known_origin) = listed.entry(key).or_insert((ServerSet::EMPTY, origin));
            servers.insert(at);
            if origin == Origin::BuiltIn {
                *known_origin = origin;
            }
        }
    }
    let places = views.iter().enumerate().filter(|(_, view)| view.standing.is_remembered());
    let remembered = places.map(|(at, _)| at).collect();
    let ghosts = &mut rows.ghosts;
    listed.retain(|key, (servers, origin)| {
        let is_ghost = *origin == Origin::Shared && is_ghost(*servers, remembered, views);
        if is_ghost {
            ghosts.insert((*key).to_owned());
        }
        !is_ghost
    });
    let read = (0..views.len()).filter(|at| !rows.unread.contains(*at)).collect();
    rows.pages = pages(&listed, rows.confirmed, read);
    rows.scopes = scopes(&listed, rows.confirmed);
    rows.apis = listed.into_iter().map(|(key, (servers, _))| (key.to_owned(), servers)).collect();
    rows
}

/// Whether an API that lives in etcd is only remembered: nobody lists it but servers that are gone, or
/// back and not read again, and the document of a confirmed server, read later than theirs, leaves it
/// out. A deleted CRD would otherwise come back with the memory of a server that did not see it go.
fn is_ghost(servers: ServerSet, remembered: ServerSet, views: &[View<'_>]) -> bool {
    let last_seen =
        servers.iter().filter_map(|id| views.get(id.index())).map(|view| view.read_ms).max();
    servers.without(remembered).is_empty()
        && views
            .iter()
            .any(|view| view.standing == Standing::Confirmed && Some(view.read_ms) > last_seen)
}

/// The two roots, by what is listed below them: `cluster` tells more exactly, by their documents. And
/// the index of OpenAPI, which speaks of everything.
fn pages(
    listed: &BTreeMap<&str, (ServerSet, Origin)>,
    confirmed: ServerSet,
    read: ServerSet,
) -> BTreeMap<PageKey, Page> {
    let complete = |root: Scope<'_>| {
        let is_core = root == Scope::Core;
        let of_root = listed.iter().filter(|(key, _)| group_of(key).is_empty() == is_core);
        of_root.fold(read, |complete, (_, (servers, _))| complete.and(*servers))
    };
    let (core, named) = (complete(Scope::Core), complete(Scope::Named));
    let page = |scope, form, complete: ServerSet, merged| {
        let page = Page { own: complete.and(confirmed), merged };
        (complete != read).then(|| (page_key(scope, form), page))
    };
    let pages = [
        page(Scope::Core, Form::Aggregated, core, Some(String::new())),
        page(Scope::Named, Form::Aggregated, named, Some(String::new())),
        page(Scope::Cluster, Form::OpenApiIndex, core.and(named), None),
    ];
    sorted::map(pages.into_iter().flatten())
}

/// For the cluster, each group and each group-version: who lists the most of it.
fn scopes(
    listed: &BTreeMap<&str, (ServerSet, Origin)>,
    confirmed: ServerSet,
) -> Vec<(String, ServerSet)> {
    let mut counts: BTreeMap<String, BTreeMap<usize, usize>> = BTreeMap::new();
    for (key, (servers, _)) in listed {
        let mut parts = key.split('/');
        let (group, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        for scope in [String::new(), format!("{group}/"), format!("{group}/{version}")] {
            let of_scope = counts.entry(scope).or_default();
            for id in servers.and(confirmed).iter() {
                *of_scope.entry(id.index()).or_default() += 1;
            }
        }
    }
    let fullest = |of_scope: BTreeMap<usize, usize>| -> ServerSet {
        let most = of_scope.values().copied().max();
        of_scope.into_iter().filter(|(_, count)| Some(*count) == most).map(|(at, _)| at).collect()
    };
    counts.into_iter().map(|(scope, of_scope)| (scope, fullest(of_scope))).collect()
}

/// What a worker looks up in.
#[derive(Debug)]
pub struct ServingMap {
    /// As in [`Rows::confirmed`].
    pub confirmed: ServerSet,
    /// As in [`Rows::unknown`].
    pub unknown: ServerSet,
    /// As in [`Rows::unread`].
    pub unread: ServerSet,
    /// As in [`Rows::silent`].
    pub silent: ServerSet,
    /// As in [`Rows::pages`]; few, and mostly none.
    pub pages: Vec<(PageKey, Page)>,
    apis: HashTable<Row>,
    scopes: HashTable<Row>,
}

#[derive(Debug)]
struct Row {
    key: Bytes,
    servers: ServerSet,
}

impl ServingMap {
    /// An empty map over servers of the given standing; [`Self::insert_api`] and
    /// [`Self::insert_scope`] fill it.
    pub fn with_capacity(
        [confirmed, unknown, unread]: [ServerSet; 3],
        apis: usize,
        scopes: usize,
    ) -> Self {
        let (apis, scopes) = (HashTable::with_capacity(apis), HashTable::with_capacity(scopes));
        let (silent, pages) = (ServerSet::EMPTY, Vec::new());
        Self { confirmed, unknown, unread, silent, pages, apis, scopes }
    }

    /// Adds a row of [`Rows::apis`].
    pub fn insert_api(&mut self, key: Bytes, servers: ServerSet) {
        insert(&mut self.apis, key, servers);
    }

    /// Adds a row of [`Rows::scopes`].
    pub fn insert_scope(&mut self, key: Bytes, servers: ServerSet) {
        insert(&mut self.scopes, key, servers);
    }

    /// Who lists `api`; empty when nobody does.
    pub fn listing(&self, api: &Api<'_>) -> ServerSet {
        find(&self.apis, [api.group, api.version, api.resource, api.subresource])
    }

    /// The document, if servers differ in it.
    pub fn page(&self, scope: Scope<'_>, form: Form) -> Option<&Page> {
        let key = key_parts(scope, form);
        let is_it = |found: &PageKey| found.iter().eq(key.iter().copied().flatten());
        self.pages.iter().find_map(|(found, page)| is_it(found).then_some(page))
    }

    /// Which confirmed servers list the most of `scope`; empty when none lists anything of it.
    pub fn fullest(&self, scope: Scope<'_>) -> ServerSet {
        match scope {
            Scope::Cluster | Scope::Core | Scope::Named => find(&self.scopes, [b"".as_slice()]),
            Scope::Group(group) => find(&self.scopes, [group, b""]),
            Scope::GroupVersion(group, version) => find(&self.scopes, [group, version]),
        }
    }
}

fn insert(table: &mut HashTable<Row>, key: Bytes, servers: ServerSet) {
    let hash = hash_of(key.split(is_slash));
    table.insert_unique(hash, Row { key, servers }, |row| hash_of(row.key.split(is_slash)));
}

fn find<const N: usize>(table: &HashTable<Row>, parts: [&[u8]; N]) -> ServerSet {
    let same = |row: &Row| row.key.split(is_slash).eq(parts);
    table.find(hash_of(parts), same).map_or(ServerSet::EMPTY, |row| row.servers)
}

fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

/// The seed is fixed: keys come from the servers, and a client that guesses collisions among them
/// gains nothing, since a lookup inserts nothing.
fn hash_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    for part in parts {
        hasher.write(part);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn apis(keys: &[(&str, Origin)]) -> Apis {
        keys.iter().map(|(key, origin)| ((*key).to_owned(), *origin)).collect()
    }

    fn view(standing: Standing, apis: &Apis, read_ms: u64) -> View<'_> {
        View { standing, apis: Some(apis), read_ms }
    }

    fn keys(rows: &Rows) -> Vec<&str> {
        rows.apis.iter().map(|(key, _)| key.as_str()).collect()
    }

    #[test]
    fn a_deleted_crd_does_not_come_back_with_a_server_that_was_gone_or_is() {
        let with = apis(&[("g/v1/widgets/", Origin::Shared), ("g/v2/builtin/", Origin::BuiltIn)]);
        let without = apis(&[("g/v1/other/", Origin::BuiltIn)]);
        for standing in [Standing::Gone, Standing::Unknown] {
            let rows = build(&[view(Standing::Confirmed, &without, 20), view(standing, &with, 10)]);
            assert_eq!(keys(&rows), ["g/v1/other/", "g/v2/builtin/"]);
        }
    }

    #[test]
    fn a_crd_of_a_gone_server_counts_while_nobody_newer_leaves_it_out() {
        let with = apis(&[("g/v1/widgets/", Origin::Shared)]);
        let without = apis(&[("g/v1/other/", Origin::BuiltIn)]);
        for other in [view(Standing::Confirmed, &without, 5), view(Standing::Unknown, &without, 20)]
        {
            let rows = build(&[other, view(Standing::Gone, &with, 10)]);
            assert_eq!(keys(&rows), ["g/v1/other/", "g/v1/widgets/"]);
        }
    }

    #[test]
    fn the_fullest_server_of_each_scope_is_a_confirmed_one() {
        let old = apis(&[("a/v1/x/", Origin::BuiltIn)]);
        let new = apis(&[("a/v1/x/", Origin::BuiltIn), ("b/v1/y/", Origin::BuiltIn)]);
        let rows = build(&[
            view(Standing::Confirmed, &old, 1),
            view(Standing::Confirmed, &new, 1),
            view(Standing::Unknown, &new, 1),
        ]);
        let expected: Vec<(String, ServerSet)> = [
            ("", vec![1]),
            ("a/", vec![0, 1]),
            ("a/v1", vec![0, 1]),
            ("b/", vec![1]),
            ("b/v1", vec![1]),
        ]
        .map(|(scope, servers)| (scope.to_owned(), servers.into_iter().collect()))
        .into();
        assert_eq!(rows.scopes, expected);
    }

    #[test]
    fn a_lookup_finds_exactly_its_own_key() {
        let mut map = ServingMap::with_capacity([ServerSet::EMPTY; 3], 2, 2);
        map.insert_api(Bytes::from_static(b"/v1/pods/"), ServerSet::first(1));
        map.insert_api(Bytes::from_static(b"/v1/pods/exec"), ServerSet::first(2));
        let api = |resource, subresource| Api { group: b"", version: b"v1", resource, subresource };
        assert_eq!(map.listing(&api(b"pods", b"")).len(), 1);
        assert_eq!(map.listing(&api(b"pods", b"exec")).len(), 2);
        for absent in
            [api(b"pod", b"s"), api(b"", b"pods"), api(b"pods/", b""), api(b"pods", b"exe")]
        {
            assert!(map.listing(&absent).is_empty(), "{absent:?}");
        }
    }
}
