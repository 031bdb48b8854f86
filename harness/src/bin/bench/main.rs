//! `make bench`: what Peerway costs, beside what else could be used, in one run; and, with `publish`,
//! the tables and plots of `docs/benchmarks.md` from a result file.
//!
//! ```text
//! bench [--quick] [--only PART]… [--keep] [--out FILE]    measure → result file, and a summary
//! bench publish FILE                                      result file → docs/benchmarks
//! ```
//!
//! A part that cannot be measured is told of, and missing in the result. `--keep` measures into a
//! result file of the same commit, whose other parts stay.

mod about;
mod arguments;
mod cpu;
mod documents;
mod fast_server;
mod goals;
mod hot_path;
mod load;
mod maps;
mod memory;
mod micro;
mod module;
mod plan;
mod plots;
mod propagation;
mod publish;
mod real;
mod results;
mod rivals;
mod screen;
mod statistics;
mod table;
mod vms;

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use arguments::{Arguments, Part};
use peerway_harness::pki::Pki;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::read(std::env::args().skip(1)) {
        Ok(Arguments::Publish(file)) => publish::publish(&file),
        Ok(Arguments::Measure(wanted)) => measure(&wanted).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen::done();
            screen::error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn measure(wanted: &arguments::Wanted) -> Result<()> {
    let about = about::Beginning::now()?;
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let pki = Pki::create(&folder.path().join("pki"))?;
    let (plan, mut failures) = (&wanted.plan, Vec::new());
    let mut results = wanted.kept()?;
    let mut failed = |part: Part, error: anyhow::Error| {
        screen::done();
        screen::error(&error);
        failures.push(part);
    };
    for part in Part::ALL.map(|(_, part)| part).into_iter().filter(|part| wanted.has(*part)) {
        let measured = match part {
            Part::Core => micro::measure(wanted.quick).await.map(|it| results.core = Some(it)),
            Part::Module => module::measure().map(|it| results.module = Some(it)),
            Part::Cpu => hot_path::measure(plan, &pki).await.map(|it| results.cpu = Some(it)),
            Part::Real => real::measure(plan).await.map(|it| results.real = Some(it)),
            Part::Maps => maps::measure(plan, &pki).await.map(|it| results.maps = Some(it)),
            Part::Propagation => {
                propagation::measure(plan, &pki).await.map(|it| results.propagation = Some(it))
            }
            Part::Memory => memory::measure(plan, &pki).await.map(|it| results.memory = Some(it)),
        };
        measured.unwrap_or_else(|error| failed(part, error));
    }
    results.about = about.ended(wanted)?;
    screen::done();
    results.write(&wanted.out)?;
    screen::say(&table::all(&results));
    screen::say(&format!("Every round is in {}.", wanted.out.display()));
    ensure!(failures.is_empty(), "could not be measured: {failures:?}");
    Ok(())
}
