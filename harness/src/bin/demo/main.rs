//! `make demo`: false 404s on three real kube-apiservers of two versions, and how they disappear.
//!
//! Status 0 when what Peerway promises was seen to hold, else 1, and 130 after Ctrl-C. With `--keep`
//! all of it is left running at the end, until Enter or Ctrl-C.

mod access_log;
mod damage;
mod fresh_crd;
mod keep;
mod map_view;
mod outcome;
mod play;
mod requests;
mod screen;
mod stage;
mod table;
mod upgrade;
mod verdict;

use std::process::ExitCode;

use anyhow::{Result, bail};
use tokio::signal::ctrl_c;

use screen::Screen;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            tell_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// What was started ends with the future that Ctrl-C drops.
async fn run() -> Result<ExitCode> {
    let keep = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [argument] if argument == "--keep" => true,
        _ => bail!("usage: demo [--keep]"),
    };
    let screen = Screen::new();
    let (stage, findings) = tokio::select! {
        played = play::play(&screen) => played?,
        _ = ctrl_c() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    if keep {
        tokio::select! {
            kept = keep::keep_running(&stage, &screen) => kept?,
            _ = ctrl_c() => {}
        }
    }
    Ok(if findings.problems().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stderr, reason = "a command line program")]
fn tell_error(error: &anyhow::Error) {
    eprintln!("demo: {error:#}");
}

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
