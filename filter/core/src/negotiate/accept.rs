//! An `Accept` line -> its clauses, in the order in which a server tries them (goautoneg).

/// One clause: a media type and its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clause<'a> {
    media_type: &'a str,
    subtype: &'a str,
    quality: f32,
    /// In the order of the header; of a repeated one, the last counts.
    parameters: Vec<(&'a str, &'a str)>,
}

/// All readable clauses, best first. What has no type and subtype is left out.
pub(super) fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<_> = accept.split(',').filter_map(Clause::read).collect();
    // The insertion sort that Go uses for up to twelve elements, step by step: the order that it
    // sorts by is no order where a wildcard has the higher quality, so another sort would differ.
    for end in 1..clauses.len() {
        for at in (1..=end).rev() {
            match (clauses.get(at), clauses.get(at - 1)) {
                (Some(right), Some(left)) if right.goes_before(left) => clauses.swap(at, at - 1),
                _ => break,
            }
        }
    }
    clauses
}

impl<'a> Clause<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.trim_matches(' ').split(';');
        let mut halves = parts.next()?.splitn(2, '/').map(|half| half.trim_matches(' '));
        let media_type = halves.next()?;
        let subtype = match (halves.next().unwrap_or_default(), media_type) {
            ("", "*") => "*",
            (subtype, _) if subtype.is_empty() || subtype.contains('/') => return None,
            (subtype, _) => subtype,
        };
        let mut clause = Self { media_type, subtype, quality: 1.0, parameters: Vec::new() };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            if value.is_empty() || value.contains('=') {
                continue;
            }
            match name.trim_matches(' ') {
                "q" => clause.quality = quality(value),
                name => clause.parameters.push((name, value.trim_matches(' '))),
            }
        }
        Some(clause)
    }

    fn goes_before(&self, other: &Self) -> bool {
        self.quality > other.quality
            || (self.media_type != "*" && other.media_type == "*")
            || (self.subtype != "*" && other.subtype == "*")
    }

    /// Whether `media_type` (`application/json`) is what it asks for.
    pub(super) fn names(&self, media_type: &str) -> bool {
        match (self.media_type, self.subtype) {
            ("*", "*") => true,
            (name, "*") => media_type.split('/').next() == Some(name),
            (name, subtype) => media_type.split_once('/') == Some((name, subtype)),
        }
    }

    /// The value of a parameter; `Some("")` for one of spaces.
    pub(super) fn parameter(&self, name: &str) -> Option<&'a str> {
        let mut with_name = self.parameters.iter().rev().filter(|(found, _)| *found == name);
        with_name.next().map(|(_, value)| *value)
    }

    /// Group, version and kind that it wants the answer converted to, if any of them is there.
    pub(super) fn converts_to(&self) -> Option<[&'a str; 3]> {
        let wanted = ["g", "v", "as"].map(|name| self.parameter(name));
        wanted.iter().any(Option::is_some).then(|| wanted.map(Option::unwrap_or_default))
    }

    /// Whether its stream and server version are such that an answer is possible.
    pub(super) fn is_possible(&self, has_stream: bool) -> bool {
        let stream = self.parameter("stream").unwrap_or_default();
        let server_version = self.parameter("sv").unwrap_or_default();
        (stream.is_empty() || (stream == "watch" && has_stream)) && server_version.is_empty()
    }
}

/// Unreadable is 0; infinity is readable, as for Go.
fn quality(value: &str) -> f32 {
    let signed_nan = value.starts_with(['+', '-']) && value.to_ascii_lowercase().ends_with("nan");
    if signed_nan { 0.0 } else { value.parse().unwrap_or(0.0) }
}
