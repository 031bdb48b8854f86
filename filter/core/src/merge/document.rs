//! `APIGroupDiscoveryList` with all its fields, read and written as Go does (`k8s.io/api`,
//! `apidiscovery/v2`; v2beta1 has the same fields).
//!
//! A list that is absent is told from one that is empty, since deep equality does too. Text is borrowed
//! from the document, so that reading a large one costs little.

use super::go_json::{self, Object};
use super::text::Text;
use crate::discovery::{DiscoveryError, Excerpt, MAX_DOCUMENT_BYTES};
use crate::json::{Fields, Json, Needed};

const KIND: &str = "APIGroupDiscoveryList";
const API_VERSION: &str = "apidiscovery.k8s.io/v2";

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<'a> {
    items: Option<Vec<Group<'a>>>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    /// Its name.
    pub metadata: Metadata<'a>,
    /// Its versions, preferred one first.
    pub versions: Option<Vec<Version<'a>>>,
}

/// Metadata of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Empty for the core group.
    pub name: Text<'a>,
}

/// One version of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version<'a> {
    /// Its name.
    pub version: Text<'a>,
    /// Its resources, sorted by most servers.
    pub resources: Option<Vec<Resource<'a>>>,
    /// `Current` or `Stale`.
    pub freshness: Text<'a>,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Plural name.
    pub resource: Text<'a>,
    /// What it answers with.
    pub response_kind: Option<GroupVersionKind<'a>>,
    /// `Cluster` or `Namespaced`.
    pub scope: Text<'a>,
    /// Singular name.
    pub singular_resource: Text<'a>,
    /// What can be done with it; absent for a parent made up for a subresource.
    pub verbs: Option<Vec<Text<'a>>>,
    /// Short names.
    pub short_names: Option<Vec<Text<'a>>>,
    /// Groups of resources such as `all`.
    pub categories: Option<Vec<Text<'a>>>,
    /// Subresources.
    pub subresources: Option<Vec<Subresource<'a>>>,
}

/// One subresource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subresource<'a> {
    /// Its name.
    pub subresource: Text<'a>,
    /// What it answers with.
    pub response_kind: Option<GroupVersionKind<'a>>,
    /// What it takes, where that is something else.
    pub accepted_types: Option<Vec<GroupVersionKind<'a>>>,
    /// What can be done with it.
    pub verbs: Option<Vec<Text<'a>>>,
}

/// A kind of object; group and version are empty where they are those of the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupVersionKind<'a> {
    /// API group.
    pub group: Text<'a>,
    /// API version.
    pub version: Text<'a>,
    /// Kind.
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
        let (kind, items) = Self::open(text)?;
        if *kind != *KIND {
            return Err(DiscoveryError::Kind(Excerpt::of(kind.as_bytes())));
        }
        Ok(Self { items: items.list(Group::read)? })
    }

    /// Kind and items of any list.
    pub(crate) fn open(text: &'a str) -> Result<(Text<'a>, Json<'a>), DiscoveryError> {
        let mut list: Fields<'a> = serde_json::from_slice::<Json<'a>>(text.as_bytes())?.object()?;
        Ok((list.take("kind").text()?, list.take("items")))
    }

    /// A complete document of these groups.
    pub fn of(groups: Vec<Group<'a>>) -> Self {
        Self { items: Some(groups) }
    }

    /// Its groups, in order.
    pub fn groups(&self) -> &[Group<'a>] {
        self.items.as_deref().unwrap_or_default()
    }

    /// Its groups, to be changed.
    pub fn groups_mut(&mut self) -> &mut Vec<Group<'a>> {
        self.items.get_or_insert_default()
    }

    /// The document as a server writes it, with the line end that closes it.
    pub fn to_json(&self) -> Result<Vec<u8>, DiscoveryError> {
        let mut json = Vec::new();
        let mut object = Object::begin(&mut json);
        object.text("kind", KIND);
        object.text("apiVersion", API_VERSION);
        self.write_untyped(object);
        json.push(b'\n');
        Ok(json)
    }

    /// Without kind and API version.
    pub(super) fn to_untyped_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        self.write_untyped(Object::begin(&mut json));
        json
    }

    fn write_untyped(&self, mut object: Object<'_>) {
        // There is no order in which lists of several servers could be replayed.
        object.field("metadata").extend(b"{}");
        let out = object.field("items");
        match &self.items {
            Some(groups) => go_json::list(groups, out, Group::write),
            None => out.extend(b"null"),
        }
        object.end();
    }
}

