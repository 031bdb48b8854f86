//! The wire form of `apidiscovery.k8s.io` v2 and v2beta1 (`APIGroupDiscoveryList`).

use std::{borrow::Cow, collections::BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{DiscoveryError, Excerpt, Reading, Root, note, push};
use crate::apis::{Apis, Origin};

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Group<'a> {
    #[serde(borrow, default)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    versions: Vec<Version<'a>>,
}

#[derive(Deserialize, Default)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Version<'a> {
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow, default)]
    resources: Vec<Resource<'a>>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    resource: Cow<'a, str>,
    #[serde(borrow, rename = "responseKind", default)]
    response_kind: Option<Kind<'a>>,
    #[serde(borrow, default)]
    verbs: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default)]
    subresources: Option<Vec<Subresource<'a>>>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default)]
    group: Cow<'a, str>,
    #[serde(borrow, default)]
    version: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Subresource<'a> {
    #[serde(borrow)]
    subresource: Cow<'a, str>,
}

pub(super) fn read(root: Root, body: &[u8], old: &Apis) -> Result<Reading, DiscoveryError> {
    let list: List<'_> = serde_json::from_slice(body)?;
    if list.kind != "APIGroupDiscoveryList" {
        return Err(DiscoveryError::Kind(Excerpt::of(list.kind.as_bytes())));
    }
    let mut reading = Reading::default();
    let mut groups = BTreeSet::new();
    for (at, item) in list.items.iter().enumerate() {
        match serde_json::from_str::<Group<'_>>(item.get()) {
            Ok(group) if group.metadata.name.is_empty() == (root == Root::Core) => {
                add_group(&group, &mut reading)?;
                groups.insert(group.metadata.name.into_owned());
            }
            Ok(group) => {
                let name = Excerpt::of(group.metadata.name.as_bytes());
                push(
                    &mut reading.problems,
                    format!("items[{at}]: group name {name} in {}", root.path()),
                );
            }
            Err(error) => push(&mut reading.problems, format!("items[{at}]: {error}")),
        }
    }
    if !reading.problems.is_empty() {
        reading.apis.keep_from(old, |group| !groups.contains(group));
    }
    if reading.apis.is_empty() {
        return Err(DiscoveryError::Empty);
    }
    Ok(reading)
}

fn add_group(group: &Group<'_>, reading: &mut Reading) -> Result<(), DiscoveryError> {
    let name = group.metadata.name.as_ref();
    for version in &group.versions {
        for resource in &version.resources {
            let origin = resource.origin(name, &version.version);
            // A parent made up for an orphan subresource has no verbs: it is not served itself.
            let itself = resource.verbs.is_some().then_some("");
            let below = resource.subresources.iter().flatten();
            for subresource in itself.into_iter().chain(below.map(|sub| sub.subresource.as_ref())) {
                let key = [name, &version.version, &resource.resource, subresource];
                if let Err(refused) = reading.apis.add(key, origin) {
                    note(refused, &key.join("/"), &mut reading.problems)?;
                }
            }
        }
    }
    Ok(())
}

