//! Method and request target -> everything that a kube-apiserver takes the request for.
//!
//! The full reading, for people: `request` reads no more than a server is chosen by, and that on
//! every request. Mirrors Go's `net/http` and `net/url` for what is a request at all, and
//! `RequestInfoFactory.NewRequestInfo` (apiserver, `pkg/endpoints/request/requestinfo.go`) for the
//! rest. Knows no servers. Selectors are read in `request_info::selectors`.

mod query;
mod selectors;
mod target;

use serde::Serialize;

use crate::request::{BehindVersion, Segments, decoded_path};

pub use target::origin_form;

/// What kind of request a server sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// For a resource, or the like: authorized by group, resource and verb.
    Resource,
    /// For anything else, discovery included: authorized by path and method.
    #[serde(rename = "nonresource")]
    NonResource,
    /// A path that a server cannot resolve (`/api/v1/watch`) and answers with 500.
    Error,
    /// No valid HTTP request (over HTTP/1.1): answered with 400 before Kubernetes sees it.
    BadRequest,
}

/// A request as a kube-apiserver reads it, named as its audit log and its code name things. What
/// does not apply is empty. A byte that is not UTF-8 is U+FFFD, as Go writes it into JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestInfo {
    /// Its kind. After an error, the other fields hold what was read before it.
    pub kind: Kind,
    /// `api` or `apis`; also set for `/apis/<group>/<version>`, which is no resource.
    pub api_prefix: String,
    /// API group, empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Namespace.
    pub namespace: String,
    /// Plural resource name.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Name of the object, from the path or from a field selector.
    pub name: String,
    /// Kubernetes' verb; for what is no resource the method in lower case.
    pub verb: String,
    /// The path after decoding.
    pub decoded_path: String,
}

impl RequestInfo {
    /// Reads a request. Any text and bytes are allowed.
    pub fn of(method: &str, target: &[u8]) -> Self {
        let origin = target::is_method(method).then(|| origin_form(method, target)).flatten();
        match origin.and_then(|origin| Some((decoded_path(origin)?, query::of(origin)))) {
            Some((path, query)) => of_path(method, &path, query),
            None => Self::empty(Kind::BadRequest),
        }
    }

    fn empty(kind: Kind) -> Self {
        let empty = String::new;
        Self {
            kind,
            api_prefix: empty(),
            group: empty(),
            version: empty(),
            namespace: empty(),
            resource: empty(),
            subresource: empty(),
            name: empty(),
            verb: empty(),
            decoded_path: empty(),
        }
    }
}

fn of_path(method: &str, path: &[u8], query: &[u8]) -> RequestInfo {
    let mut info = RequestInfo {
        verb: method.to_lowercase(),
        decoded_path: text(path),
        ..RequestInfo::empty(Kind::NonResource)
    };
    let mut segments = Segments::of(path);
    let prefix = segments.next().unwrap_or_default();
    if !matches!(prefix, b"api" | b"apis") || segments.count() < 2 {
        return info;
    }
    info.api_prefix = text(prefix);
    if prefix == b"apis" {
        if segments.count() < 3 {
            return info;
        }
        info.group = segments.next().map(text).unwrap_or_default();
    }
    info.version = segments.next().map(text).unwrap_or_default();
    let behind = BehindVersion::read(&mut segments);
    let Some(resource) = segments.next() else {
        info.kind = Kind::Error;
        return info;
    };
    info.kind = Kind::Resource;
    info.namespace = text(behind.namespace);
    info.resource = text(resource);
    let name = segments.next().unwrap_or_default();
    info.name = text(name);
    if behind.has_subresources() {
        info.subresource = segments.next().map(text).unwrap_or_default();
    }
    info.verb = match behind.verb {
        Some(verb) => text(verb),
        None => verb_of(method).to_owned(),
    };
    if name.is_empty() {
        of_collection(&mut info, query);
    }
    info
}

/// A request without a name in its path is for many objects; the query tells more.
fn of_collection(info: &mut RequestInfo, query: &[u8]) {
    match info.verb.as_str() {
        "get" => {
            let options = query::ListOptions::read(query);
            info.verb = if options.watch { "watch" } else { "list" }.to_owned();
            info.name = options.name.as_deref().map(text).unwrap_or_default();
        }
        "delete" => info.verb = "deletecollection".to_owned(),
        _ => {}
    }
}

