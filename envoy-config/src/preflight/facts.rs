//! What was seen of the servers: everything that a check judges by.

use serde_json::{Map, Value};

use super::certificates::Certificate;

/// The user that the front-proxy certificate is tried with. It has no rights but those of everybody.
pub const PROBE_USER: &str = "peerway:preflight";
/// Its UID.
pub const PROBE_UID: &str = "peerway-preflight-uid";
/// Its groups: two, since a list joined with a comma would be one.
pub const PROBE_GROUPS: [&str; 2] = ["peerway:preflight-a", "peerway:preflight-b"];
/// The key of its one extra value, as servers set it for client certificates.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// A path below a group that every server has, with a version that none has: a `Status`, in any
/// encoding. Whoever may read discovery may ask for it.
pub const UNKNOWN_VERSION: &str = "/apis/apps/v0";
/// A path below a group that no server has: plain text.
pub const UNKNOWN_GROUP: &str = "/apis/preflight.peerway.invalid/v1";

/// A server's answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `content-type`, empty if there is none.
    pub content_type: String,
    /// `content-length`, if there is one.
    pub content_length: Option<u64>,
    /// `date` in seconds since the epoch, if there is one that can be read.
    pub date_s: Option<u64>,
    /// When the question was sent and the answer was there, by this machine's clock.
    pub asked_s: (f64, f64),
    /// The body, cut where it is very long.
    pub body: Vec<u8>,
}

/// An answer, or why there is none.
pub type Asked = Result<Answer, String>;

/// The encodings in which a server is asked for something that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As controllers ask.
    Json,
    /// As people ask with curl.
    IndentedJson,
    /// As `kubectl` never asks.
    Yaml,
    /// As built-in controllers ask.
    Protobuf,
    /// What an unknown group is answered with, whatever is asked for.
    Text,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Json, Self::IndentedJson, Self::Yaml, Self::Protobuf, Self::Text];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::IndentedJson => "indented JSON",
            Self::Yaml => "YAML",
            Self::Protobuf => "protobuf",
            Self::Text => "text",
        }
    }

    /// Path and `Accept` to ask with.
    pub fn question(self) -> (String, &'static str) {
        let plain = UNKNOWN_VERSION.to_owned();
        match self {
            Self::Json => (plain, "application/json"),
            Self::IndentedJson => (format!("{plain}?pretty=true"), "application/json"),
            Self::Yaml => (plain, "application/yaml"),
            Self::Protobuf => (plain, "application/vnd.kubernetes.protobuf"),
            Self::Text => (UNKNOWN_GROUP.to_owned(), "application/json"),
        }
    }
}

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// When, in seconds since the epoch.
    pub now_s: u64,
    /// The files that the control-plane file names.
    pub own: Vec<OwnFile>,
    /// The authorities of clients' certificates, where the file names some.
    pub client_ca: Option<Result<Vec<Certificate>, String>>,
    /// The front-proxy certificate, where the file names one.
    pub front_proxy: Option<Result<Certificate, String>>,
    /// The servers, in configured order.
    pub servers: Vec<ServerFacts>,
    /// The ConfigMap in which all servers say whose headers they believe; nothing if no server could
    /// be asked.
    pub authentication: Option<Asked>,
    /// Who reaches them past the balancer.
    pub past: Past,
}

/// A file that Envoy will read.
#[derive(Debug, Clone)]
pub struct OwnFile {
    /// The field that names it: `listen.certificate`.
    pub field: &'static str,
    /// Its path.
    pub path: String,
    /// What is in it, or why it cannot be used.
    pub found: Result<Own, String>,
}

/// What is in a file that Envoy will read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// A certificate or token.
    Credential(Validity),
    /// The key of the certificate that is named with it.
    Key,
    /// Authorities, one or more.
    Authorities(Vec<Certificate>),
    /// The module, of so many bytes.
    Module(usize),
}

/// From when and until when, in seconds since the epoch; nothing if that is not told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Validity {
    /// From when.
    pub start_s: Option<u64>,
    /// Until when.
    pub end_s: Option<u64>,
}

