//! The lines of a log -> requests, one at a time in bounded memory: a kube-apiserver's audit log
//! (`audit.k8s.io` events as JSON lines) or Peerway's own access log
//! (`templates/access_log.yaml`). The first lines tell which; a line that cannot be read is counted
//! and named, and hides no other.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, Read as _};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::counted::Counted;

/// Longest line that is looked at: an audit event with two whole objects (level `RequestResponse`)
/// stays below 10 MB, the largest that a server passes on.
const MAX_LINE_BYTES: u64 = 32 << 20;
/// So many lines are tried before a log counts as of no known format.
const FIRST_LINES: u64 = 20;
/// So many unreadable lines are named; all are counted.
const MAX_NAMED: usize = 5;

/// What kind of log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A kube-apiserver's audit log.
    Audit,
    /// Peerway's access log. It names no clients.
    Access,
}

/// One request that a client made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The request target as it was sent, query and escapes included.
    pub target: Cow<'a, str>,
    /// The status that was answered; 0 if the log has none.
    pub code: u16,
    /// Who asked, if the log says so.
    pub client: Option<Client<'a>>,
}

/// Who made a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client<'a> {
    /// The user that the server took it for; empty if nobody.
    pub user: Cow<'a, str>,
    /// `User-Agent`, empty if there was none.
    pub agent: Cow<'a, str>,
    /// Where it came from, the first hop.
    pub address: Cow<'a, str>,
}

/// What was in one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// Of what kind it is.
    pub format: Format,
    /// All lines, unreadable ones included.
    pub lines: u64,
    /// How many lines could not be read.
    pub broken_lines: u64,
    /// The first few of those.
    pub problems: Vec<Problem>,
}

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// Why a log could not be read.
#[derive(Debug)]
pub enum LogError {
    /// Reading failed at this line.
    Read(u64, io::Error),
    /// No line at all.
    Empty,
    /// The first lines are of no known format; the first of them, and what is wrong with it.
    Format(Problem),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(line, error) => write!(f, "line {line}: {error}"),
            Self::Empty => write!(f, "empty: it has no line"),
            Self::Format(Problem { line, problem }) => write!(
                f,
                "neither an audit log (audit.k8s.io events, one JSON object a line) nor Peerway's \
                 access log, plain or gzip; line {line}: {problem}"
            ),
        }
    }
}

impl std::error::Error for LogError {}

/// Reads logs; one value for all logs of one cluster, so that a request that two servers logged
/// counts once.
#[derive(Debug, Default)]
pub struct Reader {
    counted: Counted,
}

impl Reader {
    /// Hands each request of a log to `take`, in order.
    pub fn read(
        &mut self,
        mut log: impl BufRead,
        mut take: impl FnMut(&Request<'_>),
    ) -> Result<Contents, LogError> {
        let mut format = None;
        let mut contents =
            Contents { format: Format::Audit, lines: 0, broken_lines: 0, problems: Vec::new() };
        let mut line = Vec::new();
        loop {
            let fits = match next_line(&mut log, &mut line) {
                Ok(None) => break,
                Ok(Some(fits)) => fits,
                Err(error) => return Err(LogError::Read(contents.lines + 1, error)),
            };
            contents.lines += 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let read = if fits { self.request(&line, format) } else { Err(too_long()) };
            match read {
                Ok((found, request)) => {
                    format = Some(found);
                    request.iter().for_each(&mut take);
                }
                Err(problem) => contents.note(problem),
            }
            if format.is_none() && contents.broken_lines == FIRST_LINES {
                break;
            }
        }
        match (format, contents.problems.first()) {
            (Some(format), _) => Ok(Contents { format, ..contents }),
            (None, Some(first)) => Err(LogError::Format(first.clone())),
            (None, None) => Err(LogError::Empty),
        }
    }

    /// The request of a line, `None` for an event that is not a request's first one.
    fn request<'a>(
        &mut self,
        line: &'a [u8],
        format: Option<Format>,
    ) -> Result<(Format, Option<Request<'a>>), String> {
        let found = match format {
            Some(format) => format,
            None => recognized(line)?,
        };
        let request = match found {
            Format::Audit => {
                let event: Event<'_> = parsed(line)?;
                let first = self.counted.is_first(&event.audit_id, &event.stage);
                first.then(|| event.into_request())
            }
            Format::Access => Some(parsed::<Entry<'_>>(line)?.into_request()),
        };
        Ok((found, request))
    }
}

impl Contents {
    fn note(&mut self, problem: String) {
        self.broken_lines += 1;
        if self.problems.len() < MAX_NAMED {
            self.problems.push(Problem { line: self.lines, problem });
        }
    }
}

/// One line without its end into `line`; `None` at the end of the log, `false` for a line that is
/// too long, which is skipped.
fn next_line(log: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let read = log.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', line)?;
    if read == 0 {
        return Ok(None);
    }
    let fits = (read as u64) < MAX_LINE_BYTES || line.ends_with(b"\n");
    if !fits {
        log.skip_until(b'\n')?;
    }
    Ok(Some(fits))
}

fn too_long() -> String {
    format!("longer than {MAX_LINE_BYTES} bytes")
}

/// What a line must have to tell the format of its log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe<'a> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    code: Option<IgnoredAny>,
    duration_ms: Option<IgnoredAny>,
}

