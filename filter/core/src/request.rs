//! `:path` bytes -> what a kube-apiserver would take the request for.
//!
//! Mirrors `RequestInfoFactory.NewRequestInfo` (apiserver, `pkg/endpoints/request/requestinfo.go`):
//! the path is split off at the first raw `?`, percent-decoded once, trimmed of slashes at both ends
//! and split at `/`, with nothing normalised. Verb, namespace and name do not choose a server, so
//! they are not kept; `request_info` reads them too. Knows nothing of servers or maps: see `decide`
//! for what becomes of a target.

use std::borrow::Cow;

/// A resource as a map key names it. The core group's name is empty; so is the subresource of a
/// request for the resource itself. Segments never hold a `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api<'a> {
    /// API group, empty for the core group.
    pub group: &'a [u8],
    /// API version.
    pub version: &'a [u8],
    /// Plural resource name.
    pub resource: &'a [u8],
    /// Subresource, empty when the path names none.
    pub subresource: &'a [u8],
}

/// How much of the cluster's APIs a discovery or OpenAPI document speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// `/openapi/v2`, `/openapi/v3`, and documents that no group has: everything.
    Cluster,
    /// `/api`: the core group.
    Core,
    /// `/apis`: all named groups.
    Named,
    /// `/apis/<group>`.
    Group(&'a [u8]),
    /// `/apis/<group>/<version>` and `/api/<version>`, and the OpenAPI document of one.
    GroupVersion(&'a [u8], &'a [u8]),
}

/// The form of a discovery document, as far as servers are chosen by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `APIVersions`, `APIGroupList`, `APIGroup`, `APIResourceList`.
    Plain,
    /// `APIGroupDiscoveryList`.
    Aggregated,
    /// An OpenAPI document.
    OpenApi,
    /// `/openapi/v3`: which documents there are, each with its hash.
    OpenApiIndex,
    /// Whatever one server answers for itself: `profile=nopeer`, and what none accepts.
    OneServers,
}

/// What a request is for, in the order in which the decision table treats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// Neither a resource nor discovery, or a path that a server refuses: any server will do.
    Other,
    /// A discovery or OpenAPI document. `negotiate` tells the forms apart by what is accepted.
    Discovery(Scope<'a>, Form),
    /// A resource.
    Resource(Api<'a>),
}

/// The path part of a request target, percent-decoded once; borrowed when nothing was escaped.
/// `None` for an escape that Go's `net/url` refuses (`%zz`, a trailing `%`): the server answers it
/// with 400 before it looks at anything else.
pub fn decoded_path(target: &[u8]) -> Option<Cow<'_, [u8]>> {
    unescaped(target.split(|byte| *byte == b'?').next().unwrap_or_default())
}

/// Percent-decodes once; `None` for an escape that Go's `net/url` refuses.
pub(crate) fn unescaped(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let escapes_are_valid = text.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(
        |(at, _)| matches!(text.get(at + 1..at + 3), Some(hex) if hex.iter().all(u8::is_ascii_hexdigit)),
    );
    escapes_are_valid.then(|| percent_encoding::percent_decode(text).into())
}

impl<'a> Target<'a> {
    /// Reads a decoded path. Any bytes are allowed; what is no resource and no discovery is `Other`.
    pub fn of(path: &'a [u8]) -> Self {
        let mut segments = Segments::of(path);
        match segments.next() {
            Some(b"api") => of_versions(b"", segments),
            Some(b"apis") => match segments.next() {
                None => Target::Discovery(Scope::Named, Form::Plain),
                Some(group) if segments.is_empty() => {
                    Target::Discovery(Scope::Group(group), Form::Plain)
                }
                Some(group) => of_versions(group, segments),
            },
            Some(b"openapi") => of_openapi(segments),
            _ => Target::Other,
        }
    }
}

impl Api<'_> {
    /// Whether the server opens a stream to a pod, service or node for this request (verb `connect`).
    /// What answers then is not the apiserver: its 404 says nothing about the API, and a request
    /// that may have reached it must not be sent again.
    pub fn connects_through(&self) -> bool {
        matches!(self.subresource, b"proxy" | b"exec" | b"attach" | b"portforward")
    }
}

