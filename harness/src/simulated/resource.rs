//! A resource by name, and which one a request path asks for: the rules of k8s.io/apiserver's
//! `RequestInfoFactory`, as far as a simulated server needs them. Takes decoded paths.

use anyhow::{Context, Result, ensure};

/// A resource or subresource of one version of one group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiResource {
    /// Empty for the core group.
    pub group: String,
    /// Such as `v1`.
    pub version: String,
    /// The plural, such as `pods`.
    pub resource: String,
    /// Such as `status`; empty for the resource itself.
    pub subresource: String,
}

impl ApiResource {
    /// Reads `/api/v1/pods`, `/apis/apps/v1/deployments/scale`: no namespace, no object.
    pub fn parse(text: &str) -> Result<Self> {
        let segments: Vec<&str> = text.trim_start_matches('/').split('/').collect();
        let (group, version, rest) = split(&segments)
            .with_context(|| format!("resource {text:?}: not /api/… or /apis/<group>/…"))?;
        let (resource, subresource) = match rest {
            [resource] => (*resource, ""),
            [resource, subresource] => (*resource, *subresource),
            _ => ("", ""),
        };
        let complete = !version.is_empty() && !resource.is_empty();
        ensure!(complete, "resource {text:?}: wants <version>/<resource>[/<subresource>]");
        Ok(Self::new(group, version, resource, subresource))
    }

    pub(super) fn new(group: &str, version: &str, resource: &str, subresource: &str) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    /// As plain discovery writes it: `pods`, `pods/status`.
    pub(super) fn path_name(&self) -> String {
        if self.subresource.is_empty() {
            return self.resource.clone();
        }
        format!("{}/{}", self.resource, self.subresource)
    }
}

/// What a resource request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) resource: ApiResource,
    /// `None` for lists and creates.
    pub(super) name: Option<String>,
}

impl Asked {
    /// `None` for a path that is no resource request.
    pub(super) fn from_path(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = split(&segments)?;
        let rest = match rest {
            ["watch", rest @ ..] => rest,
            rest => rest,
        };
        let rest = match rest {
            ["namespaces", _, "status" | "finalize", ..] => rest,
            ["namespaces", _, inside @ ..] if !inside.is_empty() => inside,
            rest => rest,
        };
        let resource = *rest.first()?;
        let subresource = rest.get(2).copied().unwrap_or_default();
        Some(Self {
            resource: ApiResource::new(group, version, resource, subresource),
            name: rest.get(1).map(|&name| name.to_owned()),
        })
    }
}

/// Group, version and what follows.
fn split<'a>(segments: &'a [&'a str]) -> Option<(&'a str, &'a str, &'a [&'a str])> {
    match segments {
        ["api", version, rest @ ..] => Some(("", version, rest)),
        ["apis", group, version, rest @ ..] => Some((group, version, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, resource: &str, name: Option<&str>) {
        let asked = Asked::from_path(path).unwrap();
        assert_eq!(asked.resource, ApiResource::parse(resource).unwrap(), "{path}");
        assert_eq!(asked.name.as_deref(), name, "{path}");
    }

    #[test]
    fn paths_name_resource_object_and_subresource() {
        check("/api/v1/pods", "/api/v1/pods", None);
        check("/api/v1/namespaces/x/pods/p", "/api/v1/pods", Some("p"));
        check("/api/v1/namespaces/x/pods/p/log", "/api/v1/pods/log", Some("p"));
        check("/api/v1/namespaces/x", "/api/v1/namespaces", Some("x"));
        check("/api/v1/namespaces/x/finalize", "/api/v1/namespaces/finalize", Some("x"));
        check("/apis/apps/v1/watch/deployments", "/apis/apps/v1/deployments", None);
        check(
            "/apis/storage.k8s.io/v1/csinodes/n/status",
            "/apis/storage.k8s.io/v1/csinodes/status",
            Some("n"),
        );
    }

    #[test]
    fn discovery_paths_are_no_resource_requests() {
        for path in ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/readyz"] {
            assert_eq!(Asked::from_path(path), None, "{path}");
        }
    }
}