fn recognized(line: &[u8]) -> Result<Format, String> {
    let probe: Probe<'_> = parsed(line)?;
    if probe.api_version.starts_with("audit.k8s.io/") {
        return match probe.kind.as_ref() {
            "Event" => Ok(Format::Audit),
            other => Err(format!("kind {other:?}, not one Event a line")),
        };
    }
    if probe.code.is_some() && probe.duration_ms.is_some() {
        return Ok(Format::Access);
    }
    Err("a JSON object without \"apiVersion\": \"audit.k8s.io/…\", and no access log".to_owned())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow, rename = "auditID")]
    audit_id: Cow<'a, str>,
    #[serde(borrow)]
    stage: Cow<'a, str>,
    #[serde(borrow, rename = "requestURI")]
    request_uri: Cow<'a, str>,
    #[serde(borrow, default)]
    user: User<'a>,
    #[serde(borrow, default)]
    user_agent: Cow<'a, str>,
    #[serde(borrow, default, rename = "sourceIPs")]
    source_ips: Vec<Cow<'a, str>>,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Deserialize, Default)]
struct User<'a> {
    #[serde(borrow, default)]
    username: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl<'a> Event<'a> {
    fn into_request(self) -> Request<'a> {
        let address = self.source_ips.into_iter().next().unwrap_or_default();
        let client = Client { user: self.user.username, agent: self.user_agent, address };
        Request { target: self.request_uri, code: self.response_status.code, client: Some(client) }
    }
}

#[derive(Deserialize)]
struct Entry<'a> {
    // Envoy writes `null` for a request that had none, a garbled one.
    #[serde(borrow)]
    path: Option<Cow<'a, str>>,
    code: u16,
}

impl<'a> Entry<'a> {
    fn into_request(self) -> Request<'a> {
        Request { target: self.path.unwrap_or_default(), code: self.code, client: None }
    }
}

fn parsed<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    // The parser counts lines within this one, which is always the first.
    serde_json::from_slice(line)
        .map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIT: &[u8] = include_bytes!("../../testdata/logs/audit-1.36.3.log");
    const ACCESS: &[u8] = include_bytes!("../../testdata/logs/access.log");

    fn read(log: &[u8]) -> Result<(Contents, Vec<String>), LogError> {
        let mut requests = Vec::new();
        let mut take = |request: &Request<'_>| {
            let user = request.client.as_ref().map_or("-", |client| &client.user);
            requests.push(format!("{user} {} {}", request.target, request.code));
        };
        let contents = Reader::default().read(log, &mut take)?;
        Ok((contents, requests))
    }

    #[test]
    fn a_real_audit_log_counts_each_request_once() {
        let (contents, requests) = read(AUDIT).unwrap();
        assert_eq!((contents.format, contents.broken_lines), (Format::Audit, 0));
        // Counted by hand: distinct audit IDs.
        let mut ids: Vec<_> = String::from_utf8_lossy(AUDIT)
            .lines()
            .map(|line| line.split("\"auditID\":\"").nth(1).unwrap()[..36].to_owned())
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!(requests.len(), ids.len());
        let gc = "system:serviceaccount:kube-system:generic-garbage-collector";
        let example = "/apis/certificates.k8s.io/v1/clustertrustbundles/example?timeout=32s";
        assert!(requests.contains(&format!("{gc} {example} 404")), "{requests:#?}");
        assert!(requests.contains(&" /api/v1/pods 401".to_owned()), "nobody: a bad token");
        assert!(requests.contains(&"admin /api/v1/namespaces/a%2Fb%22/pods/x%20y 404".to_owned()));
    }

    #[test]
    fn a_real_access_log_is_read_whole() {
        let (contents, requests) = read(ACCESS).unwrap();
        assert_eq!((contents.format, contents.lines, requests.len()), (Format::Access, 19, 19));
        assert_eq!(requests[0], "- /api/v1/pods 200");
        let garbled = br#"{"attempts":null,"code":400,"durationMs":0,"method":null,"path":null}"#;
        assert_eq!(read(garbled).unwrap().1, ["-  400"]);
    }

    #[test]
    fn a_broken_line_is_counted_and_named_and_hides_no_other() {
        let mut log = b"{\"kind\":\n\n".to_vec();
        log.extend_from_slice(AUDIT);
        log.extend_from_slice(b"\xff\xfe\n{\"stage\":\"ResponseComplete\"}\n{\"kind\":\"Event\"");
        let (contents, requests) = read(&log).unwrap();
        assert_eq!(requests, read(AUDIT).unwrap().1);
        let lines: Vec<_> = contents.problems.iter().map(|problem| problem.line).collect();
        let audit_lines = AUDIT.iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(lines, [1, audit_lines + 3, audit_lines + 4, audit_lines + 5]);
        assert_eq!(contents.broken_lines, 4);
        assert!(contents.problems[2].problem.contains("auditID"), "{:?}", contents.problems[2]);
    }

    #[test]
    fn what_is_no_log_is_told_from_a_log_with_broken_lines() {
        assert!(matches!(read(b""), Err(LogError::Empty)));
        assert!(matches!(read(b"\n\n"), Err(LogError::Empty)));
        for other in [
            "2026-11-23T05:38:23Z AUDIT: id=\"x\" stage=\"ResponseComplete\"\n".repeat(50),
            r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[]}"#.to_owned(),
            r#"{"kind":"Pod","apiVersion":"v1"}"#.to_owned(),
            "[]".to_owned(),
        ] {
            let error = read(other.as_bytes()).unwrap_err();
            assert!(matches!(error, LogError::Format(_)), "{other}: {error}");
            assert!(error.to_string().contains("line 1: "), "{error}");
        }
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let endless = io::repeat(b'x').take(3 * MAX_LINE_BYTES);
        let log = io::BufReader::new(AUDIT.chain(endless).chain(b"\n".as_slice()).chain(ACCESS));
        let contents = Reader::default().read(log, |_| ()).unwrap();
        assert_eq!(contents.problems[0].problem, too_long());
        assert_eq!(contents.broken_lines, 1 + 19, "an access log inside an audit log");
    }
}
