//! What one fetcher VM left in shared data -> what the next one goes on from.

use peerway_core::lease::{Claim, claim, pair, read_pair};
use peerway_core::record::{Document, Status};

use crate::input::SERVERS;
use crate::sealed::sealed;

const NOW_MS: u64 = 1_000_000;

pub(crate) fn check(data: &[u8]) {
    for bytes in [data.to_vec(), sealed(2, data)] {
        if let Some(status) = Status::from_bytes(bytes.clone()) {
            assert_eq!(Status::from_bytes(status.to_bytes()).as_ref(), Some(&status));
            for server in &*SERVERS {
                assert_eq!(status.of(server).address, server.address);
            }
        }
        if let Some(document) = Document::from_bytes(bytes) {
            assert!(document.apis.iter().all(|(key, _)| key.matches('/').count() == 3));
            assert_eq!(Document::from_bytes(document.to_bytes()), Some(document));
        }
    }
    let lease = read_pair(data);
    assert!(lease.is_none_or(|(holder, until_ms)| pair(holder, until_ms) == data));
    if lease.is_none() {
        assert_eq!(claim(Some(data), 1, NOW_MS), Claim::Take, "garbage keeps nobody out");
    }
}
