//! `peerway rehearse`: logs and servers' discovery -> what would have gone wrong. The judging is in
//! `envoy_config::rehearsal`; here are files, the terminal and the JSON.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use envoy_config::rehearsal::log::{Contents, Reader, Request};
use envoy_config::rehearsal::skew::Skew;
use envoy_config::rehearsal::tally::{ApiShare, ClientShare, Tally};
use envoy_config::rehearsal::unpacked;
use peerway_core::apis::Apis;
use serde::Serialize;

use super::output::{Output, complain, print};
use super::servers::{Known, Servers};
use progress::Progress;

mod progress;
mod text;

/// What the servers list, and what was found in the logs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    servers: Vec<Listed>,
    logs: Vec<LogRead>,
    #[serde(flatten)]
    tally: &'a Tally,
    apis: Vec<ApiShare>,
    clients: Vec<ClientShare>,
}

/// A server of the rehearsal.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    /// How many resources and subresources it lists.
    apis: usize,
}

#[derive(Debug, Serialize)]
struct LogRead {
    log: String,
    #[serde(flatten)]
    contents: Contents,
}

/// Tell what would have gone wrong with the requests of a log in the skew of these servers
///
/// Reads kube-apiserver audit logs (audit.k8s.io events, one JSON object a line) and Peerway's
/// access logs, plain or gzip, and judges each request three times: behind a plain balancer, with
/// kube-apiserver's own mixed version proxy behind that, and with Peerway. A request is at risk
/// when some of the servers list its API and others do not.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rehearse {
    /// The logs; - reads standard input
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    #[command(flatten)]
    servers: Servers,
    /// Rows of each table
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    top: usize,
    /// Print text for people, or JSON for programs
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  Last night's audit log, in the skew of an upgrade from 1.36 to 1.37 with three servers:
    peerway rehearse audit.log --server cp-1=1.36 --server cp-2=1.36 --server cp-3=1.37
  Rotated logs through a pipe, the APIs that suffer most as JSON:
    zcat audit-*.gz | peerway rehearse - --server old=1.36 --server new=1.37 -o json | jq .apis

Exit codes: 0 done, whatever was found; 1 a log or a server could not be read; 2 wrong usage.";

impl Rehearse {
    /// Prints the report. An error is what to tell the caller.
    pub(crate) fn run(&self) -> Result<(), String> {
        let plane = self.servers.read()?;
        let lists = plane.known.iter().map(list).collect::<Result<Vec<_>, _>>()?;
        let skew = Skew::between(&lists)?;
        let mut tally = Tally::default();
        let mut reader = Reader::default();
        let mut logs = Vec::new();
        for log in &self.logs {
            let contents = read_log(&mut reader, log, |request| tally.add(&skew, request))?;
            complain_of_broken_lines(log, &contents);
            logs.push(LogRead { log: log.display().to_string(), contents });
        }
        let listed = |(name, apis): (String, &Apis)| Listed { name, apis: apis.len() };
        let report = Report {
            servers: lists.into_iter().map(listed).collect(),
            logs,
            apis: tally.top_apis(self.top),
            clients: tally.top_clients(self.top),
            tally: &tally,
        };
        print(self.output, &report, text::of)
    }
}

/// What a server lists. One that was never read may list anything, so nothing can be said.
fn list(server: &Known) -> Result<(String, &Apis), String> {
    let name = server.name.clone();
    match &server.apis {
        Some(apis) => Ok((name, apis)),
        None => Err(format!("{name}: its discovery was never read")),
    }
}

fn read_log(
    reader: &mut Reader,
    log: &Path,
    take: impl FnMut(&Request<'_>),
) -> Result<Contents, String> {
    let name = log.display().to_string();
    let failed = |error: &dyn std::fmt::Display| format!("{name}: {error}");
    let (bytes, size): (Box<dyn Read>, _) = if log == Path::new("-") {
        (Box::new(io::stdin().lock()), None)
    } else {
        let file = File::open(log).map_err(|error| failed(&error))?;
        let size = file.metadata().ok().filter(Metadata::is_file).map(|metadata| metadata.len());
        (Box::new(file), size)
    };
    let bytes = unpacked(Progress::of(bytes, &name, size)).map_err(|error| failed(&error))?;
    reader.read(bytes, take).map_err(|error| failed(&error))
}

fn complain_of_broken_lines(log: &Path, contents: &Contents) {
    let Some(first) = contents.problems.first() else { return };
    let (count, lines) = (contents.broken_lines, contents.lines);
    complain(&format!(
        "{}: {count} of {lines} lines could not be read and are left out; line {}: {}",
        log.display(),
        first.line,
        first.problem
    ));
}
