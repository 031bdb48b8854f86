//! What a simulated server lists, and the documents in which it says so: aggregated (given, or made
//! from the list) and plain (always made).

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::{Context, Result};
use hyper::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::aggregated::{API_VERSION, Groups, KIND, VERBS, aggregated};
use super::{ApiResource, Encoding, Reply, accept};

/// The forms of discovery that a server knows, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Aggregated v2, as 1.33 and later do.
    V2,
    /// Aggregated v2beta1 alone, as 1.27 to 1.29 did.
    V2Beta1,
    /// None of it, as 1.25 and before.
    Plain,
}

impl Speaks {
    pub(super) fn versions(self) -> &'static [&'static str] {
        match self {
            Self::V2 => &["v2"],
            Self::V2Beta1 => &["v2beta1"],
            Self::Plain => &[],
        }
    }
}

/// All that a server lists.
#[derive(Debug, Clone)]
pub struct Discovery {
    resources: BTreeSet<ApiResource>,
    /// Those without a resource too. The core group is always there, as on any kube-apiserver.
    group_versions: BTreeSet<(String, String)>,
    /// Aggregated v2.
    api: Vec<u8>,
    /// Aggregated v2.
    apis: Vec<u8>,
    speaks: Speaks,
}

impl Discovery {
    /// Lists these, written like `/api/v1/pods`, `/apis/apps/v1/deployments/scale`.
    ///
    /// A subresource whose resource is not among them gets a parent that is listed and not served,
    /// as with the real ones.
    pub fn of(resources: &[&str]) -> Result<Self> {
        let parsed = resources.iter().map(|text| ApiResource::parse(text));
        let resources: BTreeSet<ApiResource> = parsed.collect::<Result<_>>()?;
        let mut group_versions: BTreeSet<_> = resources.iter().map(group_version).collect();
        group_versions.insert((String::new(), "v1".to_owned()));
        let api = aggregated(&resources, &group_versions, Groups::Core);
        let apis = aggregated(&resources, &group_versions, Groups::Named);
        Ok(Self { resources, group_versions, api, apis, speaks: Speaks::V2 })
    }

    /// Lists what these two aggregated v2 documents list, and serves them as they are.
    pub fn from_documents(api: &[u8], apis: &[u8]) -> Result<Self> {
        let mut listed = Self::of(&[])?;
        listed.read(api).context("the document of /api")?;
        listed.read(apis).context("the document of /apis")?;
        Ok(Self { api: api.to_vec(), apis: apis.to_vec(), ..listed })
    }

    /// In these forms, and no newer ones.
    #[must_use]
    pub fn speaking(mut self, speaks: Speaks) -> Self {
        self.speaks = speaks;
        self
    }

    pub(super) fn lists(&self, resource: &ApiResource) -> bool {
        self.resources.contains(resource)
    }

    pub(super) fn knows_group(&self, group: &str) -> bool {
        self.group_versions.iter().any(|(known, _)| known == group)
    }

    /// The answer to a discovery path, `None` for all others and for groups and versions that are
    /// not there.
    pub(super) fn reply(&self, path: &str, query: &str, headers: &HeaderMap) -> Option<Reply> {
        let version = accept::aggregated_version(headers, self.speaks);
        match (path, version) {
            ("/api" | "/api/", Some(version)) => Some(document(&self.api, version, headers)),
            ("/apis", Some(version)) => Some(document(&self.apis, version, headers)),
            _ => {
                let body = self.plain(path)?;
                let Some(encoding) = accept::encoding(headers, query) else {
                    return Some(Reply::new(StatusCode::NOT_ACCEPTABLE));
                };
                Some(plain_reply(&body, encoding))
            }
        }
    }

