//! The map as bytes, for shared data: [`Rows`] -> bytes in the fetcher, bytes -> [`ServingMap`] in
//! each worker.
//!
//! ```text
//! | format: 1 byte | checksum of the rest: 8 bytes, little endian | prost message |
//! ```
//!
//! A snapshot is about the servers of one configuration: one that names other servers, or the same in
//! another order, is refused, and the worker goes without a map until the fetcher has caught up.

use std::fmt;
use std::hash::{BuildHasher, Hasher};

use bytes::Bytes;
use prost::Message;

use crate::servers::{Server, ServerSet};
use crate::serving_map::{Page, PageKey, Rows, ServingMap};

/// Raised with every change of the message that an older worker would misread.
const FORMAT: u8 = 2;
const HEADER_BYTES: usize = 9;

#[derive(Clone, PartialEq, Message)]
struct Map {
    #[prost(string, repeated, tag = "1")]
    servers: Vec<String>,
    #[prost(fixed64, tag = "2")]
    confirmed: u64,
    #[prost(fixed64, tag = "3")]
    unknown: u64,
    #[prost(fixed64, tag = "4")]
    unread: u64,
    #[prost(message, repeated, tag = "5")]
    apis: Vec<Row>,
    #[prost(message, repeated, tag = "6")]
    scopes: Vec<Row>,
    #[prost(message, repeated, tag = "7")]
    pages: Vec<PageRow>,
    #[prost(fixed64, tag = "8")]
    silent: u64,
}

#[derive(Clone, PartialEq, Message)]
struct PageRow {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(uint64, tag = "2")]
    own: u64,
    #[prost(string, optional, tag = "3")]
    merged: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Row {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(uint64, tag = "2")]
    servers: u64,
}

/// Why a snapshot was not taken. The worker keeps the map that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotError {
    /// Shorter than its header.
    Truncated,
    /// Written by another version of Peerway.
    Format(u8),
    /// The bytes are not the ones that were written.
    Checksum,
    /// The checksum holds, the message does not.
    Message,
    /// About other servers than the configured ones.
    OtherServers,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "map snapshot: shorter than its header"),
            Self::Format(found) => {
                write!(f, "map snapshot: format {found}, this module reads {FORMAT}")
            }
            Self::Checksum => write!(f, "map snapshot: checksum does not match"),
            Self::Message => write!(f, "map snapshot: message cannot be decoded"),
            Self::OtherServers => {
                write!(f, "map snapshot: about other servers than the configured ones")
            }
        }
    }
}

/// Writes `rows`, which are about `servers`.
pub fn encode(servers: &[Server], rows: &Rows) -> Vec<u8> {
    let to_rows = |rows: &[(String, ServerSet)]| -> Vec<Row> {
        let row = |(key, servers): &(String, ServerSet)| Row {
            key: Bytes::copy_from_slice(key.as_bytes()),
            servers: servers.to_bits(),
        };
        rows.iter().map(row).collect()
    };
    let to_page = |(key, page): (&PageKey, &Page)| PageRow {
        key: Bytes::copy_from_slice(key),
        own: page.own.to_bits(),
        merged: page.merged.clone(),
    };
    let message = Map {
        servers: servers.iter().map(|server| server.address.clone()).collect(),
        confirmed: rows.confirmed.to_bits(),
        unknown: rows.unknown.to_bits(),
        unread: rows.unread.to_bits(),
        apis: to_rows(&rows.apis),
        scopes: to_rows(&rows.scopes),
        pages: rows.pages.iter().map(to_page).collect(),
        silent: rows.silent.to_bits(),
    };
    sealed(FORMAT, &message.encode_to_vec())
}

