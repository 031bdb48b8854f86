//! `peerway map`: a running Peerway's view of its servers, once or again and again.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read};
use std::time::Duration;

use clap::Args;
use envoy_config::running::{Counters, Map, MapServer, counters};
use serde::Serialize;

use super::output::{Output, columns, complain, put, shown};
use super::servers::listener_url;

const EVERY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);
/// A map names what not every server lists: far less than all that 64 servers may list.
const MAX_BODY_BYTES: u64 = 64 << 20;
/// So many APIs are shown to people; `-o json` has all.
const MAX_SHOWN: usize = 40;

/// Show what a running Peerway knows of its servers: versions, states, ages, what not all have
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShowMap {
    /// Peerway's loopback listener
    #[arg(long, value_name = "URL", value_parser = listener_url,
        default_value = "http://127.0.0.1:15190")]
    url: String,
    /// Envoy's admin address, to count decisions too
    #[arg(long, value_name = "URL", value_parser = listener_url)]
    admin: Option<String>,
    /// Show it anew each second, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// Print text for people, or JSON for programs (with --watch one line each time)
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  Watch an upgrade:
    peerway map --watch --admin http://127.0.0.1:9901
  Wait until every server is confirmed:
    until peerway map -o json | jq -e 'all(.servers[]; .state == \"confirmed\")'; do sleep 1; done

Exit codes: 0 done; 1 Peerway or Envoy's admin could not be asked; 2 wrong usage.";

/// What is printed.
#[derive(Debug, Serialize)]
struct View {
    #[serde(flatten)]
    map: Map,
    #[serde(skip_serializing_if = "Option::is_none")]
    counters: Option<Counters>,
}

impl ShowMap {
    /// Prints the map. An error is what to tell the caller; while watching it is said, and the next
    /// second brings another try.
    pub(crate) fn run(&self) -> Result<(), String> {
        if !self.watch {
            return put(&self.look()?);
        }
        let clear = if io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
        loop {
            match self.look() {
                Ok(text) => put(&format!("{clear}{text}"))?,
                Err(what) => complain(&what),
            }
            std::thread::sleep(EVERY);
        }
    }

    fn look(&self) -> Result<String, String> {
        let url = format!("{}/map", self.url);
        let map = Map::from_json(&ask(&url)?).map_err(|what| format!("{url}: {what}"))?;
        let counters = match &self.admin {
            None => None,
            Some(admin) => {
                let url = format!("{admin}/stats?filter=peerway_");
                Some(counters(&String::from_utf8_lossy(&ask(&url)?)))
            }
        };
        let view = View { map, counters };
        let json = match (self.output, self.watch) {
            (Output::Text, _) => return Ok(text(&view)),
            (Output::Json, true) => serde_json::to_string(&view),
            (Output::Json, false) => serde_json::to_string_pretty(&view),
        };
        json.map(|json| format!("{json}\n")).map_err(|error| error.to_string())
    }
}

fn ask(url: &str) -> Result<Vec<u8>, String> {
    let failed = |error: &dyn std::fmt::Display| {
        format!("{url}: {error}; is Envoy running there? --url and --admin say where")
    };
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
    let mut answer = agent.get(url).call().map_err(|error| failed(&error))?;
    let mut body = Vec::new();
    let mut limited = answer.body_mut().as_reader().take(MAX_BODY_BYTES);
    limited.read_to_end(&mut body).map_err(|error| failed(&error))?;
    Ok(body)
}

fn text(view: &View) -> String {
    let View { map, counters } = view;
    let confirmed = map.servers.iter().filter(|server| server.state == "confirmed").count();
    let skew = map.not_everywhere();
    let mut text = match map.generation {
        0 => "No map yet: no server's discovery could be read.\n".to_owned(),
        generation => format!(
            "Map {generation}: {} servers, {confirmed} confirmed; {} APIs that not all have.\n",
            map.servers.len(),
            skew.len()
        ),
    };
    let _ = write!(text, "\n{}", servers(&map.servers));
    for server in map.servers.iter().filter(|server| !server.problem.is_empty()) {
        let _ = writeln!(text, "{}: {}", shown(&server.name), shown(&server.problem));
    }
    if !skew.is_empty() {
        let row = |(key, names): (&&str, &Vec<&str>)| vec![api(key), shown(&names.join(","))];
        let mut rows = vec![["NOT EVERYWHERE", "LISTED BY"].map(String::from).to_vec()];
        rows.extend(skew.iter().take(MAX_SHOWN).map(row));
        let _ = write!(text, "\n{}", columns(&rows));
        if skew.len() > MAX_SHOWN {
            let _ = writeln!(text, "and {} more; -o json has all", skew.len() - MAX_SHOWN);
        }
    }
    if let Some(counters) = counters {
        text.push_str(&counted(counters));
    }
    text
}

fn servers(servers: &[MapServer]) -> String {
    let heading =
        ["SERVER", "ADDRESS", "VERSION", "STATE", "PROBED", "READ", "APIS", "NOT ALL HAVE"];
    let mut rows = vec![heading.map(String::from).to_vec()];
    rows.extend(servers.iter().map(|server| {
        let state = match &server.shown_as {
            Some(shown_as) => format!("{} (kept as {shown_as})", server.state),
            None => server.state.clone(),
        };
        vec![
            shown(&server.name),
            shown(&server.address),
            shown(&server.version),
            shown(&state),
            age(server.probe_age_ms),
            age(server.document_age_ms),
            server.apis.to_string(),
            server.not_everywhere.len().to_string(),
        ]
    }));
    columns(&rows)
}

fn age(age_ms: Option<u64>) -> String {
    match age_ms {
        None => "never".to_owned(),
        Some(ms) if ms < 60_000 => format!("{:.1} s ago", ms as f64 / 1e3),
        Some(ms) if ms < 3_600_000 => format!("{} min ago", ms / 60_000),
        Some(ms) => format!("{} h ago", ms / 3_600_000),
    }
}

/// A key as people write it: without the slash of an absent subresource or of the core group.
fn api(key: &str) -> String {
    shown(key.trim_matches('/'))
}

fn counted(counters: &Counters) -> String {
    let mut rows = vec![["COUNTER", "", "COUNT"].map(String::from).to_vec()];
    for (metric, values) in counters {
        for (value, count) in values {
            rows.push(vec![shown(metric), value.clone(), count.to_string()]);
        }
    }
    format!("\n{}", columns(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_as_fine_as_they_are_young() {
        for (age_ms, expected) in [
            (None, "never"),
            (Some(310), "0.3 s ago"),
            (Some(61_000), "1 min ago"),
            (Some(7_300_000), "2 h ago"),
        ] {
            assert_eq!(age(age_ms), expected);
        }
    }
}