    fn plain(&self, path: &str) -> Option<Value> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match *segments {
            ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
            ["apis"] => {
                let groups = self.groups().into_iter().filter_map(|group| self.group(group));
                let groups: Vec<Value> = groups.collect();
                Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
            }
            ["apis", group] => self.group(group),
            ["api", version] => self.resource_list("", version),
            ["apis", group, version] => self.resource_list(group, version),
            _ => None,
        }
    }

    fn groups(&self) -> BTreeSet<&str> {
        let names = self.group_versions.iter().map(|(group, _)| group.as_str());
        names.filter(|group| !group.is_empty()).collect()
    }

    fn group(&self, group: &str) -> Option<Value> {
        let own = self.group_versions.iter().filter(|(known, _)| known == group);
        let versions: Vec<Value> = own
            .map(|(_, version)| {
                json!({"groupVersion": format!("{group}/{version}"), "version": version})
            })
            .collect();
        let preferred = versions.first().filter(|_| !group.is_empty())?;
        Some(json!({
            "kind": "APIGroup",
            "apiVersion": "v1",
            "name": group,
            "preferredVersion": preferred,
            "versions": versions,
        }))
    }

    fn resource_list(&self, group: &str, version: &str) -> Option<Value> {
        let group_version = (group.to_owned(), version.to_owned());
        if !self.group_versions.contains(&group_version) {
            return None;
        }
        let own = self.resources.iter().filter(|one| self::group_version(one) == group_version);
        let resources: Vec<Value> = own
            .map(|one| {
                json!({
                    "name": one.path_name(),
                    "singularName": "",
                    "namespaced": true,
                    "kind": KIND,
                    "verbs": VERBS,
                })
            })
            .collect();
        let slash = if group.is_empty() { "" } else { "/" };
        Some(json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": format!("{group}{slash}{version}"),
            "resources": resources,
        }))
    }

    /// Adds what an aggregated document lists. A part without a name is an error.
    fn read(&mut self, document: &[u8]) -> Result<()> {
        let document: Value = serde_json::from_slice(document).context("no JSON")?;
        for group in items(&document, "items") {
            let group_name = group.pointer("/metadata/name").and_then(Value::as_str);
            let group_name = group_name.unwrap_or_default();
            for version in items(group, "versions") {
                let version_name = text(version, "version")?;
                self.group_versions.insert((group_name.to_owned(), version_name.to_owned()));
                for resource in items(version, "resources") {
                    let name = text(resource, "resource")?;
                    let listed = |sub| ApiResource::new(group_name, version_name, name, sub);
                    if !items(resource, "verbs").is_empty() {
                        self.resources.insert(listed(""));
                    }
                    for subresource in items(resource, "subresources") {
                        self.resources.insert(listed(text(subresource, "subresource")?));
                    }
                }
            }
        }
        Ok(())
    }
}

/// An aggregated document under its tag, or 304 when the client has it.
fn document(body: &[u8], version: &'static str, headers: &HeaderMap) -> Reply {
    let tag = tag(body);
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| *known == tag);
    let mut reply = Reply::new(StatusCode::NOT_MODIFIED);
    if !is_known {
        reply = match version {
            "v2beta1" => Reply::new(StatusCode::OK).body(AGGREGATED_V2BETA1, as_v2beta1(body)),
            _ => Reply::new(StatusCode::OK).body(AGGREGATED_V2, body.to_vec()),
        };
    }
    reply.headers.insert(ETAG, tag);
    reply.header(VARY, "Accept").header(CACHE_CONTROL, "public")
}

fn plain_reply(body: &Value, encoding: Encoding) -> Reply {
    // Nobody here asks for YAML or protobuf, which real servers have too.
    let body = match encoding {
        Encoding::IndentedJson => format!("{body:#}"),
        Encoding::Json | Encoding::Yaml | Encoding::Protobuf => format!("{body}\n"),
    };
    Reply::new(StatusCode::OK)
        .header(CACHE_CONTROL, "no-cache, private")
        .body("application/json", body)
}

/// Quoted, strong, and the same on two servers that list the same, like the real SHA-512.
fn tag(body: &[u8]) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let text = format!("\"{:016X}\"", hasher.finish());
    // Hex digits and quotes are always a header value.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// The two versions differ in their names alone.
fn as_v2beta1(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    body.replacen(&format!("\"{API_VERSION}\""), &format!("\"{API_VERSION}beta1\""), 1)
}

fn group_version(resource: &ApiResource) -> (String, String) {
    (resource.group.clone(), resource.version.clone())
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    let text = value.get(key).and_then(Value::as_str);
    text.with_context(|| format!("a part of it has no {key:?}"))
}

pub(super) const AGGREGATED_V2: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_V2BETA1: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
