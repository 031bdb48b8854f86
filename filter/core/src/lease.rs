//! Which of the fetcher's VMs polls: a lease in shared data, taken under compare-and-swap.
//!
//! Every worker has its own fetcher VM. The holder renews the lease on each of its ticks; when it
//! crashes, the lease runs out and the first other VM that looks takes it. A VM that has just taken
//! it acts only when it finds its own name there on its next tick, so that two VMs that wrote an
//! absent lease at once (which compare-and-swap cannot tell apart) do not both act.

/// How long a lease holds without being renewed, in milliseconds: several ticks.
pub const LEASE_MS: u64 = 700;

/// What a VM is to do about the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It holds the lease: write it anew, and act.
    Renew,
    /// Nobody holds it: write it, and look again on the next tick.
    Take,
    /// Another VM holds it.
    Leave,
}

/// Looks at the lease as `me`.
pub fn claim(lease: Option<&[u8]>, me: u64, now_ms: u64) -> Claim {
    let Some((holder, until_ms)) = lease.and_then(read_pair) else {
        return Claim::Take;
    };
    // A clock that was set back must not keep a dead holder for ever.
    let runs = until_ms > now_ms && until_ms <= now_ms + LEASE_MS;
    match (holder == me, runs) {
        (true, _) => Claim::Renew,
        (false, true) => Claim::Leave,
        (false, false) => Claim::Take,
    }
}

/// The lease of `me` from now on.
pub fn write(me: u64, now_ms: u64) -> [u8; 16] {
    pair(me, now_ms + LEASE_MS)
}

/// Two numbers as bytes, as [`read_pair`] reads them.
pub fn pair(first: u64, second: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    let (low, high) = bytes.split_at_mut(8);
    low.copy_from_slice(&first.to_le_bytes());
    high.copy_from_slice(&second.to_le_bytes());
    bytes
}

/// The two numbers that [`pair`] wrote.
pub fn read_pair(bytes: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = bytes.split_first_chunk()?;
    let second = rest.try_into().ok()?;
    Some((u64::from_le_bytes(*first), u64::from_le_bytes(second)))
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn a_lease_is_renewed_by_its_holder_and_taken_only_when_it_ran_out() {
        let lease = write(1, 1_000);
        assert_eq!(claim(Some(&lease), 1, 1_100), Claim::Renew);
        assert_eq!(claim(Some(&lease), 2, 1_100), Claim::Leave);
        assert_eq!(claim(Some(&lease), 2, 1_000 + LEASE_MS), Claim::Take);
        assert_eq!(claim(None, 2, 0), Claim::Take);
        assert_eq!(claim(Some(b"garbage"), 2, 0), Claim::Take);
    }

    #[test]
    fn a_clock_set_back_does_not_keep_a_dead_holder() {
        assert_eq!(claim(Some(&write(1, 900_000)), 2, 1_000), Claim::Take);
    }
}
