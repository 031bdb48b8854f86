//! What one server lists: a sorted set of APIs, each under the key by which a request is looked up.
//!
//! A key is `group/version/resource/subresource`, always with three slashes: the core group's name
//! and the subresource of a resource itself are empty. No part can hold a slash, since a path is
//! split at slashes after it was decoded; a name with one is refused, as no request can reach it.

use std::collections::BTreeMap;

use crate::discovery::GroupVersion;
use crate::sorted;

/// Most APIs that one server may list. Bounds memory and time whatever a server sends; a cluster
/// with 5,000 CRDs lists about 10,000.
pub const MAX_APIS: usize = 100_000;

/// Where an API comes from, as far as its discovery entry shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Compiled into the server, or not known to be otherwise.
    BuiltIn,
    /// Defined by an object in etcd (a CRD, or the APIService of an aggregated API), so that every
    /// server of the cluster knows it.
    Shared,
}

/// A set of APIs with their origins, in key order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Apis(BTreeMap<String, Origin>);

/// Why an API was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A part is empty that may not be, or holds a slash.
    Name,
    /// [`MAX_APIS`] are there already.
    TooMany,
}

impl Apis {
    /// Adds `resource` (or, with a subresource, that) of a group-version. Adding twice is harmless.
    pub fn add(
        &mut self,
        [group, version, resource, subresource]: [&str; 4],
        origin: Origin,
    ) -> Result<(), Refused> {
        let parts = [group, version, resource, subresource];
        if version.is_empty() || resource.is_empty() || parts.iter().any(|part| part.contains('/'))
        {
            return Err(Refused::Name);
        }
        if self.0.len() >= MAX_APIS {
            return Err(Refused::TooMany);
        }
        self.0.insert(parts.join("/"), origin);
        Ok(())
    }

    /// Number of APIs, subresources included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `key` is listed.
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// All keys with their origins, in byte order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Origin)> {
        self.0.iter().map(|(key, origin)| (key.as_str(), *origin))
    }

    /// Takes what is listed of these group-versions for defined by objects in etcd. Returns whether
    /// that was new of any.
    pub fn share(&mut self, group_versions: &[GroupVersion]) -> bool {
        let mut is_new = false;
        for GroupVersion { group, version } in group_versions {
            let prefix = format!("{group}/{version}/");
            let of_it = self.0.range_mut(prefix.clone()..);
            for (_, origin) in of_it.take_while(|(key, _)| key.starts_with(&prefix)) {
                is_new |= *origin != Origin::Shared;
                *origin = Origin::Shared;
            }
        }
        is_new
    }

    /// Takes over from `old` what belongs to a group for which `keeps` holds.
    pub fn keep_from(&mut self, old: &Apis, keeps: impl Fn(&str) -> bool) {
        for (key, origin) in old.iter().filter(|(key, _)| keeps(group_of(key))) {
            if self.0.len() < MAX_APIS {
                self.0.entry(key.to_owned()).or_insert(origin);
            }
        }
    }
}

/// From keys that were in an [`Apis`] before; malformed ones are left out.
impl FromIterator<(String, Origin)> for Apis {
    fn from_iter<I: IntoIterator<Item = (String, Origin)>>(keys: I) -> Self {
        Self(sorted::map(keys.into_iter().filter(|(key, _)| key.matches('/').count() == 3)))
    }
}

/// The group of a key, empty for the core group.
pub fn group_of(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn a_name_that_no_path_can_hold_is_refused() {
        let mut apis = Apis::default();
        for parts in [
            ["", "", "pods", ""],
            ["", "v1", "", ""],
            ["a/b", "v1", "x", ""],
            ["", "v1", "x", "y/z"],
        ] {
            assert_eq!(apis.add(parts, Origin::BuiltIn), Err(Refused::Name), "{parts:?}");
        }
        assert!(apis.is_empty());
    }

    #[test]
    fn keeps_only_the_groups_that_were_asked_for() {
        let mut old = Apis::default();
        old.add(["apps", "v1", "deployments", ""], Origin::BuiltIn).unwrap();
        old.add(["batch", "v1", "jobs", ""], Origin::BuiltIn).unwrap();
        let mut new = Apis::default();
        new.keep_from(&old, |group| group == "batch");
        assert!(new.contains("batch/v1/jobs/") && new.len() == 1);
    }

    #[test]
    fn exactly_what_is_listed_of_a_group_version_is_shared() {
        let keys = ["g/v1/a/", "g/v1/a/status", "g/v10/a/", "gg/v1/a/"];
        let mut apis: Apis =
            keys.map(|key| (key.to_owned(), Origin::BuiltIn)).into_iter().collect();
        let gv = [GroupVersion { group: "g".to_owned(), version: "v1".to_owned() }];
        assert!(apis.share(&gv) && !apis.share(&gv));
        let shared = apis.iter().filter(|(_, origin)| *origin == Origin::Shared);
        assert_eq!(shared.map(|(key, _)| key).collect::<Vec<_>>(), ["g/v1/a/", "g/v1/a/status"]);
    }
}
