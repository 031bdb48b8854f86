//! Discovery bytes -> what a server lists, with a list of what could not be read.
//!
//! The answer's Content-Type says which form it has (`kubernetes-sigs` clients decide the same way,
//! client-go `discovery_client.go`): aggregated v2 or v2beta1, else plain. One unreadable group never
//! hides the others, and a document from which nothing can be read is an error, so that it never
//! replaces a good one. The wire forms are in `discovery::aggregated` and `discovery::plain`; which
//! APIs another server answers for, `discovery::api_services` tells.

mod aggregated;
mod api_services;
mod plain;

use std::fmt;

use crate::apis::{Apis, Refused};
use crate::json::Needed;
use crate::request::Scope;

pub use api_services::{API_SERVICES, read_api_services};
pub use plain::{GroupVersion, read_group_versions, read_resources};

/// Largest document that is looked at, in bytes: 3,000 CRDs make 1.6 MB.
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// What to ask a server for, best first. `profile=nopeer` keeps a server with the built-in mixed
/// version proxy from answering for its peers; others ignore it.
pub const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,\
application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
application/json";

/// Which of the two roots a document belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// `/api`: the core group, which has no name.
    Core,
    /// `/apis`: all named groups.
    Named,
}

impl Root {
    /// The path at which a server has it.
    pub fn path(self) -> &'static str {
        match self {
            Root::Core => "/api",
            Root::Named => "/apis",
        }
    }

    /// What its document speaks of.
    pub fn scope(self) -> Scope<'static> {
        match self {
            Root::Core => Scope::Core,
            Root::Named => Scope::Named,
        }
    }
}

/// The form of a discovery answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `APIGroupDiscoveryList`, v2 or v2beta1: the two have the same fields.
    Aggregated,
    /// `APIGroupList` or `APIVersions`: names only, the resources are asked for one by one.
    Plain,
}

impl Form {
    /// Reads a Content-Type; parameters count in any order.
    pub fn of(content_type: &[u8]) -> Result<Self, DiscoveryError> {
        let mut parts = content_type.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        if parts.next() != Some(b"application/json") {
            return Err(DiscoveryError::ContentType(Excerpt::of(content_type)));
        }
        let parameters: Vec<_> = parts.collect();
        let has = |parameter: &[u8]| parameters.contains(&parameter);
        let aggregated = has(b"g=apidiscovery.k8s.io")
            && has(b"as=APIGroupDiscoveryList")
            && (has(b"v=v2") || has(b"v=v2beta1"));
        Ok(if aggregated { Form::Aggregated } else { Form::Plain })
    }
}

/// What a document says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Everything that could be read, and what [`read_aggregated`] kept for what could not.
    pub apis: Apis,
    /// What could not be read, one sentence each; at most [`MAX_PROBLEMS`].
    pub problems: Vec<String>,
}

/// Most problems kept of one document: enough to see what is wrong.
pub const MAX_PROBLEMS: usize = 8;

/// Reads an aggregated document. Where a group cannot be read, what `old` had of the groups that
/// were not read is kept: the document does not say that they are gone.
pub fn read_aggregated(root: Root, body: &[u8], old: &Apis) -> Result<Reading, DiscoveryError> {
    if body.len() > MAX_DOCUMENT_BYTES {
        return Err(DiscoveryError::TooLarge { bytes: body.len() });
    }
    aggregated::read(root, body, old)
}

/// Why a document was not believed. Nothing of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiscoveryError {
    /// Not a content type that holds discovery.
    ContentType(Excerpt),
    /// Longer than [`MAX_DOCUMENT_BYTES`].
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not JSON of the expected shape; where, and what the parser said.
    Malformed {
        /// Column (the documents are one line).
        column: usize,
        /// The parser's words.
        detail: String,
    },
    /// JSON of another shape: what is needed, in some place.
    Shape(String),
    /// Another kind of object than the one asked for.
    Kind(Excerpt),
    /// No API in it: every kube-apiserver serves some, so the answer is not one of a working server.
    Empty,
    /// More than [`crate::apis::MAX_APIS`].
    TooManyApis,
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentType(found) => write!(f, "content type {found} is not discovery"),
            Self::TooLarge { bytes } => {
                write!(f, "{bytes} bytes, more than the {MAX_DOCUMENT_BYTES} that are read")
            }
            Self::Malformed { column, detail } => {
                write!(f, "not discovery JSON: {detail} (byte {column})")
            }
            Self::Shape(needed) => write!(f, "not discovery JSON: {needed}"),
            Self::Kind(found) => write!(f, "kind {found} is not a discovery list"),
            Self::Empty => write!(f, "lists no API at all"),
            Self::TooManyApis => write!(f, "lists more than {} APIs", crate::apis::MAX_APIS),
        }
    }
}

impl From<serde_json::Error> for DiscoveryError {
    fn from(error: serde_json::Error) -> Self {
        let detail = Excerpt::of(error.to_string().as_bytes()).to_string();
        Self::Malformed { column: error.column(), detail }
    }
}

impl From<Needed> for DiscoveryError {
    fn from(needed: Needed) -> Self {
        Self::Shape(needed.to_string())
    }
}

/// A short, printable piece of what somebody else sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    const MAX_BYTES: usize = 80;

    /// The first 80 bytes, escaped.
    pub fn of(bytes: &[u8]) -> Self {
        let shown = bytes.get(..Self::MAX_BYTES).unwrap_or(bytes);
        let dots = if shown.len() < bytes.len() { "…" } else { "" };
        Self(format!("\"{}\"{dots}", shown.escape_ascii()))
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Notes why an entry was left out; too many of them end the whole document.
fn note(refused: Refused, name: &str, problems: &mut Vec<String>) -> Result<(), DiscoveryError> {
    match refused {
        Refused::TooMany => Err(DiscoveryError::TooManyApis),
        Refused::Name => {
            let name = Excerpt::of(name.as_bytes());
            push(problems, format!("{name} cannot be part of a path"));
            Ok(())
        }
    }
}

fn push(problems: &mut Vec<String>, problem: String) {
    if problems.len() < MAX_PROBLEMS {
        problems.push(problem);
    }
}
