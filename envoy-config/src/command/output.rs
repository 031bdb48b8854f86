//! What a command prints: text for people or JSON for programs on standard output, complaints on
//! standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

/// How a command ended that could do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// It found the difference that scripts ask for: exit code 1.
    Differs,
}

/// `-o`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs; docs/cli.md lists the fields.
    Json,
}

/// Prints a result: as `text` makes it, or as it is serialized, indented.
pub(crate) fn print<T: Serialize>(
    output: Output,
    result: &T,
    text: impl Fn(&T) -> String,
) -> Result<(), String> {
    let shown = match output {
        Output::Text => text(result),
        Output::Json => {
            let json = serde_json::to_string_pretty(result).map_err(|error| error.to_string())?;
            format!("{json}\n")
        }
    };
    put(&shown)
}

/// Writes to standard output. Whoever reads it may leave early (`| head`), which is no failure.
pub(crate) fn put(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Says something on standard error; nobody minds if that fails.
pub(crate) fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "{}", what.trim_end());
}

/// A heading: bold where a person sees it in color.
pub(crate) fn heading(text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match io::stdout().is_terminal() && !plain {
        true => format!("\x1b[1m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

/// Each row a line; columns as wide as their widest cell, the last one as it is.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Text from elsewhere for a terminal, which it must not steer; `-` for an empty one.
pub(crate) fn shown(text: &str) -> String {
    match text {
        "" => "-".to_owned(),
        text => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["A", "B", "C"], ["long", "ü", ""], ["x", "", "yy"]];
        let rows: Vec<_> = rows.map(|row| row.map(String::from).to_vec()).into();
        assert_eq!(columns(&rows), "A     B  C\nlong  ü\nx        yy\n");
    }

    #[test]
    fn what_others_sent_does_not_steer_the_terminal() {
        assert_eq!(shown("a\x1b[31m\u{9b}b"), "a\u{fffd}[31m\u{fffd}b");
        assert_eq!(shown(""), "-");
    }
}
