//! Envoy's access log -> which server answered a request, and why Peerway sent it there.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use peerway_harness::process::wait_until;
use serde_json::Value;

use crate::stage::{Stage, Way};

/// One request, as Envoy logged it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The method.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// The status that the client got.
    pub(crate) status: u16,
    /// The name of the server that answered, or "nobody".
    pub(crate) server: String,
    /// Peerway's reason, "untouched" when it left the request alone; `None` without Peerway.
    pub(crate) reason: Option<String>,
}

/// The log of one balancer, from some moment on.
#[derive(Debug)]
pub(crate) struct AccessLog {
    file: PathBuf,
    /// Where in the file that moment is, in bytes.
    start: u64,
    way: Way,
    /// Address and name of each server.
    names: Vec<(String, String)>,
}

impl AccessLog {
    /// What is logged from now on.
    pub(crate) fn from_now_on(stage: &Stage, way: Way) -> Result<Self> {
        let pair = |(name, address): (&str, &str)| (address.to_owned(), name.to_owned());
        let names = stage.plane.servers().into_iter().map(pair).collect();
        let file = stage.entrance(way).balancer.access_log_file();
        let start = std::fs::metadata(&file).context("the access log")?.len();
        Ok(Self { file, start, way, names })
    }

    /// All entries, as soon as they are `enough`: Envoy writes them a little later than it answers.
    pub(crate) async fn read_until(&self, enough: impl Fn(&[Entry]) -> bool) -> Result<Vec<Entry>> {
        let read = RefCell::new(Ok(Vec::new()));
        let complete = async || {
            let new = self.read();
            let complete = new.as_ref().is_ok_and(|entries| enough(entries));
            *read.borrow_mut() = new;
            complete
        };
        let waited = wait_until("in the access log", LIMIT, complete).await;
        waited.with_context(|| {
            let (file, start) = (self.file.display(), self.start);
            format!("{file} has from byte {start} on only {:?}", read.borrow())
        })?;
        read.into_inner()
    }

    fn read(&self) -> Result<Vec<Entry>> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.start))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The last line may be half a line, and no JSON yet.
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        Ok(lines.map(|line| self.entry(&line)).collect())
    }

    fn entry(&self, line: &Value) -> Entry {
        let text = |field| line.get(field).and_then(Value::as_str);
        let status = line.get("code").and_then(Value::as_u64);
        let of_address = |(address, _): &&(String, String)| text("upstream") == Some(address);
        let server = self.names.iter().find(of_address).map(|(_, name)| name.as_str());
        Entry {
            method: text("method").unwrap_or_default().to_owned(),
            path: text("path").unwrap_or_default().to_owned(),
            status: status.and_then(|status| u16::try_from(status).ok()).unwrap_or_default(),
            server: server.unwrap_or("nobody").to_owned(),
            reason: match self.way {
                Way::Plain => None,
                Way::Peerway => Some(text("reason").unwrap_or("untouched").to_owned()),
            },
        }
    }
}

const LIMIT: Duration = Duration::from_secs(30);
