//! Clients that read without a pause while something happens, each until an answer is not what it
//! must be.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use anyhow::Result;
use peerway_harness::client::{Answer, Client, Request};
use peerway_harness::process::wait_until;
use tokio::task::JoinHandle;

use crate::faults::asks_to_come_back;

/// Running readers. Ended only by `end`, which is what tells what went wrong.
#[derive(Default)]
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    readers: Vec<Reader>,
}

struct Reader {
    counts: Arc<Counts>,
    task: JoinHandle<Result<()>>,
}

#[derive(Default)]
struct Counts {
    read: AtomicUsize,
    refused: AtomicUsize,
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
                let read = read().await?;
                let count = if read.is_some() { &shared.read } else { &shared.refused };
                count.fetch_add(1, Relaxed);
            }
            Ok(())
        };
        self.readers.push(Reader { counts, task: tokio::spawn(reading) });
    }

    /// Returns when each has read so many times more, or one has failed.
    pub(crate) async fn go_on(&self, times: usize) -> Result<()> {
        let read = |reader: &Reader| reader.counts.read.load(Relaxed);
        let enough: Vec<_> = self.readers.iter().map(|reader| read(reader) + times).collect();
        let all =
            || self.readers.iter().zip(&enough).all(|(reader, enough)| read(reader) >= *enough);
        wait_until("through with reading", LIMIT, async || all() || self.has_failed()).await
    }

    /// Whether one has ended.
    pub(crate) fn has_failed(&self) -> bool {
        self.readers.iter().any(|reader| reader.task.is_finished())
    }

    /// How often all of them read, and how often they were refused; or why one failed.
    pub(crate) async fn end(self) -> Result<(usize, usize)> {
        self.stop.store(true, Relaxed);
        let (mut read, mut refused) = (0, 0);
        for Reader { counts, task } in self.readers {
            task.await??;
            read += counts.read.load(Relaxed);
            refused += counts.refused.load(Relaxed);
        }
        Ok((read, refused))
    }
}

/// An answer of 200; nothing for the 503 that asks to come back.
pub(crate) async fn read(client: &Client, request: Request) -> Result<Option<Answer>> {
    let answer = client.send(request).await?;
    if answer.status == 200 {
        return Ok(Some(answer));
    }
    asks_to_come_back(&answer)?;
    Ok(None)
}

/// A server that alone has everything may be away until it is found to be gone.
const LIMIT: Duration = Duration::from_secs(60);
