//! Prepares the real programs that demo and tests need, one line each: `parts all`, or some by name
//! (`kube-1.36.3`, `kube-1.36.3/kubectl`, `envoy-1.40.0`). What is there already costs nothing.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use peerway_harness::parts::{self, Part};

#[tokio::main]
async fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    match prepare(&names).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell_error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn prepare(names: &[String]) -> Result<()> {
    let wanted = select(names)?;
    for (number, part) in wanted.iter().enumerate() {
        let begun = Instant::now();
        let path = parts::ensure(part).await?;
        let seconds = begun.elapsed().as_secs();
        tell(&format!(
            "[{}/{}] {part}: {} ({seconds} s)",
            number + 1,
            wanted.len(),
            path.display()
        ));
    }
    Ok(())
}

fn select(names: &[String]) -> Result<Vec<Part>> {
    let all = Part::all();
    let mut wanted = Vec::new();
    for name in names {
        let matches =
            |part: &&Part| name == "all" || *name == part.folder() || *name == part.to_string();
        let found: Vec<Part> = all.iter().filter(matches).cloned().collect();
        if found.is_empty() {
            bail!("there is no part {name}; {}", usage(&all));
        }
        wanted.extend(found);
    }
    if wanted.is_empty() {
        bail!("which parts? {}", usage(&all));
    }
    Ok(wanted)
}

fn usage(all: &[Part]) -> String {
    let names: Vec<String> = all.iter().map(Part::to_string).collect();
    format!("say `all`, or some of: {}", names.join(", "))
}

#[expect(clippy::print_stdout, reason = "a command line program")]
fn tell(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "a command line program")]
fn tell_error(error: &anyhow::Error) {
    eprintln!("parts: {error:#}");
}