/// Behind `/api` or `/apis/<group>`: a version, then the resource.
fn of_versions<'a>(group: &'a [u8], mut segments: Segments<'a>) -> Target<'a> {
    let Some(version) = segments.next() else {
        return Target::Discovery(Scope::Core, Form::Plain);
    };
    if segments.is_empty() {
        return Target::Discovery(Scope::GroupVersion(group, version), Form::Plain);
    }
    let behind = BehindVersion::read(&mut segments);
    let Some(resource) = segments.next() else {
        // `/api/v1/watch`: the server cannot resolve it and answers 500.
        return Target::Other;
    };
    segments.next();
    let subresource =
        if behind.has_subresources() { segments.next().unwrap_or_default() } else { b"" };
    Target::Resource(Api { group, version, resource, subresource })
}

/// What may stand between a version and the resource.
#[derive(Clone, Copy)]
pub(crate) struct BehindVersion<'a> {
    /// `watch` or `proxy`, the only verbs that a path can hold.
    pub(crate) verb: Option<&'a [u8]>,
    /// Empty when the path names none.
    pub(crate) namespace: &'a [u8],
}

impl<'a> BehindVersion<'a> {
    /// Leaves `segments` at the resource; none is left behind a verb with nothing after it.
    pub(crate) fn read(segments: &mut Segments<'a>) -> Self {
        let verb = segments.peek().filter(|segment| matches!(*segment, b"watch" | b"proxy"));
        if verb.is_some() {
            segments.next();
        }
        if segments.peek() != Some(b"namespaces") {
            return Self { verb, namespace: b"" };
        }
        let mut inside = *segments;
        inside.next();
        let namespace = inside.next().unwrap_or_default();
        // `namespaces/<ns>/status` is a subresource of the namespace, in every group.
        if !matches!(inside.peek(), None | Some(b"status" | b"finalize")) {
            *segments = inside;
        }
        Self { verb, namespace }
    }

    /// Whether the third segment from the resource on is its subresource.
    pub(crate) fn has_subresources(self) -> bool {
        self.verb != Some(b"proxy")
    }
}

/// Behind `/openapi`: the index and v2 speak of the whole cluster, a v3 document of what its path names.
fn of_openapi(mut segments: Segments<'_>) -> Target<'_> {
    match segments.next() {
        Some(b"v2") => Target::Discovery(Scope::Cluster, Form::OpenApi),
        Some(b"v3") if segments.is_empty() => Target::Discovery(Scope::Cluster, Form::OpenApiIndex),
        Some(b"v3") => Target::Discovery(Scope::of_document(segments), Form::OpenApi),
        _ => Target::Other,
    }
}

impl<'a> Scope<'a> {
    /// Of an OpenAPI v3 document, by its path below the index.
    pub(crate) fn of_document(mut segments: Segments<'a>) -> Self {
        let group = match segments.next() {
            Some(b"api") => Some(b"".as_slice()),
            Some(b"apis") => segments.next(),
            _ => None,
        };
        match (group, segments.next()) {
            (Some(group), Some(version)) => Self::GroupVersion(group, version),
            (Some(group), None) if !group.is_empty() => Self::Group(group),
            _ => Self::Cluster,
        }
    }
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(start, |last| last + 1);
    path.get(start..end).unwrap_or_default()
}

/// The segments still to read. Empty ones inside a path count, as they do for a server.
#[derive(Clone, Copy)]
pub(crate) struct Segments<'a>(Option<&'a [u8]>);

