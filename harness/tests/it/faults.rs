//! What goes wrong with servers and VMs: nothing that was known is lost, and nobody is told a false
//! 404.

mod absent;
mod crashes;
mod dead_servers;
mod discovery;
mod frozen;
mod whole;

use anyhow::{Result, ensure};
use peerway_harness::client::Answer;

/// An error unless `answer` is the 503 that asks to be tried again: nothing was executed.
pub(crate) fn asks_to_come_back(answer: &Answer) -> Result<()> {
    let text = answer.text();
    ensure!(answer.status == 503, "{} {text}", answer.status);
    ensure!(answer.header("retry-after") == Some("1"), "{:?} {text}", answer.headers);
    ensure!(answer.header("content-type") == Some("application/json"), "{:?}", answer.headers);
    let status = answer.json()?;
    let is_whole = status["kind"] == "Status"
        && status["apiVersion"] == "v1"
        && status["status"] == "Failure"
        && status["reason"] == "ServiceUnavailable"
        && status["details"]["retryAfterSeconds"] == 1
        && status["code"] == 503;
    ensure!(is_whole, "{text}");
    Ok(())
}
