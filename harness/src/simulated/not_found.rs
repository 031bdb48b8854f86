//! A kube-apiserver's 404 answers, in its exact bytes.
//!
//! There are two kinds: plain text for a group that it has never heard of, and a `Status`, which
//! names the object that is missing, or nothing when the resource itself is unknown. The encodings
//! are those of k8s.io/apimachinery: `runtime/serializer/json` and `runtime/serializer/protobuf`.

use anyhow::{Context, Result};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use serde::Serialize;

use super::Reply;

/// How a `Status` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// One line, with a newline at its end.
    Json,
    /// For people: curl's user agent, `?pretty`, or an `Accept` that cannot be met. No newline at
    /// its end.
    IndentedJson,
    /// Keys in order of the alphabet.
    Yaml,
    /// Behind the four bytes `k8s\0`.
    Protobuf,
}

impl Encoding {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::IndentedJson => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// What a `Status` of 404 says is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotFound {
    object: Option<Details>,
}

impl NotFound {
    /// The resource: this server does not know it.
    pub fn resource() -> Self {
        Self::default()
    }

    /// An object of a resource that the server knows. `group` is empty for the core group,
    /// `resource` is the plural.
    pub fn object(group: &str, resource: &str, name: &str) -> Self {
        let object =
            Details { name: name.to_owned(), group: group.to_owned(), kind: resource.to_owned() };
        Self { object: Some(object) }
    }

    /// The body of the answer.
    pub fn body(&self, encoding: Encoding) -> Result<Vec<u8>> {
        let message = self.message();
        let details = self.object.clone().unwrap_or_default();
        let status = Status {
            kind: "Status",
            api_version: "v1",
            metadata: Empty {},
            status: "Failure",
            message: &message,
            reason: "NotFound",
            details: &details,
            code: StatusCode::NOT_FOUND.as_u16(),
        };
        match encoding {
            Encoding::Json => {
                let mut body = serde_json::to_vec(&status).context("a Status as JSON")?;
                body.push(b'\n');
                Ok(body)
            }
            Encoding::IndentedJson => {
                serde_json::to_vec_pretty(&status).context("a Status as JSON")
            }
            Encoding::Yaml => Ok(status.yaml().into_bytes()),
            Encoding::Protobuf => Ok(status.protobuf()),
        }
    }

    /// The whole answer.
    pub fn reply(&self, encoding: Encoding) -> Result<Reply> {
        let reply = Reply::new(StatusCode::NOT_FOUND).header(CACHE_CONTROL, "no-cache, private");
        Ok(reply.body(encoding.content_type(), self.body(encoding)?))
    }

    fn message(&self) -> String {
        let Some(object) = &self.object else {
            return "the server could not find the requested resource".to_owned();
        };
        let dot = if object.group.is_empty() { "" } else { "." };
        format!("{}{dot}{} \"{}\" not found", object.kind, object.group, object.name)
    }
}

/// What a path of an unknown group gets; also what any Go program says.
pub const PAGE_NOT_FOUND: &str = "404 page not found\n";

pub(super) fn page_not_found() -> Reply {
    Reply::new(StatusCode::NOT_FOUND)
        .header(CACHE_CONTROL, "no-cache, private")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .body("text/plain; charset=utf-8", PAGE_NOT_FOUND)
}

/// Field order is that of Go's struct, and with it the byte order of the JSON.
#[derive(Debug, Serialize)]
struct Status<'a> {
    kind: &'a str,
    #[serde(rename = "apiVersion")]
    api_version: &'a str,
    metadata: Empty,
    status: &'a str,
    message: &'a str,
    reason: &'a str,
    details: &'a Details,
    code: u16,
}

#[derive(Debug, Serialize)]
struct Empty {}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
}

impl Status<'_> {
    fn yaml(&self) -> String {
        let mut details = String::new();
        for (key, value) in [
            ("group", &self.details.group),
            ("kind", &self.details.kind),
            ("name", &self.details.name),
        ] {
            if !value.is_empty() {
                details.push_str(&format!("\n  {key}: {value}"));
            }
        }
        if details.is_empty() {
            details.push_str(" {}");
        }
        format!(
            "apiVersion: {}\ncode: {}\ndetails:{details}\nkind: {}\nmessage: {}\nmetadata: {{}}\n\
             reason: {}\nstatus: {}\n",
            self.api_version, self.code, self.kind, self.message, self.reason, self.status
        )
    }

    /// Go writes every string field, also the empty ones.
    fn protobuf(&self) -> Vec<u8> {
        let empty = b"";
        let metadata = [field(1, empty), field(2, empty), field(3, empty)].concat();
        let details = [
            field(1, self.details.name.as_bytes()),
            field(2, self.details.group.as_bytes()),
            field(3, self.details.kind.as_bytes()),
            number(5, 0),
            field(6, empty),
        ]
        .concat();
        let status = [
            field(1, &metadata),
            field(2, self.status.as_bytes()),
            field(3, self.message.as_bytes()),
            field(4, self.reason.as_bytes()),
            field(5, &details),
            number(6, u64::from(self.code)),
        ]
        .concat();
        let kind = [field(1, self.api_version.as_bytes()), field(2, self.kind.as_bytes())].concat();
        let envelope = [field(1, &kind), field(2, &status), field(3, empty), field(4, empty)];
        [b"k8s\0".to_vec(), envelope.concat()].concat()
    }
}

fn field(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | LENGTH_DELIMITED];
    bytes.extend(varint(value.len() as u64));
    bytes.extend_from_slice(value);
    bytes
}

fn number(tag: u8, value: u64) -> Vec<u8> {
    let mut bytes = vec![tag << 3];
    bytes.extend(varint(value));
    bytes
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

const LENGTH_DELIMITED: u8 = 2;
