//! What the fetcher's VMs leave for each other in shared data, as prost messages behind the same
//! header as a snapshot. A record that cannot be read counts as not there: it is read anew from the
//! servers.

use bytes::Bytes;
use prost::Message;

use crate::apis::{Apis, Origin};
use crate::discovery::Root;
use crate::servers::Server;
use crate::serving_map::Standing;
use crate::snapshot::{opened, sealed};

/// Raised with every change of the messages that an older module would misread.
const FORMAT: u8 = 2;

/// The small part: how all servers stand. Saved after every look at a server.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// Generation of the last published map.
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    /// One record a server.
    #[prost(message, repeated, tag = "2")]
    pub servers: Vec<ServerRecord>,
}

/// How one server stands. Times are in milliseconds since the epoch, 0 for never.
#[derive(Clone, PartialEq, Message)]
pub struct ServerRecord {
    /// Its configured name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its configured `ip:port`.
    #[prost(string, tag = "2")]
    pub address: String,
    #[prost(enumeration = "WireStanding", tag = "3")]
    wire_standing: i32,
    #[prost(enumeration = "WireStanding", tag = "4")]
    wire_shown: i32,
    /// `gitVersion`, empty if not known.
    #[prost(string, tag = "5")]
    pub version: String,
    /// What was wrong with the last look, empty if nothing.
    #[prost(string, tag = "6")]
    pub problem: String,
    /// When `/readyz` was last good.
    #[prost(uint64, tag = "7")]
    pub ready_ms: u64,
    /// When its document was last read, or found unchanged.
    #[prost(uint64, tag = "8")]
    pub read_ms: u64,
    /// Whether it answers nothing at all, or was late for too long, and gave no sign of life since.
    #[prost(bool, tag = "9")]
    pub silent: bool,
    /// When it was last confirmed.
    #[prost(uint64, tag = "10")]
    pub confirmed_ms: u64,
}

/// [`Standing`] as a protobuf enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum WireStanding {
    Unknown = 0,
    Confirmed = 1,
    Gone = 2,
    Late = 3,
}

/// The large part: what one server lists. Saved when it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// Everything listed under both roots.
    pub apis: Apis,
    /// ETag of `/api`; empty for a server that has only plain discovery.
    pub core_etag: String,
    /// ETag of `/apis`, likewise.
    pub named_etag: String,
    /// The aggregated document of `/api`, as it was answered; empty if there is none.
    pub core_body: Bytes,
    /// That of `/apis`, likewise.
    pub named_body: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct WireDocument {
    #[prost(string, repeated, tag = "1")]
    built_in: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    shared: Vec<String>,
    #[prost(string, tag = "3")]
    core_etag: String,
    #[prost(string, tag = "4")]
    named_etag: String,
    #[prost(bytes = "bytes", tag = "5")]
    core_body: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    named_body: Bytes,
}

impl Status {
    /// For shared data.
    pub fn to_bytes(&self) -> Vec<u8> {
        sealed(FORMAT, &self.encode_to_vec())
    }

    /// What [`Self::to_bytes`] wrote, `None` if it is not that.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        Self::decode(opened(FORMAT, bytes).ok()?).ok()
    }

    /// The record of `server`, a new one if there is none.
    pub fn of(&self, server: &Server) -> ServerRecord {
        let same = |record: &&ServerRecord| record.address == server.address;
        let mut record = self.servers.iter().find(same).cloned().unwrap_or_default();
        record.name.clone_from(&server.name);
        record.address.clone_from(&server.address);
        record
    }
}

impl ServerRecord {
    /// How the server stands.
    pub fn standing(&self) -> Standing {
        from_wire(self.wire_standing)
    }

    /// How the map shows it.
    pub fn shown(&self) -> Standing {
        from_wire(self.wire_shown)
    }

    /// Sets how the server stands, as was seen just now.
    pub fn set_standing(&mut self, standing: Standing, now_ms: u64) {
        self.wire_standing = to_wire(standing);
        if standing == Standing::Confirmed {
            self.confirmed_ms = now_ms;
        }
    }

    /// The same record with how the map shows it.
    pub fn showing(&self, shown: Standing) -> Self {
        Self { wire_shown: to_wire(shown), ..self.clone() }
    }
}

impl Document {
    /// ETag of a root, empty if it has none.
    pub fn etag(&self, root: Root) -> &str {
        match root {
            Root::Core => &self.core_etag,
            Root::Named => &self.named_etag,
        }
    }

    /// The aggregated document of a root, empty if there is none.
    pub fn body(&self, root: Root) -> &Bytes {
        match root {
            Root::Core => &self.core_body,
            Root::Named => &self.named_body,
        }
    }

    /// Puts a new reading of one root in place of the old. Without a body the old one stays: that of
    /// a server whose document could be read in part only.
    pub fn replace(&mut self, root: Root, mut apis: Apis, etag: String, body: Option<Bytes>) {
        apis.keep_from(&self.apis, |group| group.is_empty() == (root == Root::Named));
        self.apis = apis;
        let (its_etag, its_body) = match root {
            Root::Core => (&mut self.core_etag, &mut self.core_body),
            Root::Named => (&mut self.named_etag, &mut self.named_body),
        };
        *its_etag = etag;
        if let Some(body) = body {
            *its_body = body;
        }
    }

    /// For shared data.
    pub fn to_bytes(&self) -> Vec<u8> {
        let keys = |wanted| -> Vec<String> {
            let of_origin = self.apis.iter().filter(|(_, origin)| *origin == wanted);
            of_origin.map(|(key, _)| key.to_owned()).collect()
        };
        let message = WireDocument {
            built_in: keys(Origin::BuiltIn),
            shared: keys(Origin::Shared),
            core_etag: self.core_etag.clone(),
            named_etag: self.named_etag.clone(),
            core_body: self.core_body.clone(),
            named_body: self.named_body.clone(),
        };
        sealed(FORMAT, &message.encode_to_vec())
    }

    /// What [`Self::to_bytes`] wrote, `None` if it is not that.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let message = WireDocument::decode(opened(FORMAT, bytes).ok()?).ok()?;
        let built_in = message.built_in.into_iter().map(|key| (key, Origin::BuiltIn));
        let shared = message.shared.into_iter().map(|key| (key, Origin::Shared));
        Some(Self {
            apis: built_in.chain(shared).collect(),
            core_etag: message.core_etag,
            named_etag: message.named_etag,
            core_body: message.core_body,
            named_body: message.named_body,
        })
    }
}

fn to_wire(standing: Standing) -> i32 {
    match standing {
        Standing::Unknown => WireStanding::Unknown.into(),
        Standing::Confirmed => WireStanding::Confirmed.into(),
        Standing::Late => WireStanding::Late.into(),
        Standing::Gone => WireStanding::Gone.into(),
    }
}

fn from_wire(wire: i32) -> Standing {
    match WireStanding::try_from(wire) {
        Ok(WireStanding::Confirmed) => Standing::Confirmed,
        Ok(WireStanding::Late) => Standing::Late,
        Ok(WireStanding::Gone) => Standing::Gone,
        Ok(WireStanding::Unknown) | Err(_) => Standing::Unknown,
    }
}
