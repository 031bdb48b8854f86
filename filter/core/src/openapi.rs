//! `/openapi/v3` of all servers -> one index, and one document of a group-version that no server has
//! whole.
//!
//! A server's index names each document with the hash of its contents (`kube-openapi`, `handler3`), and
//! clients keep documents by that hash. So what counts is that an entry of a merged index is the one of
//! the server that a request for the document goes to: see [`chosen`].

mod answer;
mod reader;
mod united;

use crate::discovery::DiscoveryError;
use crate::json::{Json, Needed};
use crate::merge::go_json::Object;
use crate::request::{Scope, Segments};
use crate::servers::{ServerId, ServerSet};

pub use answer::{Asked, answer, makes_way};
pub use reader::{Question, REREAD_MS, Reader};

/// Where an index lies, and all documents below it.
pub const ROOT: &str = "/openapi/v3";

/// Whose document of a scope is used: of the confirmed servers that have the most of it, the first one
/// that has the most of the cluster, so that an index and what it names come from the same server as
/// far as can be.
pub fn chosen(of_scope: ServerSet, of_cluster: ServerSet) -> Option<ServerId> {
    let base = of_cluster.iter().next();
    base.filter(|base| of_scope.contains(base.index())).or_else(|| of_scope.iter().next())
}

/// One index: the path of each document below [`ROOT`], in byte order, and its URL, mostly with the
/// hash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Index(Vec<(String, String)>);

impl Index {
    fn read(body: &[u8]) -> Result<Self, DiscoveryError> {
        let mut document = serde_json::from_slice::<Json<'_>>(body)?.object()?;
        let Some(paths) = document.take("paths").optional_object()? else {
            return Err(Needed("an object of paths").into());
        };
        let mut index = Self::default();
        for (path, entry) in paths {
            index.set(&path, &entry.object()?.take("serverRelativeURL").text()?);
        }
        Ok(index)
    }

    fn url(&self, path: &str) -> Option<&str> {
        let at = self.place(path).ok()?;
        self.0.get(at).map(|(_, url)| url.as_str())
    }

    fn set(&mut self, path: &str, url: &str) {
        match self.place(path) {
            Ok(at) => {
                if let Some((_, known)) = self.0.get_mut(at) {
                    url.clone_into(known);
                }
            }
            Err(at) => self.0.insert(at, (path.to_owned(), url.to_owned())),
        }
    }

    fn place(&self, path: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(path))
    }

    /// As a server writes it.
    fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        let mut document = Object::begin(&mut json);
        let mut paths = Object::begin(document.field("paths"));
        for (path, url) in &self.0 {
            let mut entry = Object::begin(paths.field(path));
            entry.text("serverRelativeURL", url);
            entry.end();
        }
        paths.end();
        document.end();
        json
    }
}

/// One index of all documents. `answering` says whose document a request for one gets; where that
/// server does not have it, it is the first's that does.
fn merged(indexes: &[Option<Index>], answering: impl Fn(Scope<'_>) -> Option<usize>) -> Index {
    let mut merged = Index::default();
    for (path, first) in indexes.iter().flatten().flat_map(|index| &index.0) {
        if merged.url(path).is_none() {
            let chosen = answering(scope_of(path));
            let chosen = chosen.and_then(|at| indexes.get(at)?.as_ref()?.url(path));
            merged.set(path, chosen.unwrap_or(first));
        }
    }
    merged
}

/// What a document below [`ROOT`] speaks of.
fn scope_of(path: &str) -> Scope<'_> {
    Scope::of_document(Segments::of(path.as_bytes()))
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn an_entry_of_the_merged_index_is_the_answering_servers() {
        let index = |entries: &[(&str, &str)]| {
            let mut index = Index::default();
            for (path, hash) in entries {
                index.set(path, &format!("/openapi/v3/{path}?hash={hash}"));
            }
            index
        };
        let first = index(&[("api/v1", "A"), ("apis/g/v1", "A"), ("version", "A")]);
        let other = index(&[("api/v1", "B"), ("apis/g/v1", "B"), ("apis/h/v1", "B")]);
        let answering = |scope: Scope<'_>| match scope {
            Scope::GroupVersion(b"g", b"v1") => Some(2),
            _ => Some(0),
        };
        let merged = merged(&[Some(first), None, Some(other)], answering);
        let expected = [("api/v1", "A"), ("apis/g/v1", "B"), ("apis/h/v1", "B"), ("version", "A")];
        assert_eq!(merged, index(&expected));
        assert_eq!(Index::read(&merged.to_json()), Ok(merged));
    }

    #[test]
    fn what_is_no_index_is_an_error() {
        for odd in ["", "[]", "{}", r#"{"paths":[]}"#, r#"{"paths":{"a":1}}"#, "{\"paths\""] {
            assert!(Index::read(odd.as_bytes()).is_err(), "{odd}");
        }
    }

    /// A real server's bytes come out as they went in.
    #[test]
    fn an_index_is_written_as_a_server_does() {
        let body = include_bytes!("../testdata/discovery/1.37.2/openapi-v3.json");
        let index = Index::read(body).unwrap();
        assert_eq!(index.0.len(), 49);
        assert_eq!(index.to_json(), body.trim_ascii_end());
    }

    #[test]
    fn the_first_server_that_has_the_most_of_all_is_chosen_where_it_can_be() {
        let set = |servers: &[usize]| servers.iter().copied().collect();
        for (of_scope, of_cluster, expected) in [
            (set(&[0, 1, 2]), set(&[1, 2]), Some(1)),
            (set(&[0, 2]), set(&[1, 2]), Some(0)),
            (set(&[]), set(&[1]), None),
        ] {
            let chosen = chosen(of_scope, of_cluster).map(ServerId::index);
            assert_eq!(chosen, expected, "{of_scope:?} {of_cluster:?}");
        }
    }
}