impl<'a> Group<'a> {
    pub(crate) fn read(json: Json<'a>) -> Result<Self, Needed> {
        let mut fields = json.object()?;
        let metadata = fields.take("metadata").optional_object()?;
        let name = metadata.unwrap_or_default().take("name").text()?;
        let versions = fields.take("versions").list(Version::read)?;
        Ok(Self { metadata: Metadata { name }, versions })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        let mut metadata = Object::begin(object.field("metadata"));
        metadata.text_if_any("name", &self.metadata.name);
        metadata.end();
        object.list_if_any("versions", self.versions.as_deref(), Version::write);
        object.end();
    }

    /// Its name; empty for the core group.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Its versions, none where there is no list.
    pub fn versions(&self) -> &[Version<'a>] {
        self.versions.as_deref().unwrap_or_default()
    }
}

impl<'a> Version<'a> {
    fn read(json: Json<'a>) -> Result<Self, Needed> {
        let mut fields = json.object()?;
        Ok(Self {
            version: fields.take("version").text()?,
            resources: fields.take("resources").list(Resource::read)?,
            freshness: fields.take("freshness").text()?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        object.text("version", &self.version);
        object.list_if_any("resources", self.resources.as_deref(), Resource::write);
        object.text_if_any("freshness", &self.freshness);
        object.end();
    }

    /// Its resources, none where there is no list.
    pub fn resources(&self) -> &[Resource<'a>] {
        self.resources.as_deref().unwrap_or_default()
    }
}

impl<'a> Resource<'a> {
    fn read(json: Json<'a>) -> Result<Self, Needed> {
        let mut fields = json.object()?;
        Ok(Self {
            resource: fields.take("resource").text()?,
            response_kind: GroupVersionKind::read_optional(fields.take("responseKind"))?,
            scope: fields.take("scope").text()?,
            singular_resource: fields.take("singularResource").text()?,
            verbs: fields.take("verbs").list(Json::text)?,
            short_names: fields.take("shortNames").list(Json::text)?,
            categories: fields.take("categories").list(Json::text)?,
            subresources: fields.take("subresources").list(Subresource::read)?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        object.text("resource", &self.resource);
        if let Some(kind) = &self.response_kind {
            kind.write(object.field("responseKind"));
        }
        object.text("scope", &self.scope);
        object.text("singularResource", &self.singular_resource);
        object.texts("verbs", self.verbs.as_deref());
        object.texts_if_any("shortNames", self.short_names.as_deref());
        object.texts_if_any("categories", self.categories.as_deref());
        object.list_if_any("subresources", self.subresources.as_deref(), Subresource::write);
        object.end();
    }
}

impl<'a> Subresource<'a> {
    fn read(json: Json<'a>) -> Result<Self, Needed> {
        let mut fields = json.object()?;
        Ok(Self {
            subresource: fields.take("subresource").text()?,
            response_kind: GroupVersionKind::read_optional(fields.take("responseKind"))?,
            accepted_types: fields.take("acceptedTypes").list(GroupVersionKind::read)?,
            verbs: fields.take("verbs").list(Json::text)?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        object.text("subresource", &self.subresource);
        if let Some(kind) = &self.response_kind {
            kind.write(object.field("responseKind"));
        }
        let accepted = self.accepted_types.as_deref();
        object.list_if_any("acceptedTypes", accepted, GroupVersionKind::write);
        object.texts("verbs", self.verbs.as_deref());
        object.end();
    }
}

impl<'a> GroupVersionKind<'a> {
    fn read(json: Json<'a>) -> Result<Self, Needed> {
        Self::of(json.object()?)
    }

    fn read_optional(json: Json<'a>) -> Result<Option<Self>, Needed> {
        json.optional_object()?.map(Self::of).transpose()
    }

    fn of(mut fields: Fields<'a>) -> Result<Self, Needed> {
        Ok(Self {
            group: fields.take("group").text()?,
            version: fields.take("version").text()?,
            kind: fields.take("kind").text()?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        object.text("group", &self.group);
        object.text("version", &self.version);
        object.text("kind", &self.kind);
        object.end();
    }
}

/// What is merged by name.
pub(super) trait Named {
    fn name(&self) -> &str;
}

impl Named for Group<'_> {
    fn name(&self) -> &str {
        Group::name(self)
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
