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

/// Unreadable is 0; infinity is readable, as for Go. Read by hand: the library's reader has tables of
/// 10 kB, which only matter where the last of many digits does.
fn quality(value: &str) -> f32 {
    let (negative, rest) = match value.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    };
    let is = |word: &[u8]| rest.eq_ignore_ascii_case(word);
    let magnitude = match is(b"inf") || is(b"infinity") {
        true => f64::INFINITY,
        false if is(b"nan") && rest.len() == value.len() => f64::NAN,
        false => decimal(rest).unwrap_or_default(),
    };
    (if negative { -magnitude } else { magnitude }) as f32
}

/// `digits.digits` with at least one digit, and an exponent.
fn decimal(text: &[u8]) -> Option<f64> {
    let mut parts = text.splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = (parts.next()?, parts.next());
    let mut exponent: i32 = match exponent {
        Some(exponent) => std::str::from_utf8(exponent).ok()?.parse().ok()?,
        None => 0,
    };
    let (mut number, mut digits, mut in_fraction) = (0.0_f64, 0, false);
    for byte in mantissa {
        match byte {
            b'0'..=b'9' => {
                number = number * 10.0 + f64::from(byte - b'0');
                digits += 1;
                exponent = exponent.saturating_sub(i32::from(in_fraction));
            }
            b'.' if !in_fraction => in_fraction = true,
            _ => return None,
        }
    }
    let scale = 10.0_f64.powi(exponent.saturating_abs().min(400));
    (digits > 0).then_some(if exponent < 0 { number / scale } else { number * scale })
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::quality;

    #[test]
    fn a_quality_is_read_as_the_library_reads_it() {
        for text in [
            "0.1",
            "1",
            "0.10",
            ".5",
            "5.",
            "1e-3",
            "1E3",
            "+0.25",
            "-1",
            "0.333",
            "007",
            "inf",
            "-Infinity",
            "12345678.9",
            "1e400",
            "0.0000001",
        ] {
            assert_eq!(quality(text), text.parse::<f32>().unwrap(), "{text}");
        }
        for bad in ["", ".", "x", "1x", "1e", "e1", "1.2.3", "--1", "0x1p-2", "+nan", "1 "] {
            assert_eq!(quality(bad), 0.0, "{bad}");
        }
        assert!(quality("NaN").is_nan());
    }
}
