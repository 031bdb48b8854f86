//! The wire form of `apidiscovery.k8s.io` v2 and v2beta1 (`APIGroupDiscoveryList`).

use std::collections::BTreeSet;

use super::{DiscoveryError, Excerpt, Reading, Root, note, push};
use crate::apis::{Apis, Origin};
use crate::json::{Json, Needed};
use crate::merge::{Group, List, Resource};

pub(super) fn read(root: Root, body: &[u8], old: &Apis) -> Result<Reading, DiscoveryError> {
    let text = str::from_utf8(body).map_err(|error| DiscoveryError::Malformed {
        column: error.valid_up_to() + 1,
        detail: "not UTF-8".to_owned(),
    })?;
    let (kind, items) = List::open(text)?;
    if *kind != *"APIGroupDiscoveryList" {
        return Err(DiscoveryError::Kind(Excerpt::of(kind.as_bytes())));
    }
    let Json::List(items) = items else { return Err(Needed("a list of items").into()) };
    let mut reading = Reading::default();
    let mut groups = BTreeSet::new();
    for (at, item) in items.into_iter().enumerate() {
        match Group::read(item) {
            Ok(group) if group.name().is_empty() == (root == Root::Core) => {
                add_group(&group, &mut reading)?;
                groups.insert(group.name().to_owned());
            }
            Ok(group) => {
                let name = Excerpt::of(group.name().as_bytes());
                push(
                    &mut reading.problems,
                    format!("items[{at}]: group name {name} in {}", root.path()),
                );
            }
            Err(needed) => {
                push(&mut reading.problems, format!("items[{at}]: {needed}"));
            }
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
    let name = group.name();
    for version in group.versions() {
        for resource in version.resources() {
            let origin = origin(resource, name, &version.version);
            let mut add = |subresource: &str| {
                let key = [name, &version.version, &resource.resource, subresource];
                match reading.apis.add(key, origin) {
                    Ok(()) => Ok(()),
                    Err(refused) => note(refused, &key.join("/"), &mut reading.problems),
                }
            };
            // A parent made up for an orphan subresource has no verbs: it is not served itself.
            if resource.verbs.is_some() {
                add("")?;
            }
            for below in resource.subresources.iter().flatten() {
                // One without a name would be the resource itself.
                add(if below.subresource.is_empty() { "/" } else { &below.subresource })?;
            }
        }
    }
    Ok(())
}

/// The CRD server spells out its own group and version in `responseKind` and writes its verbs
/// unsorted, beginning with `delete`; built-in resources do neither (seen on 1.33 to 1.37).
fn origin(resource: &Resource<'_>, group: &str, version: &str) -> Origin {
    let spelled_out = resource.response_kind.as_ref().is_some_and(|kind| {
        !group.is_empty() && *kind.group == *group && *kind.version == *version
    });
    let verbs = resource.verbs.as_deref().unwrap_or_default();
    let unsorted = verbs.first().is_some_and(|first| **first == *"delete") && !verbs.is_sorted();
    if spelled_out && unsorted { Origin::Shared } else { Origin::BuiltIn }
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
