//! What both balancers made of one request -> lines of at most 80 columns.

use crate::outcome::{Row, Try, rows};
use crate::screen::{Span, Tone};
use crate::stage::Way;

/// The same request through both balancers.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The request, as a person would type it.
    pub(crate) request: String,
    /// What is new about what it asks for.
    pub(crate) kind: &'static str,
    /// Through plain round robin.
    pub(crate) plain: Vec<Try>,
    /// Through Peerway.
    pub(crate) peerway: Vec<Try>,
}

impl Comparison {
    /// All tries through one balancer.
    pub(crate) fn tries(&self, way: Way) -> &[Try] {
        match way {
            Way::Plain => &self.plain,
            Way::Peerway => &self.peerway,
        }
    }
}

/// What stands above all comparisons.
pub(crate) fn header() -> Vec<Span> {
    vec![Span::new(Tone::Faint, columns("through", "came back", "from", "why there"))]
}

/// The lines of one comparison.
pub(crate) fn lines(comparison: &Comparison) -> Vec<Vec<Span>> {
    let kind = format!("  ({})", comparison.kind);
    let title = vec![Span::new(Tone::Strong, &comparison.request), Span::new(Tone::Faint, kind)];
    let of_way = |way: Way| {
        let name = move |index| if index == 0 { way.to_string() } else { String::new() };
        let rows = rows(comparison.tries(way)).into_iter().enumerate();
        rows.flat_map(move |(index, row)| of_row(&name(index), &row))
    };
    std::iter::once(title).chain(Way::BOTH.into_iter().flat_map(of_way)).collect()
}

/// A row's further reasons stand below its first one.
fn of_row(way: &str, row: &Row) -> Vec<Vec<Span>> {
    let servers: Vec<_> = row.servers.iter().map(|(name, n)| format!("{name} {n}")).collect();
    let mut reasons = row.reasons.iter().map(String::as_str);
    let came_back = format!("{:>3} × {}", row.count, row.outcome);
    let text = columns(way, &came_back, &servers.join(", "), reasons.next().unwrap_or_default());
    // The outcome alone is colored; it is cut out of the padded line, so the columns stay.
    let first = match text.split_once(&came_back) {
        Some((before, after)) => vec![
            Span::new(Tone::Plain, before),
            Span::new(row.outcome.tone(), came_back),
            Span::new(Tone::Plain, after),
        ],
        None => vec![Span::new(Tone::Plain, text)],
    };
    let further = reasons.map(|reason| vec![Span::new(Tone::Plain, columns("", "", "", reason))]);
    std::iter::once(first).chain(further).collect()
}

fn columns(way: &str, came_back: &str, from: &str, why: &str) -> String {
    format!("  {way:<9}{came_back:<21}{from:<27}{why}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::screen::WIDTH;

    fn tries(count: usize, outcome: Outcome, reason: Option<&str>) -> Vec<Try> {
        let one = |index| Try {
            outcome,
            server: format!("cp-{}", index % 3 + 1),
            reason: reason.map(str::to_owned),
        };
        (0..count).map(one).collect()
    }

    fn text(spans: &[Span]) -> String {
        spans.iter().map(|span| span.text.as_str()).collect()
    }

    #[test]
    fn a_comparison_is_a_title_and_a_line_for_each_kind_of_answer() {
        let plain = [tries(2, Outcome::Status(200), None), tries(3, Outcome::FalseNotFound, None)];
        let comparison = Comparison {
            request: "kubectl get things".to_owned(),
            kind: "a new resource",
            plain: plain.concat(),
            peerway: [
                tries(1, Outcome::Status(200), Some("listed-by-some")),
                tries(1, Outcome::Status(200), Some("untouched")),
            ]
            .concat(),
        };
        let lines: Vec<String> = lines(&comparison).iter().map(|line| text(line)).collect();
        assert_eq!(
            lines,
            [
                "kubectl get things  (a new resource)",
                "  plain      2 × 200            cp-1 1, cp-2 1",
                "             3 × false 404      cp-1 1, cp-2 1, cp-3 1",
                "  Peerway    2 × 200            cp-1 2                     listed-by-some",
                "                                                           untouched",
            ]
        );
    }

    #[test]
    fn the_widest_line_fits_a_terminal() {
        let peerway = tries(297, Outcome::TryAgain(429), Some("listed-by-unconfirmed"));
        let comparison =
            Comparison { request: String::new(), kind: "", plain: Vec::new(), peerway };
        for line in lines(&comparison) {
            assert!(text(&line).chars().count() <= WIDTH, "{}", text(&line));
        }
        assert!(text(&header()).chars().count() <= WIDTH);
    }
}
