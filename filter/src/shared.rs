//! What the VMs of one Envoy share: who writes what, and in which order.
//!
//! Only the fetcher that holds the lease writes the map, its beat, documents and status. Merged
//! documents are written before the map that speaks of them, and that before the beat that announces
//! it, so a worker that sees a generation finds its map and its documents, or newer ones.

use peerway_core::cluster::MergedDocument;
use peerway_core::lease;
use peerway_core::record::{Document, Status};
use peerway_core::servers::Server;
use peerway_core::serving_map::PageKey;

use crate::host;

const LEASE: &str = "peerway.lease";
const BEAT: &str = "peerway.beat";
const MAP: &str = "peerway.map";
const STATUS: &str = "peerway.status";
const REFRESH: &str = "peerway.refresh";
const STARTED: &str = "peerway.started";

/// Generation of the map, and when the fetcher last renewed it.
pub(crate) fn beat() -> Option<(u64, u64)> {
    lease::read_pair(&host::shared_data(BEAT).0?)
}

/// Announces or renews a map.
pub(crate) fn set_beat(generation: u64, now_ms: u64) {
    host::set_shared_data(BEAT, &lease::pair(generation, now_ms), None);
}

/// The snapshot of the map.
pub(crate) fn map() -> Option<Vec<u8>> {
    host::shared_data(MAP).0
}

/// Puts a new snapshot in place.
pub(crate) fn set_map(snapshot: &[u8]) {
    host::set_shared_data(MAP, snapshot, None);
}

/// A merged document, if there is one that can be read.
pub(crate) fn merged(key: &PageKey) -> Option<MergedDocument> {
    MergedDocument::from_bytes(host::shared_data(&merged_key(key)).0?).ok()
}

/// Puts a new merged document in place, before the map that speaks of it.
pub(crate) fn set_merged(key: &PageKey, document: &MergedDocument) {
    host::set_shared_data(&merged_key(key), &document.to_bytes(), None);
}

/// Once there, it stays: of a worker that still has the map before, it may be asked for.
fn merged_key(key: &PageKey) -> String {
    format!("peerway.merged.{}", String::from_utf8_lossy(key))
}

/// When the first of the VMs started that know these servers; that is now if none did before.
pub(crate) fn started_ms(servers: &[Server], now_ms: u64) -> u64 {
    let addresses = servers.iter().map(|server| format!(".{}", server.address));
    let key = format!("{STARTED}{}", addresses.collect::<String>());
    let (started, read) = host::shared_data(&key);
    if let Some((started_ms, _)) = started.as_deref().and_then(lease::read_pair) {
        return started_ms;
    }
    host::set_shared_data(&key, &lease::pair(now_ms, 0), read);
    now_ms
}

/// The lease, for [`lease::claim`], and what [`set_lease`] needs.
pub(crate) fn lease() -> (Option<Vec<u8>>, Option<u32>) {
    host::shared_data(LEASE)
}

/// Writes the lease unless another VM did since it was read.
pub(crate) fn set_lease(me: u64, now_ms: u64, read: Option<u32>) -> bool {
    host::set_shared_data(LEASE, &lease::write(me, now_ms), read)
}

/// How the servers stand; as new when nothing is there or it cannot be read.
pub(crate) fn status() -> Status {
    host::shared_data(STATUS).0.and_then(Status::from_bytes).unwrap_or_default()
}

/// Keeps how the servers stand.
pub(crate) fn set_status(status: &Status) {
    host::set_shared_data(STATUS, &status.to_bytes(), None);
}

/// The last good document of a server.
pub(crate) fn document(server: &Server) -> Option<Document> {
    host::shared_data(&document_key(server)).0.and_then(Document::from_bytes)
}

/// Keeps a document.
pub(crate) fn set_document(server: &Server, document: &Document) {
    host::set_shared_data(&document_key(server), &document.to_bytes(), None);
}

/// When somebody last asked for all servers to be looked at.
pub(crate) fn refresh_wanted() -> Option<(u64, u64)> {
    lease::read_pair(&host::shared_data(REFRESH).0?)
}

/// Asks the VM that polls to look at all servers.
pub(crate) fn want_refresh(now_ns: u64) {
    host::set_shared_data(REFRESH, &lease::pair(now_ns, 0), None);
}

/// By address: a server that is given another name is the same server.
fn document_key(server: &Server) -> String {
    format!("peerway.document.{}", server.address)
}
