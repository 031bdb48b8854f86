//! Numbers of several rounds as one with its spread, and the ratios of two variants round by round.

use std::fmt;

/// A median, between the quartiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (lower, upper) = (at(&sorted, 0.25)?, at(&sorted, 0.75)?);
        Some(Self { median: at(&sorted, 0.5)?, lower, upper })
    }

    /// Of each round's ratio.
    pub(crate) fn of_ratios(values: &[f64], to: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = values.iter().zip(to).map(|(value, to)| value / to).collect();
        Self::of(&ratios)
    }
}

/// `1.23 (1.10 – 1.40)`
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self { median, lower, upper } = self;
        write!(f, "{median:.digits$} ({lower:.digits$} – {upper:.digits$})")
    }
}

/// The value at a share of sorted ones.
pub(crate) fn at(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let (below, above) =
        (*sorted.get(place.floor() as usize)?, *sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_between_the_quartiles() {
        let spread = Spread::of(&[3.0, 1.0, 2.0, 10.0, 5.0]).unwrap();
        assert_eq!(spread, Spread { median: 3.0, lower: 2.0, upper: 5.0 });
        assert_eq!(spread.to_string(), "3.00 (2.00 – 5.00)");
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let spread = Spread::of_ratios(&[2.0, 30.0], &[1.0, 10.0]).unwrap();
        assert_eq!((spread.median, spread.lower, spread.upper), (2.5, 2.25, 2.75));
    }
}
