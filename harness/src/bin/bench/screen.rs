//! What the benchmark says while it runs, on standard error: a line a step, rewritten on a terminal.

use std::io::{IsTerminal, Write};

/// Where it is.
pub(crate) fn progress(step: &str) {
    let mut out = std::io::stderr();
    // Nobody is left to tell when this fails.
    let _ = if out.is_terminal() {
        write!(out, "\r\x1b[2K{step}").and_then(|()| out.flush())
    } else {
        writeln!(out, "{step}")
    };
}

/// Ends the line of [`progress`].
pub(crate) fn done() {
    if std::io::stderr().is_terminal() {
        let _ = writeln!(std::io::stderr());
    }
}

/// What was measured, on standard output.
#[expect(clippy::print_stdout, reason = "a command line program")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Why it ended early.
pub(crate) fn error(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "bench: {error:#}");
}