/// One server.
#[derive(Debug, Clone, Default)]
pub struct ServerFacts {
    /// Its configured name.
    pub name: String,
    /// Its `ip:port`.
    pub address: String,
    /// Its connection, or why there is none.
    pub wire: Option<Result<Wire, String>>,
    /// Its answers to the fetcher, as far as it was asked.
    pub fetcher: Vec<(&'static str, Asked)>,
    /// Its answer to the fetcher, asked for APIServices.
    pub api_services: Option<Asked>,
    /// Who it says that the fetcher is.
    pub fetcher_review: Option<Asked>,
    /// Its answers to somebody without credentials.
    pub anonymous: Vec<(&'static str, Asked)>,
    /// What it says to the front-proxy certificate.
    pub front_proxy: Option<FrontProxy>,
    /// Its answers to what it does not know.
    pub unknown: Vec<(Encoding, Asked)>,
}

/// What a server says to the front-proxy certificate, asked who the caller is.
#[derive(Debug, Clone)]
pub struct FrontProxy {
    /// With the headers of the probe's user.
    pub as_user: Asked,
    /// With neither a user header nor a token.
    pub alone: Asked,
    /// With the fetcher's token and no user header, where the fetcher has a token.
    pub with_token: Option<Asked>,
}

/// What a TLS connection showed.
#[derive(Debug, Clone, Default)]
pub struct Wire {
    /// TLS 1.2 or 1.3.
    pub tls: String,
    /// The certificate that the server showed.
    pub certificate: Option<Certificate>,
    /// Why that certificate is not to be trusted, if so.
    pub untrusted: Option<String>,
    /// Whether it speaks HTTP/2.
    pub is_http2: bool,
    /// The subjects (DER) of the authorities whose client certificates it takes. Servers with none
    /// take any, or no certificate at all.
    pub client_authorities: Vec<Vec<u8>>,
    /// How many streams it takes on a connection.
    pub max_streams: Option<usize>,
    /// After how many requests it ended the connection, of [`Self::requests`].
    pub ended_after: Option<usize>,
    /// How many requests were made on the connection.
    pub requests: usize,
}

/// What is known of those who reach the servers past the balancer. Nothing for what was not asked.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// Whose rights it was asked with.
    pub asked_as: String,
    /// Where in-cluster clients connect: the EndpointSlices of `default/kubernetes`.
    pub endpoints: Option<Asked>,
    /// The leases of kube-system.
    pub leases: Option<Asked>,
    /// Where the balancer listens.
    pub balancer: String,
}

impl Facts {
    /// What all servers of a cluster say together, in a ConfigMap, of whom they believe; or why that is
    /// not known.
    pub(super) fn shared(&self) -> Result<Map<String, Value>, String> {
        let asked = self.authentication.as_ref().ok_or("no server could be asked")?;
        let data = asked.as_ref().ok().filter(|answer| answer.is_good());
        let data = data.and_then(|answer| at(&answer.json(), &["data"]).as_object().cloned());
        data.ok_or_else(|| {
            let who = &self.past.asked_as;
            format!("{who} may not look ({}); --kubeconfig names somebody who may", told(asked))
        })
    }
}

impl ServerFacts {
    /// The connection, if there is one by which the server can be asked.
    pub(super) fn open(&self) -> Option<&Wire> {
        self.wire.as_ref()?.as_ref().ok().filter(|wire| wire.untrusted.is_none())
    }

    /// What it answered the fetcher at this path.
    pub(super) fn told_fetcher(&self, path: &str) -> Option<&Asked> {
        self.fetcher.iter().find(|(asked, _)| *asked == path).map(|(_, answer)| answer)
    }
}

impl Answer {
    /// The body as JSON, null if it is not.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether it was a success.
    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Who the server takes the caller for: from a review, or from the words of a refusal.
    pub(super) fn user(&self) -> Option<String> {
        let json = self.json();
        if let Some(name) = at(&json, &["status", "userInfo", "username"]).as_str() {
            return Some(name.to_owned());
        }
        let message = at(&json, &["message"]).as_str()?;
        let name = message.split_once("User \"")?.1.split('"').next()?;
        Some(name.to_owned())
    }

    /// Its status and, of a refusal, the server's words.
    pub(super) fn told(&self) -> String {
        match at(&self.json(), &["message"]).as_str() {
            Some(message) => format!("{}: {message}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// What stands below these names, null where nothing does.
pub(super) fn at<'v>(value: &'v Value, names: &[&str]) -> &'v Value {
    names.iter().try_fold(value, |value, name| value.get(*name)).unwrap_or(&Value::Null)
}

/// Status and words of an answer, or why there is none.
pub(super) fn told(asked: &Asked) -> String {
    match asked {
        Ok(answer) => answer.told(),
        Err(why) => why.clone(),
    }
}
