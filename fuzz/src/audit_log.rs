//! A log, plain or gzip -> its requests, each of them judged.

use std::sync::LazyLock;

use envoy_config::rehearsal::log::Reader;
use envoy_config::rehearsal::skew::Skew;
use envoy_config::rehearsal::tally::Tally;
use envoy_config::rehearsal::unpacked;

use crate::input::{OLD, apis};

static SKEW: LazyLock<Option<Skew>> = LazyLock::new(|| {
    let new = apis(&["/v1/pods/", "/v1/pods/log", "apps/v1/deployments/", "new/v1/widgets/"]);
    Skew::between(&[("cp-1".to_owned(), &*OLD), ("cp-2".to_owned(), &new)]).ok()
});

pub(crate) fn check(data: &[u8]) {
    let (Ok(log), Some(skew)) = (unpacked(data), SKEW.as_ref()) else { return };
    let (mut requests, mut tally) = (0, Tally::default());
    let read = Reader::default().read(log, |request| {
        requests += 1;
        tally.add(skew, request);
    });
    match read {
        Ok(contents) => {
            assert!(requests + contents.broken_lines <= contents.lines);
            assert!(contents.problems.len() as u64 <= contents.broken_lines);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert_eq!(tally.requests, requests);
    for harm in tally.ways.in_order() {
        let possible = harm.false404.possible as f64;
        assert!((0.0..=possible).contains(&harm.false404.expected), "{harm:?}");
    }
    assert!(tally.top_apis(3).len() <= 3 && tally.top_clients(3).len() <= 3);
}
