//! How long each part takes: the whole in about ten minutes on two cores, or a quick look at
//! everything in about two.

use std::time::Duration;

/// Rounds and times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) cpu_rounds: u32,
    pub(crate) cpu_slice: Duration,
    pub(crate) real_rounds: u32,
    pub(crate) open_slice: Duration,
    pub(crate) closed_slice: Duration,
    pub(crate) tries: usize,
    pub(crate) polls: u64,
    pub(crate) watches: usize,
    pub(crate) map_changes: u32,
}

impl Plan {
    /// What the results that are published come from.
    pub(crate) fn full() -> Self {
        Self {
            cpu_rounds: 25,
            cpu_slice: Duration::from_millis(500),
            real_rounds: 12,
            open_slice: Duration::from_millis(1_500),
            closed_slice: Duration::from_millis(1_200),
            tries: 50,
            polls: 10_000,
            watches: 5_000,
            map_changes: 10,
        }
    }

    /// To see whether something is far off.
    pub(crate) fn quick() -> Self {
        Self {
            cpu_rounds: 5,
            cpu_slice: Duration::from_millis(400),
            real_rounds: 1,
            open_slice: Duration::from_millis(1_000),
            closed_slice: Duration::from_millis(1_000),
            tries: 8,
            polls: 1_000,
            watches: 500,
            map_changes: 4,
        }
    }
}