fn verb_of(method: &str) -> &'static str {
    match method {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

/// Go writes each byte that is no UTF-8 as one U+FFFD.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// `kind verb prefix|group|version|namespace|resource|subresource|name`
    fn read(method: &str, target: &str) -> String {
        let info = RequestInfo::of(method, target.as_bytes());
        let kind = format!("{:?}", info.kind).to_lowercase();
        let fields = [
            info.api_prefix,
            info.group,
            info.version,
            info.namespace,
            info.resource,
            info.subresource,
            info.name,
        ];
        format!("{kind} {} {}", info.verb, fields.join("|"))
    }

    /// Each line was seen from kube-apiserver 1.36's own code.
    #[test]
    fn requests_are_read_as_a_server_reads_them() {
        for (method, target, expected) in [
            ("GET", "/api/v1/namespaces/o/pods/p/log", "resource get api||v1|o|pods|log|p"),
            ("GET", "/api/v1/namespaces/o/pods", "resource list api||v1|o|pods||"),
            ("HEAD", "/api/v1/pods", "resource list api||v1||pods||"),
            ("get", "/api/v1/pods", "resource  api||v1||pods||"),
            ("DELETE", "/api/v1/pods", "resource deletecollection api||v1||pods||"),
            ("DELETE", "/api/v1/pods/p", "resource delete api||v1||pods||p"),
            ("POST", "/apis/apps/v1/deployments", "resource create apis|apps|v1||deployments||"),
            ("PUT", "/api/v1/namespaces/x/status", "resource update api||v1|x|namespaces|status|x"),
            ("GET", "/api/v1/namespaces/x", "resource get api||v1|x|namespaces||x"),
            ("GET", "/api/v1/watch/pods", "resource watch api||v1||pods||"),
            ("POST", "/api/v1/proxy/namespaces/o/pods/p/x", "resource proxy api||v1|o|pods||p"),
            ("GET", "/api/v1/watch/", "error get api||v1||||"),
            ("GET", "/apis/apps/v1/proxy", "error get apis|apps|v1||||"),
            ("GET", "/apis/apps/v1", "nonresource get apis||||||"),
            ("GET", "/apis/apps", "nonresource get ||||||"),
            ("GET", "/api/v1", "nonresource get ||||||"),
            ("OPTIONS", "*", "nonresource options ||||||"),
            ("GET", "http://h/api/v1/pods/p", "resource get api||v1||pods||p"),
            ("GET", "/api/v1//pods", "resource get api||v1||||pods"),
            ("GET", "/api//v1/pods", "resource get api||||v1||pods"),
            ("GET", "api/v1/pods", "badrequest  ||||||"),
            ("GET", "/api/v1/pods/%", "badrequest  ||||||"),
            ("GET", "/a b", "badrequest  ||||||"),
            ("G T", "/", "badrequest  ||||||"),
        ] {
            assert_eq!(read(method, target), expected, "{method} {target}");
        }
    }

    #[test]
    fn a_list_is_a_watch_unless_the_first_value_says_no() {
        for (query, verb) in [
            ("watch", "watch"),
            ("watch=", "watch"),
            ("watch=1", "watch"),
            ("%77atch=no", "watch"),
            ("watch=1&limit=abc", "watch"),
            ("watch=FALSE", "list"),
            ("watch=0&watch=1", "list"),
            ("Watch=1", "list"),
            ("watch=1;x", "list"),
            ("watch=%zz", "list"),
            ("x=%zz&watch=1", "watch"),
        ] {
            let info = RequestInfo::of("GET", format!("/api/v1/pods?{query}").as_bytes());
            assert_eq!(info.verb, verb, "{query}");
        }
    }

    #[test]
    fn a_field_selector_names_the_object_only_when_all_options_parse() {
        for (query, name) in [
            ("fieldSelector=metadata.name%3Dp", "p"),
            ("fieldSelector=metadata.name==p,spec.x=y&watch=1", "p"),
            ("fieldSelector=metadata.name=b,metadata.name=a", "a"),
            (r"fieldSelector=metadata.name=a\,b", "a,b"),
            ("fieldSelector=metadata.name!=p", ""),
            ("fieldSelector=metadata.name=p,x", ""),
            ("fieldSelector=metadata.name=..", ""),
            ("fieldSelector=metadata.name=a/b", ""),
            ("fieldSelector=metadata.name=p&limit=abc", ""),
            ("fieldSelector=metadata.name=p&limit=+5", ""),
            ("fieldSelector=metadata.name=p&limit=-5", "p"),
            ("fieldSelector=metadata.name=p&labelSelector=a=b,c+in+(d,e),!f", "p"),
            ("fieldSelector=metadata.name=p&labelSelector=a=b,", ""),
            ("fieldSelector=metadata.name=p&timeoutSeconds=", ""),
        ] {
            let info = RequestInfo::of("GET", format!("/api/v1/pods?{query}").as_bytes());
            assert_eq!(info.name, name, "{query}");
        }
    }

    #[test]
    fn every_byte_that_is_no_text_is_shown_as_one_mark() {
        let info = RequestInfo::of("GET", b"/api/v1/pods/%e2%82x");
        assert_eq!(info.name, "\u{fffd}\u{fffd}x");
    }
}
