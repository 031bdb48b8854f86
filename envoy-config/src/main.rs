//! The `peerway` command, for people who run Peerway. Exit codes: 0 done, 1 wrong input, skew, drift
//! or failure, 2 wrong usage. Each subcommand is a file in `command/`.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use command::completions::{Completions, Man};
use command::diff::Diff;
use command::explain::Explain;
use command::map::ShowMap;
use command::merge::Merge;
use command::output::{Outcome, complain};
use command::preflight::Preflight;
use command::rehearse::Rehearse;
use command::render::Render;

mod command;

/// Mixed-version kube-apiservers behind one Envoy
#[derive(Parser)]
#[command(name = "peerway", version, max_term_width = 100)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Render(Render),
    Explain(Explain),
    Diff(Diff),
    Merge(Merge),
    Rehearse(Rehearse),
    Preflight(Preflight),
    Map(ShowMap),
    Completions(Completions),
    Man(Man),
}

fn main() -> ExitCode {
    let done = match Command::parse().verb {
        Verb::Render(verb) => verb.run().map(|()| Outcome::Done),
        Verb::Explain(verb) => verb.run().map(|()| Outcome::Done),
        Verb::Diff(verb) => verb.run(),
        Verb::Merge(verb) => verb.run().map(|()| Outcome::Done),
        Verb::Rehearse(verb) => verb.run().map(|()| Outcome::Done),
        Verb::Preflight(verb) => verb.run(),
        Verb::Map(verb) => verb.run().map(|()| Outcome::Done),
        Verb::Completions(verb) => verb.run(Command::command()).map(|()| Outcome::Done),
        Verb::Man(verb) => verb.run(Command::command()).map(|()| Outcome::Done),
    };
    match done {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Differs) => ExitCode::FAILURE,
        Err(what) => {
            complain(&what);
            ExitCode::FAILURE
        }
    }
}
