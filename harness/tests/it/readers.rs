//! Clients that read without a pause while something happens, each until an answer is not what it
//! must be.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use peerway_harness::client::{Answer, Client, Request};
use peerway_harness::process::wait_until;
use tokio::task::JoinHandle;

use crate::faults::asks_to_come_back;

/// Running readers.
#[derive(Default)]
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    readers: Vec<Reader>,
}

struct Reader {
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    read: AtomicUsize,
    refused: AtomicUsize,
    failure: OnceLock<String>,
}

impl Readers {
    /// One more, which does `read` again and again: `None` counts as refused, an error is the end.
    pub(crate) fn add<F>(&mut self, mut read: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = Result<Option<()>>> + Send,
    {
        let (stop, counts) = (Arc::clone(&self.stop), Arc::<Counts>::default());
        let shared = Arc::clone(&counts);
        let reading = async move {
            while !stop.load(Relaxed) {
                let count = match read().await {
                    Ok(Some(())) => &shared.read,
                    Ok(None) => &shared.refused,
                    Err(error) => return drop(shared.failure.set(format!("{error:#}"))),
                };
                count.fetch_add(1, Relaxed);
            }
        };
        self.readers.push(Reader { counts, task: tokio::spawn(reading) });
    }

    /// Returns when each has read so many times more.
    pub(crate) async fn go_on(&self, times: usize) -> Result<()> {
        let read = |reader: &Reader| reader.counts.read.load(Relaxed);
        let enough: Vec<_> = self.readers.iter().map(|reader| read(reader) + times).collect();
        let each = || self.readers.iter().zip(&enough).all(|(it, enough)| read(it) >= *enough);
        self.until("through with reading", each).await
    }

    /// Waits until something is so; an error when a reader fails before.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn() -> bool) -> Result<()> {
        let failure = || self.readers.iter().find_map(|reader| reader.counts.failure.get());
        wait_until(what, LIMIT, async || is_so() || failure().is_some()).await?;
        failure().map_or(Ok(()), |failure| bail!("{failure}"))
    }

    /// Ends them, and returns how often all of them read, and how often they were refused.
    pub(crate) async fn end(self) -> Result<(usize, usize)> {
        self.stop.store(true, Relaxed);
        let (mut read, mut refused) = (0, 0);
        for Reader { counts, task } in self.readers {
            task.await?;
            ensure!(counts.failure.get().is_none(), "{:?}", counts.failure);
            read += counts.read.load(Relaxed);
            refused += counts.refused.load(Relaxed);
        }
        Ok((read, refused))
    }
}

/// Whether there is no whole answer because it broke off: what a server that is killed had in hand.
pub(crate) fn broke_off<T>(read: &Result<T>) -> bool {
    read.as_ref().is_err_and(|error| format!("{error:#}").contains("the body broke off"))
}

/// An answer of 200; nothing for the 503 that asks to come back, also in the words of a server that
/// stops: it is passed on where no other can answer.
pub(crate) async fn read(client: &Client, request: Request) -> Result<Option<Answer>> {
    let answer = client.send(request).await?;
    if answer.status == 200 {
        return Ok(Some(answer));
    }
    let is_stopping = answer.status == 503 && answer.text().contains("apiserver is shutting down");
    if !is_stopping || answer.header("retry-after").is_none() {
        asks_to_come_back(&answer)?;
    }
    Ok(None)
}

/// A server that alone has everything may be away until it is found to be gone.
const LIMIT: Duration = Duration::from_secs(60);
