//! `make chaos`: servers, and what is between, come and go under load, through Peerway and through
//! what it is compared with; a report of what clients saw.
//!
//! Status 0 when what Peerway promises was seen to hold, else 1, and 130 after Ctrl-C.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use peerway_harness::chaos::{Outcome, Plan, SCENARIOS, Scenario, Stage, Way, report};
use tokio::signal::ctrl_c;

#[tokio::main]
async fn main() -> ExitCode {
    let played = async {
        let wish = Wish::from_arguments(std::env::args().skip(1))?;
        tokio::select! {
            kept = play(&wish) => kept.map(|kept| if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
            _ = ctrl_c() => Ok(ExitCode::from(INTERRUPTED)),
        }
    };
    played.await.unwrap_or_else(|error: anyhow::Error| {
        say_error(&format!("chaos: {error:#}"));
        ExitCode::FAILURE
    })
}

/// What somebody wants to see.
struct Wish {
    time: Duration,
    scenarios: Vec<&'static Scenario>,
    ways: Vec<Way>,
    folder: PathBuf,
}

impl Wish {
    fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut wish = Self {
            time: Duration::from_secs(180),
            scenarios: SCENARIOS.iter().collect(),
            ways: Way::ALL.to_vec(),
            folder: PathBuf::from("target/chaos"),
        };
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{argument} needs a value"))?;
            match argument.as_str() {
                "--seconds" => {
                    let seconds = value.parse().context("--seconds: no whole number")?;
                    wish.time = Duration::from_secs(seconds);
                }
                "--scenario" => {
                    let named = value.split(',').map(|name| {
                        let names: Vec<_> = SCENARIOS.iter().map(|known| known.name).collect();
                        Scenario::named(name).with_context(|| {
                            format!("no scenario {name}, there are: {}", names.join(", "))
                        })
                    });
                    wish.scenarios = named.collect::<Result<_>>()?;
                }
                "--balancer" => {
                    wish.ways.retain(|way| way.slug() == value);
                    let names = Way::ALL.map(Way::slug).join(", ");
                    ensure!(!wish.ways.is_empty(), "no balancer {value}, there are: {names}");
                }
                "--folder" => wish.folder = value.into(),
                _ => bail!(
                    "usage: chaos [--seconds N] [--scenario A,B] [--balancer peerway] [--folder F]"
                ),
            }
        }
        Ok(wish)
    }
}

/// Returns whether Peerway kept its promises.
async fn play(wish: &Wish) -> Result<bool> {
    let begun = Instant::now();
    let mut played: report::Played = Vec::new();
    let mut kept = true;
    for scenario in &wish.scenarios {
        say(&format!("\n{} ({})", scenario.title, scenario.name));
        let mut outcomes = Vec::new();
        for way in wish.ways.iter().filter(|way| scenario.concerns(**way)) {
            let outcome = play_one(scenario, *way, wish.time).await?;
            let broken = outcome.broken_promises(scenario.manner);
            say(&format!("  {way}: {} requests\n{outcome}", outcome.seen.len()));
            if *way == Way::Peerway {
                kept &= broken.is_empty();
                broken.iter().for_each(|promise| say(&format!("  not kept: {promise}")));
            }
            outcomes.push((*way, outcome));
        }
        played.push((scenario, outcomes));
        // After each, so that there is something to read when the rest is too long to wait for.
        report::write(&wish.folder, &played, wish.time)?;
    }
    let report = wish.folder.join("report.md");
    say(&format!("\n{} s in all. The report: {}", begun.elapsed().as_secs(), report.display()));
    Ok(kept)
}

async fn play_one(scenario: &'static Scenario, way: Way, time: Duration) -> Result<Outcome> {
    let begun = Instant::now();
    let progress =
        |what: &str| say(&format!("  {:>4} s  {way}: {what}", begun.elapsed().as_secs()));
    progress("servers start");
    let mut stage = Stage::start(&Plan::for_scenario(way, scenario)).await?;
    stage.play(scenario, time, progress).await
}

#[expect(clippy::print_stdout, reason = "a command line program")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "a command line program")]
fn say_error(text: &str) {
    eprintln!("{text}");
}

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