impl<'a> Segments<'a> {
    /// Of a decoded path. There is always one, if an empty one.
    pub(crate) fn of(path: &'a [u8]) -> Self {
        Self(Some(trim_slashes(path)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn peek(mut self) -> Option<&'a [u8]> {
        self.next()
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let mut halves = rest.splitn(2, |byte| *byte == b'/');
        let segment = halves.next()?;
        self.0 = halves.next();
        Some(segment)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// `g/v/r/s` for a resource, `scope:…` for discovery, `other`, or `bad escape`.
    fn read(target: &str) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let Some(path) = decoded_path(target.as_bytes()) else {
            return "bad escape".into();
        };
        match Target::of(&path) {
            Target::Other => "other".into(),
            Target::Discovery(scope, form) => {
                let kind = match form {
                    Form::OpenApiIndex => "index",
                    Form::OpenApi => "openapi",
                    _ => "scope",
                };
                match scope {
                    Scope::Cluster => format!("{kind}:"),
                    Scope::Core => format!("{kind}:/"),
                    Scope::Named => format!("{kind}:all"),
                    Scope::Group(group) => format!("{kind}:{}", text(group)),
                    Scope::GroupVersion(group, version) => {
                        format!("{kind}:{}/{}", text(group), text(version))
                    }
                }
            }
            Target::Resource(api) => {
                [api.group, api.version, api.resource, api.subresource].map(text).join("/")
            }
        }
    }

    /// Rows of upstream's `requestinfo_test.go` and of what was seen on real servers.
    #[test]
    fn paths_are_read_as_a_server_reads_them() {
        for (target, expected) in [
            ("/api/v1/pods", "/v1/pods/"),
            ("/api/v1/namespaces", "/v1/namespaces/"),
            ("/api/v1/namespaces/other", "/v1/namespaces/"),
            ("/api/v1/namespaces/other/pods", "/v1/pods/"),
            ("/api/v1/namespaces/other/pods/foo", "/v1/pods/"),
            ("/api/v1/namespaces/other/pods/foo/log?follow=true", "/v1/pods/log"),
            ("/api/v1/namespaces/other/status", "/v1/namespaces/status"),
            ("/api/v1/namespaces/other/finalize", "/v1/namespaces/finalize"),
            ("/apis/example.com/v1/namespaces/x/status", "example.com/v1/namespaces/status"),
            ("/api/v1/watch/pods", "/v1/pods/"),
            ("/api/v1/watch/namespaces/other/pods/foo", "/v1/pods/"),
            ("/api/v1/proxy/namespaces/other/pods/foo/x/y", "/v1/pods/"),
            ("/api/v1/namespaces/o/services/s:80/proxy/a/b?c", "/v1/services/proxy"),
            ("/apis/apps/v1/deployments", "apps/v1/deployments/"),
            ("/apis/apps/v1/namespaces/n/deployments/d/scale", "apps/v1/deployments/scale"),
            ("/apis/storage.k8s.io/v1/csinodes/x/status", "storage.k8s.io/v1/csinodes/status"),
            ("/apis/apps%2Fv1/deployments", "apps/v1/deployments/"),
            ("/%61pis/apps/v1/deployments", "apps/v1/deployments/"),
            ("/api/v1/%77atch/pods", "/v1/pods/"),
            ("/apis/apps/v1/deploy%252Fments", "apps/v1/deploy%2Fments/"),
            ("//apis/apps/v1/deployments//", "apps/v1/deployments/"),
            ("/apis//apps/v1/deployments", "/apps/v1/"),
            ("/api/v1//pods", "/v1//"),
            ("/api//v1/pods", "//v1/"),
            ("/apis/apps/watch/x", "apps/watch/x/"),
            ("/api/v1/watch", "other"),
            ("/apis/apps/v1/proxy/", "other"),
            ("/api", "scope:/"),
            ("/api/", "scope:/"),
            ("/api/v1", "scope:/v1"),
            ("/apis?timeout=32s", "scope:all"),
            ("/apis/apps", "scope:apps"),
            ("/apis/apps/v1/", "scope:apps/v1"),
            ("/openapi/v2", "openapi:"),
            ("/openapi/v3", "index:"),
            ("/openapi/v3/?timeout=1s", "index:"),
            ("/openapi/v3/api/v1?hash=A", "openapi:/v1"),
            ("/openapi/v3/apis/apps", "openapi:apps"),
            ("/openapi/v3/apis/apps/v1", "openapi:apps/v1"),
            ("/openapi/v3/version", "openapi:"),
            ("/", "other"),
            ("", "other"),
            ("/version", "other"),
            ("/APIS/apps/v1/x", "other"),
            ("/apis/%zz/v1/x", "bad escape"),
            ("/api/v1/pods/%", "bad escape"),
            ("/api/v1/pods/%2", "bad escape"),
            ("/api/v1/pods?x=%zz", "/v1/pods/"),
        ] {
            assert_eq!(read(target), expected, "{target}");
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let path = b"/apis/\xff\xfe/v1\0/namespaces/%00/a%2F/b?\xff";
        for end in 0..path.len() {
            if let Some(path) = decoded_path(&path[..end]) {
                Target::of(&path);
            }
        }
    }

    #[test]
    fn only_streams_through_the_server_connect() {
        for (subresource, expected) in [
            ("exec", true),
            ("proxy", true),
            ("attach", true),
            ("portforward", true),
            ("log", false),
            ("", false),
        ] {
            let api = Api {
                group: b"",
                version: b"v1",
                resource: b"pods",
                subresource: subresource.as_bytes(),
            };
            assert_eq!(api.connects_through(), expected, "{subresource}");
        }
    }
}
