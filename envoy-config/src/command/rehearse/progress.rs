//! A log being read -> how far it is, on a terminal.

use std::io::{self, IsTerminal, Read, Write};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(200);

/// A log that says on standard error how much of it was read, if that is a terminal.
#[derive(Debug)]
pub(super) struct Progress<R> {
    log: R,
    name: String,
    /// Of a file; a pipe has none.
    size_bytes: Option<u64>,
    read_bytes: u64,
    next: Option<Instant>,
    began: Instant,
}

impl<R> Progress<R> {
    pub(super) fn of(log: R, name: &str, size_bytes: Option<u64>) -> Self {
        let began = Instant::now();
        let next = io::stderr().is_terminal().then(|| began + EVERY);
        Self { log, name: name.to_owned(), size_bytes, read_bytes: 0, next, began }
    }

    fn line(&self) -> String {
        let megabytes = self.read_bytes as f64 / 1e6;
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let share = self.size_bytes.filter(|size| *size > 0).map(|size| {
            format!(" of {:.0} MB ({:.0} %)", size as f64 / 1e6, megabytes * 1e8 / size as f64)
        });
        format!(
            "{}: {megabytes:.0} MB{}, {:.0} MB/s",
            self.name,
            share.unwrap_or_default(),
            megabytes / seconds
        )
    }
}

impl<R: Read> Read for Progress<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.log.read(buffer)?;
        self.read_bytes += read as u64;
        if self.next.is_some_and(|next| Instant::now() >= next) {
            self.next = Some(Instant::now() + EVERY);
            // Back to the line's start, and clear what stood there. Nobody minds if it fails.
            let _ = write!(io::stderr(), "\r\x1b[K{}", self.line());
        }
        Ok(read)
    }
}

impl<R> Drop for Progress<R> {
    fn drop(&mut self) {
        if self.next.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_shows_how_much_is_left_and_a_pipe_does_not() {
        let mut file = Progress::of(io::empty(), "audit.log", Some(2_000_000_000));
        file.read_bytes = 500_000_000;
        assert!(
            file.line().starts_with("audit.log: 500 MB of 2000 MB (25 %), "),
            "{}",
            file.line()
        );
        let pipe = Progress::of(io::empty(), "-", None);
        assert!(pipe.line().starts_with("-: 0 MB, "), "{}", pipe.line());
    }
}
