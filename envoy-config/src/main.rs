//! The `peerway` command, for people who run Peerway. Exit codes: 0 done, 1 wrong input, drift or
//! failure, 2 wrong usage.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use envoy_config::{ControlPlane, render};

use command::map::ShowMap;
use command::output::complain;
use command::rehearse::Rehearse;

mod command;

/// Mixed-version kube-apiservers behind one Envoy.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Render(Render),
    Rehearse(Rehearse),
    Map(ShowMap),
}

/// Turn a description of a control plane into an Envoy configuration directory.
///
/// Start Envoy in that directory: envoy -c envoy.yaml
#[derive(Args)]
struct Render {
    /// The control-plane file; docs/configuration.md describes it
    file: PathBuf,
    #[command(flatten)]
    target: Target,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// Write the configuration there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only compare with what is there; the exit code is 1 when it differs
    #[arg(long, value_name = "DIR")]
    check: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Command::parse().verb {
        Verb::Render(verb) => verb.run(),
        Verb::Rehearse(verb) => verb.run(),
        Verb::Map(verb) => verb.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            complain(&what);
            ExitCode::FAILURE
        }
    }
}

impl Render {
    fn run(&self) -> Result<(), String> {
        let file = self.file.display();
        let text =
            std::fs::read_to_string(&self.file).map_err(|error| format!("{file}: {error}"))?;
        let control_plane = ControlPlane::from_yaml(&text).map_err(|problems| {
            problems.0.iter().map(|problem| format!("{file}: {problem}\n")).collect::<String>()
        })?;
        let rendered = render(&control_plane);
        match (&self.target.out, &self.target.check) {
            (Some(directory), _) => rendered.write(directory).map_err(|error| error.to_string()),
            (None, Some(directory)) => no_drift(&rendered, directory),
            // Clap has one of the two or ends the program.
            (None, None) => Ok(()),
        }
    }
}

fn no_drift(rendered: &envoy_config::Rendered, directory: &Path) -> Result<(), String> {
    let drifts = rendered.drift(directory).map_err(|error| error.to_string())?;
    if drifts.is_empty() {
        return Ok(());
    }
    let place = directory.display();
    Err(drifts.iter().map(|drift| format!("{place}/{drift}\n")).collect())
}
