//! `peerway explain`: one request or many -> how a server reads it, who lists it, what is decided.
//! The reading and the decision are `peerway_core`'s, the same as in the filter.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use peerway_core::negotiate::Served;
use serde::Deserialize;

use super::output::{Output, print};
use super::servers::{Plane, Servers};
use explained::{Asker, Explained};

mod explained;
mod text;

/// Tell how a server reads a request, who lists what it is for, and where Peerway would send it
///
/// Without servers: the reading alone. With servers: the decision that the filter makes when all of
/// them are confirmed (or as they stand, with --map), for the first of equally good servers.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Explain {
    /// The method, as it is sent
    #[arg(required_unless_present = "requests")]
    method: Option<String>,
    /// The request target, as it is sent: path and query, escapes included
    #[arg(required_unless_present = "requests")]
    target: Option<String>,
    /// An Accept header line, to see what discovery document is negotiated; of several lines a
    /// server reads the first
    #[arg(long, value_name = "LINE")]
    accept: Vec<String>,
    /// The Kubernetes version whose discovery negotiation counts
    #[arg(long, value_name = "1.MINOR", default_value = "1.36", value_parser = minor)]
    as_version: u32,
    /// Explain every line of a file of JSON lines, {"method": …, "target": …}; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["method", "target"])]
    requests: Option<PathBuf>,
    #[command(flatten)]
    servers: Servers,
    /// Print text for people, or JSON for programs (with --requests one line each)
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  How is this read?
    peerway explain GET '/apis/apps/v1/namespaces/default/deployments?watch=1'
  Who would get it, in the middle of an upgrade?
    peerway explain GET /apis/resource.k8s.io/v1/devicetaintrules \\
      --server cp-1=1.36 --server cp-2=1.37
  Which discovery document does this client get?
    peerway explain GET /apis --accept \\
      'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
  Many requests, against live servers:
    peerway explain --requests requests.jsonl --control-plane control-plane.yaml -o json

Exit codes: 0 done, whatever was found; 1 a request line or a server could not be read; 2 wrong usage.";

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    target: Cow<'a, str>,
}

impl Explain {
    /// Prints what is to say. An error is what to tell the caller.
    pub(crate) fn run(&self) -> Result<(), String> {
        let plane = match self.servers.is_given() {
            true => Some(self.servers.read()?),
            false => None,
        };
        let asker = Asker {
            accept: self.accept.first().map(String::as_str).unwrap_or_default(),
            served: Served::by_minor(self.as_version),
        };
        match (&self.requests, &self.method, &self.target) {
            (Some(file), ..) => self.explain_all(file, plane.as_ref(), &asker),
            (None, Some(method), Some(target)) => {
                let explained = Explained::of(method, target, plane.as_ref(), &asker);
                print(self.output, &explained, |explained| text::of(explained, plane.as_ref()))
            }
            // Clap has both or ends the program.
            (None, ..) => Ok(()),
        }
    }

    fn explain_all(
        &self,
        file: &Path,
        plane: Option<&Plane>,
        asker: &Asker<'_>,
    ) -> Result<(), String> {
        let name = file.display();
        let lines: Box<dyn BufRead> = if file == Path::new("-") {
            Box::new(BufReader::new(io::stdin()))
        } else {
            Box::new(BufReader::new(File::open(file).map_err(|error| format!("{name}: {error}"))?))
        };
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let explained = self.explain_lines(lines, plane, asker, &mut out);
        // What was explained before a broken line is of use, and comes before the complaint.
        let flushed = out.flush().map_err(Stopped::Output);
        match explained.and(flushed) {
            Ok(()) => Ok(()),
            Err(Stopped::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(Stopped::Output(error)) => Err(format!("standard output: {error}")),
            Err(Stopped::Input { line, what }) => Err(format!("{name}: line {line}: {what}")),
        }
    }

    fn explain_lines(
        &self,
        mut lines: impl BufRead,
        plane: Option<&Plane>,
        asker: &Asker<'_>,
        out: &mut impl Write,
    ) -> Result<(), Stopped> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let input = |what: String| Stopped::Input { line: number, what };
            match lines.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) if line.trim_ascii().is_empty() => continue,
                Ok(_) => {}
                Err(error) => return Err(input(error.to_string())),
            }
            let request: Line<'_> = serde_json::from_slice(&line).map_err(|error| {
                input(format!("{error}; {{\"method\": …, \"target\": …}} is needed"))
            })?;
            let explained = Explained::of(&request.method, &request.target, plane, asker);
            let written = match self.output {
                Output::Json => serde_json::to_writer(&mut *out, &explained)
                    .map_err(io::Error::from)
                    .and_then(|()| out.write_all(b"\n")),
                Output::Text => writeln!(out, "{}", text::line(&explained)),
            };
            written.map_err(Stopped::Output)?;
        }
        Ok(())
    }
}

/// Why not all lines were explained.
enum Stopped {
    Input { line: u64, what: String },
    Output(io::Error),
}

fn minor(text: &str) -> Result<u32, String> {
    let version = text.strip_prefix('v').unwrap_or(text);
    let mut numbers = version.split('.');
    match (numbers.next(), numbers.next().map(str::parse)) {
        (Some("1"), Some(Ok(minor))) => Ok(minor),
        _ => Err("not a Kubernetes version such as 1.36".to_owned()),
    }
}