impl Resource<'_> {
    /// The CRD server spells out its own group and version in `responseKind` and writes its verbs
    /// unsorted, beginning with `delete`; built-in resources do neither (seen on 1.33 to 1.37).
    fn origin(&self, group: &str, version: &str) -> Origin {
        let spelled_out = self.response_kind.as_ref().is_some_and(|kind| {
            !group.is_empty() && kind.group == group && kind.version == version
        });
        let verbs = self.verbs.as_deref().unwrap_or_default();
        let unsorted = verbs.first().is_some_and(|first| first == "delete") && !verbs.is_sorted();
        if spelled_out && unsorted { Origin::Shared } else { Origin::BuiltIn }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    const OLD: &[u8] = include_bytes!("../../testdata/discovery/1.36.3/apis.json");
    const CORE: &[u8] = include_bytes!("../../testdata/discovery/1.36.3/api.json");

    fn named(body: &str, old: &Apis) -> Result<Reading, DiscoveryError> {
        read(Root::Named, body.as_bytes(), old)
    }

    #[test]
    fn a_real_document_is_read_whole() {
        let reading = read(Root::Named, OLD, &Apis::default()).unwrap();
        assert_eq!(reading.problems, Vec::<String>::new());
        assert!(reading.apis.contains("apps/v1/deployments/"));
        assert!(reading.apis.contains("apps/v1/deployments/scale"));
        assert!(!reading.apis.contains("storage.k8s.io/v1/csinodes/status"), "new in 1.37");
        assert!(reading.apis.iter().all(|(_, origin)| origin == Origin::BuiltIn));
        let core = read(Root::Core, CORE, &Apis::default()).unwrap();
        assert!(core.apis.contains("/v1/pods/exec"));
    }

    #[test]
    fn every_cut_of_a_document_is_an_error() {
        for end in (0..OLD.len()).step_by(97) {
            assert!(read(Root::Named, &OLD[..end], &Apis::default()).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_crd_is_told_from_a_built_in_resource() {
        let crd = r#"{"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":"example.com"},"versions":[{"version":"v1",
            "resources":[{"resource":"widgets","responseKind":{"group":"example.com","version":"v1","kind":"Widget"},
            "verbs":["delete","deletecollection","get","list","patch","create","update","watch"],
            "subresources":[{"subresource":"status"}]}]}]}]}"#;
        let reading = named(crd, &Apis::default()).unwrap();
        let origins: Vec<_> = reading.apis.iter().collect();
        assert_eq!(
            origins,
            [
                ("example.com/v1/widgets/", Origin::Shared),
                ("example.com/v1/widgets/status", Origin::Shared)
            ]
        );
    }

    #[test]
    fn a_bad_group_hides_no_other_and_loses_nothing_that_was_known() {
        let old = read(Root::Named, OLD, &Apis::default()).unwrap().apis;
        let mixed = r#"{"kind":"APIGroupDiscoveryList","items":[
            {"metadata":{"name":"batch"},"versions":[{"version":"v1","resources":[{"resource":"jobs","verbs":[]}]}]},
            {"metadata":{"name":7}},
            {"versions":[]}]}"#;
        let reading = named(mixed, &old).unwrap();
        assert_eq!(reading.problems.len(), 2, "{:?}", reading.problems);
        assert!(reading.apis.contains("batch/v1/jobs/"));
        assert!(!reading.apis.contains("batch/v1/cronjobs/"), "its own group was readable");
        assert!(reading.apis.contains("apps/v1/deployments/"));
    }

    #[test]
    fn an_orphan_subresource_does_not_make_its_parent_served() {
        let orphan = r#"{"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":"g"},"versions":[{"version":"v1",
            "resources":[{"resource":"r","verbs":null,"subresources":[{"subresource":"s"}]}]}]}]}"#;
        let apis = named(orphan, &Apis::default()).unwrap().apis;
        assert!(apis.contains("g/v1/r/s") && !apis.contains("g/v1/r/"));
    }

    #[test]
    fn a_document_without_apis_is_not_believed() {
        for empty in [
            r#"{"kind":"APIGroupDiscoveryList","items":[]}"#,
            r#"{"kind":"APIGroupDiscoveryList","items":[7]}"#,
        ] {
            assert_eq!(named(empty, &Apis::default()), Err(DiscoveryError::Empty));
        }
        assert!(matches!(
            named(r#"{"kind":"Status","items":[]}"#, &Apis::default()),
            Err(DiscoveryError::Kind(_))
        ));
    }

    #[test]
    fn ten_thousand_groups_are_read_and_too_many_apis_are_refused() {
        let groups = |count: usize, resources: &str| {
            let items: Vec<_> = (0..count)
                .map(|at| format!(r#"{{"metadata":{{"name":"g{at}"}},"versions":[{{"version":"v1","resources":[{resources}]}}]}}"#))
                .collect();
            format!(r#"{{"kind":"APIGroupDiscoveryList","items":[{}]}}"#, items.join(","))
        };
        let one = r#"{"resource":"r","verbs":["get"]}"#;
        assert_eq!(named(&groups(10_000, one), &Apis::default()).unwrap().apis.len(), 10_000);
        let eleven: Vec<_> =
            (0..11).map(|at| format!(r#"{{"resource":"r{at}","verbs":[]}}"#)).collect();
        assert_eq!(
            named(&groups(10_000, &eleven.join(",")), &Apis::default()),
            Err(DiscoveryError::TooManyApis)
        );
    }
}
