//! `make bench`: what Peerway costs, beside what else could be used, in one run; and, with `publish`,
//! the tables and plots of `docs/benchmarks.md` from a result file.
//!
//! ```text
//! bench [--quick] [--only PART]… [--out FILE]     measure → result file, and a summary
//! bench publish FILE                              result file → docs/benchmarks
//! ```

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

use anyhow::{Context, Result};
use arguments::{Arguments, Part};
use peerway_harness::pki::Pki;
use results::Results;

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
    let plan = &wanted.plan;
    let mut results = Results::default();
    if wanted.has(Part::Core) {
        results.core = Some(micro::measure(wanted.quick).await?);
    }
    if wanted.has(Part::Module) {
        results.module = Some(module::measure()?);
    }
    if wanted.has(Part::Cpu) {
        results.cpu = Some(hot_path::measure(plan, &pki).await?);
    }
    if wanted.has(Part::Real) {
        results.real = Some(real::measure(plan).await?);
    }
    if wanted.has(Part::Maps) {
        results.maps = Some(maps::measure(plan, &pki).await?);
    }
    if wanted.has(Part::Propagation) {
        results.propagation = Some(propagation::measure(plan, &pki).await?);
    }
    if wanted.has(Part::Memory) {
        results.memory = Some(memory::measure(plan, &pki).await?);
    }
    results.about = about.ended(wanted)?;
    screen::done();
    results.write(&wanted.out)?;
    screen::say(&table::all(&results));
    screen::say(&format!("Every round is in {}.", wanted.out.display()));
    Ok(())
}
