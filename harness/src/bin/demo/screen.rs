//! What a person sees: lines of at most 80 columns, color on a terminal that wants it, and one live
//! line while something takes long. In a pipe there is neither, only the lines.

use std::cell::RefCell;
use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

use anyhow::Result;

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// What a false 404 is, and does.
    Bad,
    /// A heading.
    Strong,
    /// Beside the point.
    Faint,
    /// Everything else.
    Plain,
}

/// Text in one tone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// One line's text, without escapes.
    pub(crate) text: String,
    /// How it is meant.
    pub(crate) tone: Tone,
}

impl Span {
    /// Text in a tone.
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }
}

/// Standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    color: bool,
    note: RefCell<String>,
}

impl Screen {
    /// Colors and the live line are for terminals; `NO_COLOR` takes the colors away.
    pub(crate) fn new() -> Self {
        let terminal = stdout().is_terminal();
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { terminal, color, note: RefCell::default() }
    }

    /// One line.
    pub(crate) fn line(&self, spans: &[Span]) -> Result<()> {
        let text: String = spans.iter().map(|span| self.painted(span)).collect();
        Ok(writeln!(stdout(), "{}", text.trim_end())?)
    }

    /// An empty line, and a heading.
    pub(crate) fn heading(&self, text: &str) -> Result<()> {
        self.text("")?;
        self.line(&[Span::new(Tone::Strong, text)])
    }

    /// Running text, broken into lines.
    pub(crate) fn text(&self, text: &str) -> Result<()> {
        self.toned(Tone::Plain, text)
    }

    /// Running text in one tone.
    pub(crate) fn toned(&self, tone: Tone, text: &str) -> Result<()> {
        wrapped(text).into_iter().try_for_each(|line| self.line(&[Span::new(tone, line)]))
    }

    /// One line as it is, however long.
    pub(crate) fn verbatim(&self, tone: Tone, text: &str) -> Result<()> {
        self.line(&[Span::new(tone, text)])
    }

    /// Does some work under a live line that tells what it is, and for how long; a line with how
    /// long it took stays.
    pub(crate) async fn during<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let begun = Instant::now();
        let result = self.alive(what, work).await?;
        let seconds = format!(" ({:.0} s)", begun.elapsed().as_secs_f64());
        self.line(&[Span::new(Tone::Plain, what), Span::new(Tone::Faint, seconds)])?;
        Ok(result)
    }

    /// The same, and nothing stays.
    pub(crate) async fn alive<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.note("");
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(REDRAW);
        let mut work = std::pin::pin!(work);
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                _ = ticks.tick() => self.redraw(what, begun.elapsed())?,
            }
        };
        self.erase()?;
        result
    }

    /// How far the work of the live line has come.
    pub(crate) fn note(&self, note: &str) {
        note.clone_into(&mut self.note.borrow_mut());
    }

    fn redraw(&self, what: &str, elapsed: Duration) -> Result<()> {
        if !self.terminal {
            return Ok(());
        }
        let note = self.note.borrow();
        let joint = if note.is_empty() { "" } else { ": " };
        let text = format!("{what}{joint}{note} … {} s", elapsed.as_secs());
        let text = text.chars().take(WIDTH - 1).collect::<String>();
        let mut out = stdout();
        write!(out, "{ERASE}{}", self.painted(&Span::new(Tone::Faint, text)))?;
        Ok(out.flush()?)
    }

    fn erase(&self) -> Result<()> {
        if self.terminal {
            write!(stdout(), "{ERASE}")?;
        }
        Ok(())
    }

    fn painted(&self, span: &Span) -> String {
        let code = match span.tone {
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Plain => "",
        };
        if !self.color || code.is_empty() {
            return span.text.clone();
        }
        format!("\x1b[{code}m{}\x1b[0m", span.text)
    }
}

/// Breaks running text into lines between words; further lines are indented like the first one. A
/// word that is longer than a line stays whole.
fn wrapped(text: &str) -> Vec<String> {
    let indent: String = text.chars().take_while(|&c| c == ' ').collect();
    let mut lines = vec![indent.clone()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        let begun = line.len() > indent.len();
        if begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{indent}{word}"));
            continue;
        }
        if begun {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

/// Columns of the terminal that is written for.
pub(crate) const WIDTH: usize = 80;
const REDRAW: Duration = Duration::from_millis(200);
/// Back to the first column, and clear the line.
const ERASE: &str = "\r\x1b[K";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words_and_keeps_its_indent() {
        let lines = wrapped(&format!("  {}", "word ".repeat(40)));
        assert!(lines.len() > 1);
        for line in &lines {
            assert!(line.starts_with("  word") && line.ends_with("word"), "{line:?}");
            assert!(line.chars().count() <= WIDTH);
        }
        assert_eq!(wrapped(""), [""]);
        let long = "x".repeat(WIDTH + 1);
        assert_eq!(wrapped(&format!("a {long} b")), ["a", &long, "b"]);
    }

    #[test]
    fn escapes_are_written_only_where_colors_are_wanted() {
        let screen = |color| Screen { terminal: color, color, note: RefCell::default() };
        let span = Span::new(Tone::Bad, "false 404");
        assert_eq!(screen(false).painted(&span), "false 404");
        assert_eq!(screen(true).painted(&span), "\x1b[1;31mfalse 404\x1b[0m");
        assert_eq!(screen(true).painted(&Span::new(Tone::Plain, "text")), "text");
    }
}