/// Reads a snapshot about `servers`.
pub fn decode(bytes: Vec<u8>, servers: &[Server]) -> Result<ServingMap, SnapshotError> {
    let map = Map::decode(opened(FORMAT, bytes)?).map_err(|_| SnapshotError::Message)?;
    if !map.servers.iter().eq(servers.iter().map(|server| &server.address)) {
        return Err(SnapshotError::OtherServers);
    }
    let sets = [map.confirmed, map.unknown, map.unread].map(ServerSet::from_bits);
    let mut serving_map = ServingMap::with_capacity(sets, map.apis.len(), map.scopes.len());
    for row in map.apis {
        serving_map.insert_api(row.key, ServerSet::from_bits(row.servers));
    }
    for row in map.scopes {
        serving_map.insert_scope(row.key, ServerSet::from_bits(row.servers));
    }
    let page = |row: PageRow| {
        (row.key.to_vec(), Page { own: ServerSet::from_bits(row.own), merged: row.merged })
    };
    serving_map.silent = ServerSet::from_bits(map.silent);
    serving_map.pages = map.pages.into_iter().map(page).collect();
    Ok(serving_map)
}

/// Puts format and checksum before a message.
pub(crate) fn sealed(format: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + message.len());
    bytes.push(format);
    bytes.extend(checksum(message).to_le_bytes());
    bytes.extend(message);
    bytes
}

/// The message behind a header that [`sealed`] wrote.
pub(crate) fn opened(format: u8, bytes: Vec<u8>) -> Result<Bytes, SnapshotError> {
    let bytes = Bytes::from(bytes);
    let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(SnapshotError::Truncated)?;
    let [found, expected @ ..] = *header;
    if found != format {
        return Err(SnapshotError::Format(found));
    }
    let message = bytes.slice(HEADER_BYTES..);
    if checksum(&message) != u64::from_le_bytes(expected) {
        return Err(SnapshotError::Checksum);
    }
    Ok(message)
}

/// Tells bytes from others; not made to withstand anybody.
pub(crate) fn checksum(message: &[u8]) -> u64 {
    let mut hasher = foldhash::quality::FixedState::default().build_hasher();
    hasher.write(message);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::request::{Api, Form, Scope};
    use crate::serving_map::page_key;

    fn servers() -> Vec<Server> {
        let server = |at| Server { name: format!("s{at}"), address: format!("127.0.0.1:{at}") };
        (1..=3).map(server).collect()
    }

    fn page() -> Page {
        Page { own: ServerSet::first(1), merged: Some("\"AB\"".into()) }
    }

    fn snapshot() -> Vec<u8> {
        let rows = Rows {
            confirmed: ServerSet::first(2),
            unknown: ServerSet::EMPTY,
            unread: [2].into_iter().collect(),
            apis: vec![("apps/v1/deployments/".into(), ServerSet::first(1))],
            scopes: vec![
                (String::new(), ServerSet::first(2)),
                ("apps/v1".into(), ServerSet::first(1)),
            ],
            pages: [(page_key(Scope::Named, Form::Aggregated), page())].into(),
            ghosts: [].into(),
            silent: [3].into_iter().collect(),
        };
        encode(&servers(), &rows)
    }

    #[test]
    fn a_snapshot_comes_back_as_it_was() {
        let map = decode(snapshot(), &servers()).unwrap();
        let api =
            Api { group: b"apps", version: b"v1", resource: b"deployments", subresource: b"" };
        assert_eq!(map.listing(&api), ServerSet::first(1));
        assert_eq!(map.fullest(Scope::Cluster), ServerSet::first(2));
        assert_eq!(map.fullest(Scope::GroupVersion(b"apps", b"v1")), ServerSet::first(1));
        assert_eq!(map.fullest(Scope::Group(b"apps")), ServerSet::EMPTY);
        assert_eq!(map.page(Scope::Named, Form::Aggregated), Some(&page()));
        assert_eq!(map.page(Scope::Core, Form::Aggregated), None);
        assert_eq!((map.confirmed.len(), map.unknown.len(), map.unread.len()), (2, 0, 1));
        assert_eq!(map.silent.to_bits(), 8);
    }

    #[test]
    fn a_damaged_snapshot_is_an_error() {
        let good = snapshot();
        for end in 0..good.len() {
            assert!(decode(good[..end].to_vec(), &servers()).is_err(), "cut at {end}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(decode(bad, &servers()).is_err(), "flipped at {at}");
        }
    }

    #[test]
    fn a_snapshot_about_other_servers_is_refused() {
        let fewer = &servers()[..2];
        assert_eq!(decode(snapshot(), fewer).err(), Some(SnapshotError::OtherServers));
    }
}
