//! An input -> its parts, and what several checks compare with.

use std::sync::LazyLock;

use peerway_core::apis::{Apis, Origin};
use peerway_core::servers::Server;

/// The first `N` lines without their ends, and the rest; what is not there is empty.
pub(crate) fn lines<const N: usize>(data: &[u8]) -> ([&[u8]; N], &[u8]) {
    let mut rest = data;
    let first = [(); N].map(|()| {
        let mut halves = rest.splitn(2, |byte| *byte == b'\n');
        let line = halves.next().unwrap_or_default();
        rest = halves.next().unwrap_or_default();
        line
    });
    (first, rest)
}

/// Three servers.
pub(crate) static SERVERS: LazyLock<[Server; 3]> = LazyLock::new(|| {
    [("cp-1", "10.0.0.11:6443"), ("cp-2", "10.0.0.12:6443"), ("cp-3", "[fd00::3]:6443")]
        .map(|(name, address)| Server { name: name.to_owned(), address: address.to_owned() })
});

/// What a server listed before: one group that a fuzzer finds in its seeds, and one that it does not.
pub(crate) static OLD: LazyLock<Apis> = LazyLock::new(|| {
    apis(&["/v1/pods/", "/v1/pods/log", "apps/v1/deployments/", "old.example/v1/widgets/"])
});

/// A document with these keys.
pub(crate) fn apis(keys: &[&str]) -> Apis {
    keys.iter().map(|key| ((*key).to_owned(), Origin::BuiltIn)).collect()
}
