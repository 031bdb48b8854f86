//! Envoy's access log -> which server answered which request of a load.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::load::NUMBER;
use super::record::Seen;
use crate::balancer::Balancer;
use crate::process::wait_until;

/// Fills in the servers, by the numbers in the queries. `names` are those of addresses.
pub(super) async fn tell(
    balancer: &Balancer,
    names: &BTreeMap<String, String>,
    seen: &mut [Seen],
) -> Result<()> {
    let by_number = RefCell::new(BTreeMap::new());
    let last = seen.iter().filter(|seen| seen.what.contains(" /")).map(|seen| seen.number).max();
    let is_complete = async || {
        let log = balancer.access_log().unwrap_or_default();
        by_number.replace(log.iter().filter_map(answered).collect());
        last.is_none_or(|last| by_number.borrow().contains_key(&last))
    };
    // A request whose client is gone is logged when its server answers, if ever.
    let _ = wait_until("in the access log", LOGGED_AFTER, is_complete).await;
    let by_number = by_number.into_inner();
    for seen in seen {
        let address = by_number.get(&seen.number);
        seen.server = address.and_then(|address| names.get(address)).cloned();
    }
    Ok(())
}

/// The number in a line's path, and the address of who answered.
fn answered(line: &Value) -> Option<(u64, String)> {
    let (_, number) = line.get("path")?.as_str()?.split_once(NUMBER)?;
    let digits = number.split('&').next()?;
    Some((digits.parse().ok()?, line.get("upstream")?.as_str()?.to_owned()))
}

/// Envoy writes every 100 ms.
const LOGGED_AFTER: Duration = Duration::from_secs(2);
