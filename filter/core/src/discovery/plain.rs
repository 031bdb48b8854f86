//! The wire form of plain discovery: names of group-versions first, then the resources of each.
//!
//! `APIGroupList` and `APIVersions` are built from APIService objects, which all servers share, so
//! they name group-versions that this server may not serve; only each one's own `APIResourceList`
//! tells (`kube-aggregator`, `pkg/apiserver/handler_apis.go`).

use super::{DiscoveryError, Excerpt, MAX_DOCUMENT_BYTES, Reading, Root, note, push};
use crate::apis::Origin;
use crate::json::{Fields, Json};

/// Most group-versions that one server's plain lists may name: each costs a request.
const MAX_GROUP_VERSIONS: usize = 2_000;

/// A group-version named by a plain list; the core group's name is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupVersion {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
}

impl GroupVersion {
    /// The path of its `APIResourceList`.
    pub fn path(&self) -> String {
        match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }
}

/// Reads `APIVersions` (`/api`) or `APIGroupList` (`/apis`): what to ask the server for next.
pub fn read_group_versions(root: Root, body: &[u8]) -> Result<Vec<GroupVersion>, DiscoveryError> {
    let mut list = from_json(body)?;
    let kind = list.take("kind").text()?;
    let mut found = Vec::new();
    match (root, &*kind) {
        (Root::Core, "APIVersions") => {
            for version in list.take("versions").list(Json::text)?.into_iter().flatten() {
                found.push(GroupVersion { group: String::new(), version: version.to_string() });
            }
        }
        (Root::Named, "APIGroupList") => {
            for mut group in list.take("groups").list(Json::object)?.into_iter().flatten() {
                let name = group.take("name").text()?;
                for mut version in group.take("versions").list(Json::object)?.into_iter().flatten()
                {
                    let version = version.take("version").text()?.to_string();
                    found.push(GroupVersion { group: name.to_string(), version });
                }
            }
        }
        _ => return Err(DiscoveryError::Kind(Excerpt::of(kind.as_bytes()))),
    }
    // A name that cannot stand in a path would be asked for as something else.
    let plain = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    let group_versions: Vec<_> = found
        .into_iter()
        .filter(|gv| plain(&gv.group) && plain(&gv.version) && !gv.version.is_empty())
        .filter(|gv| gv.group.is_empty() == (root == Root::Core))
        .collect();
    match group_versions.len() {
        0 => Err(DiscoveryError::Empty),
        1..=MAX_GROUP_VERSIONS => Ok(group_versions),
        _ => Err(DiscoveryError::TooManyApis),
    }
}

/// Reads one `APIResourceList` into `reading`. Behind the first slash of a name is the subresource.
pub fn read_resources(
    gv: &GroupVersion,
    body: &[u8],
    reading: &mut Reading,
) -> Result<(), DiscoveryError> {
    let mut list = from_json(body)?;
    let kind = list.take("kind").text()?;
    if *kind != *"APIResourceList" {
        return Err(DiscoveryError::Kind(Excerpt::of(kind.as_bytes())));
    }
    let resources = list.take("resources").list(Json::object)?.unwrap_or_default();
    let is_empty = resources.is_empty();
    for mut resource in resources {
        let name = resource.take("name").text()?;
        let (name, subresource) = name.split_once('/').unwrap_or((&name, ""));
        let key = [gv.group.as_str(), &gv.version, name, subresource];
        if let Err(refused) = reading.apis.add(key, Origin::BuiltIn) {
            note(refused, &key.join("/"), &mut reading.problems)?;
        }
    }
    if is_empty {
        push(&mut reading.problems, format!("{} lists no resource", gv.path()));
    }
    Ok(())
}

fn from_json(body: &[u8]) -> Result<Fields<'_>, DiscoveryError> {
    if body.len() > MAX_DOCUMENT_BYTES {
        return Err(DiscoveryError::TooLarge { bytes: body.len() });
    }
    Ok(serde_json::from_slice::<Json<'_>>(body)?.object()?)
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn real_plain_lists_name_their_group_versions() {
        let named = include_bytes!("../../testdata/discovery/1.36.3/apis-legacy.json");
        let core = include_bytes!("../../testdata/discovery/1.36.3/api-legacy.json");
        let named = read_group_versions(Root::Named, named).unwrap();
        assert!(named.iter().any(|gv| gv.path() == "/apis/apps/v1"));
        let core = read_group_versions(Root::Core, core).unwrap();
        assert_eq!(core.iter().map(GroupVersion::path).collect::<Vec<_>>(), ["/api/v1"]);
    }

    #[test]
    fn a_list_of_the_other_root_is_refused() {
        let named = include_bytes!("../../testdata/discovery/1.36.3/apis-legacy.json");
        assert!(matches!(read_group_versions(Root::Core, named), Err(DiscoveryError::Kind(_))));
    }

    #[test]
    fn subresources_stand_behind_the_first_slash() {
        let gv = GroupVersion { group: "apps".into(), version: "v1".into() };
        let body = br#"{"kind":"APIResourceList","resources":[{"name":"deployments"},{"name":"deployments/scale"}]}"#;
        let mut reading = Reading::default();
        read_resources(&gv, body, &mut reading).unwrap();
        assert!(reading.apis.contains("apps/v1/deployments/scale") && reading.apis.len() == 2);
    }

    #[test]
    fn a_group_version_that_is_no_path_is_never_asked_for() {
        let body =
            br#"{"kind":"APIGroupList","groups":[{"name":"a/../b","versions":[{"version":"v1"}]},
            {"name":"ok","versions":[{"version":"v1?x"},{"version":"v2"}]}]}"#;
        let paths: Vec<_> = read_group_versions(Root::Named, body)
            .unwrap()
            .iter()
            .map(GroupVersion::path)
            .collect();
        assert_eq!(paths, ["/apis/ok/v2"]);
    }
}
