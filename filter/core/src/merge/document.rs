//! `APIGroupDiscoveryList` with all its fields, read and written as Go does (`k8s.io/api`,
//! `apidiscovery/v2`; v2beta1 has the same fields).
//!
//! A list that is absent is told from one that is empty, since deep equality does too. Text is borrowed
//! from the document, so that reading a large one costs little.

use serde::{Deserialize, Serialize};

use super::go_json;
use super::text::Text;
use crate::discovery::{DiscoveryError, Excerpt, MAX_DOCUMENT_BYTES};

const KIND: &str = "APIGroupDiscoveryList";
const API_VERSION: &str = "apidiscovery.k8s.io/v2";

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List<'a> {
    /// `APIGroupDiscoveryList`.
    #[serde(borrow, default, skip_serializing_if = "Text::is_empty")]
    kind: Text<'a>,
    /// `apidiscovery.k8s.io/v2`, whatever was read.
    #[serde(borrow, default, skip_serializing_if = "Text::is_empty")]
    api_version: Text<'a>,
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(borrow, default)]
    items: Option<Vec<Group<'a>>>,
}

/// Always empty: there is no order in which lists of several servers could be replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ListMetadata {}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group<'a> {
    /// Its name.
    #[serde(borrow, default)]
    pub metadata: Metadata<'a>,
    /// Its versions, preferred one first.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub versions: Option<Vec<Version<'a>>>,
}

/// Metadata of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata<'a> {
    /// Empty for the core group.
    #[serde(borrow, default, skip_serializing_if = "Text::is_empty")]
    pub name: Text<'a>,
}

/// One version of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version<'a> {
    /// Its name.
    #[serde(borrow, default)]
    pub version: Text<'a>,
    /// Its resources, sorted by most servers.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub resources: Option<Vec<Resource<'a>>>,
    /// `Current` or `Stale`.
    #[serde(borrow, default, skip_serializing_if = "Text::is_empty")]
    pub freshness: Text<'a>,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource<'a> {
    /// Plural name.
    #[serde(borrow, default)]
    pub resource: Text<'a>,
    /// What it answers with.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub response_kind: Option<GroupVersionKind<'a>>,
    /// `Cluster` or `Namespaced`.
    #[serde(borrow, default)]
    pub scope: Text<'a>,
    /// Singular name.
    #[serde(borrow, default)]
    pub singular_resource: Text<'a>,
    /// What can be done with it; absent for a parent made up for a subresource.
    #[serde(borrow, default)]
    pub verbs: Option<Vec<Text<'a>>>,
    /// Short names.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub short_names: Option<Vec<Text<'a>>>,
    /// Groups of resources such as `all`.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub categories: Option<Vec<Text<'a>>>,
    /// Subresources.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub subresources: Option<Vec<Subresource<'a>>>,
}

/// One subresource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subresource<'a> {
    /// Its name.
    #[serde(borrow, default)]
    pub subresource: Text<'a>,
    /// What it answers with.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub response_kind: Option<GroupVersionKind<'a>>,
    /// What it takes, where that is something else.
    #[serde(borrow, default, skip_serializing_if = "is_empty")]
    pub accepted_types: Option<Vec<GroupVersionKind<'a>>>,
    /// What can be done with it.
    #[serde(borrow, default)]
    pub verbs: Option<Vec<Text<'a>>>,
}

/// A kind of object; group and version are empty where they are those of the resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupVersionKind<'a> {
    /// API group.
    #[serde(borrow, default)]
    pub group: Text<'a>,
    /// API version.
    #[serde(borrow, default)]
    pub version: Text<'a>,
    /// Kind.
    #[serde(borrow, default)]
    pub kind: Text<'a>,
}

impl<'a> List<'a> {
    /// Reads a document. One unreadable entry makes it an error, since leaving it out of a merged
    /// document would tell clients that it is gone.
    pub fn read(body: &'a [u8]) -> Result<Self, DiscoveryError> {
        if body.len() > MAX_DOCUMENT_BYTES {
            return Err(DiscoveryError::TooLarge { bytes: body.len() });
        }
        let text = str::from_utf8(body).map_err(|error| DiscoveryError::Malformed {
            column: error.valid_up_to() + 1,
            detail: "not UTF-8".to_owned(),
        })?;
        let list: Self = serde_json::from_str(text)?;
        if list.kind != KIND.into() {
            return Err(DiscoveryError::Kind(Excerpt::of(list.kind.as_bytes())));
        }
        Ok(Self { api_version: API_VERSION.into(), ..list })
    }

    /// A complete document of these groups.
    pub fn of(groups: Vec<Group<'a>>) -> Self {
        Self {
            kind: KIND.into(),
            api_version: API_VERSION.into(),
            metadata: ListMetadata {},
            items: Some(groups),
        }
    }

    /// Its groups, in order.
    pub fn groups(&self) -> &[Group<'a>] {
        self.items.as_deref().unwrap_or_default()
    }

    /// The document as a server writes it, with the line end that closes it.
    pub fn to_json(&self) -> Result<Vec<u8>, DiscoveryError> {
        let mut json = go_json::to_vec(self)?;
        json.push(b'\n');
        Ok(json)
    }

    pub(super) fn without_type(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Untyped<'l, 'a> {
            metadata: &'l ListMetadata,
            items: &'l Option<Vec<Group<'a>>>,
        }
        Untyped { metadata: &self.metadata, items: &self.items }
    }
}

impl<'a> Group<'a> {
    /// Its versions, none where there is no list.
    pub fn versions(&self) -> &[Version<'a>] {
        self.versions.as_deref().unwrap_or_default()
    }
}

impl<'a> Version<'a> {
    /// Its resources, none where there is no list.
    pub fn resources(&self) -> &[Resource<'a>] {
        self.resources.as_deref().unwrap_or_default()
    }
}

/// What is merged by name.
pub(super) trait Named {
    fn name(&self) -> &str;
}

impl Named for Group<'_> {
    fn name(&self) -> &str {
        &self.metadata.name
    }
}

impl Named for Version<'_> {
    fn name(&self) -> &str {
        &self.version
    }
}

impl Named for Resource<'_> {
    fn name(&self) -> &str {
        &self.resource
    }
}

fn is_empty<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}
