//! DER, as much of it as a certificate is read with: elements of definite length, and the two kinds of
//! time. By hand, since a library for all of DER would be a twelfth of the module; what is read here
//! has passed Envoy's own parser and the signature of an authority before.

/// The tags that are looked for.
pub(super) mod tag {
    pub(in super::super) const UTF8_STRING: u8 = 0x0c;
    pub(in super::super) const NUMERIC_STRING: u8 = 0x12;
    pub(in super::super) const PRINTABLE_STRING: u8 = 0x13;
    pub(in super::super) const TELETEX_STRING: u8 = 0x14;
    pub(in super::super) const IA5_STRING: u8 = 0x16;
    pub(in super::super) const BMP_STRING: u8 = 0x1e;
    pub(in super::super) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(in super::super) const SEQUENCE: u8 = 0x30;
    pub(in super::super) const SET: u8 = 0x31;
    pub(in super::super) const VERSION: u8 = 0xa0;
    pub(super) const UTC_TIME: u8 = 0x17;
    pub(super) const GENERALIZED_TIME: u8 = 0x18;
}

/// Reads element after element.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element: its tag and what is inside. `None` also for what is not DER.
    pub(super) fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, first, rest @ ..] = self.0 else { return None };
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
                let length = bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
                // Only the shortest form is DER.
                let is_shortest = length > 0x7f && bytes.first() != Some(&0);
                (is_shortest.then_some(length)?, rest)
            }
            _ => return None,
        };
        let (inside, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, inside))
    }

    /// What is inside of the next element, which must have this tag.
    pub(super) fn inside(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element().filter(|(found, _)| *found == tag).map(|(_, inside)| inside)
    }

    /// The elements inside of the next element, which must have this tag.
    pub(super) fn open(&mut self, tag: u8) -> Option<Self> {
        self.inside(tag).map(Self)
    }

    /// The next element, when it has this tag.
    pub(super) fn skip_optional(&mut self, tag: u8) -> Option<()> {
        if self.0.first() == Some(&tag) { self.element().map(drop) } else { Some(()) }
    }

    /// The next element, a time: seconds since the epoch.
    pub(super) fn time(&mut self) -> Option<u64> {
        let (tag, text) = self.element()?;
        let (year, rest) = match tag {
            tag::UTC_TIME => {
                let (year, rest) = number::<2>(text)?;
                (if year < 50 { 2000 + year } else { 1900 + year }, rest)
            }
            tag::GENERALIZED_TIME => number::<4>(text)?,
            _ => return None,
        };
        let (month, rest) = number::<2>(rest)?;
        let (day, rest) = number::<2>(rest)?;
        let (hour, rest) = number::<2>(rest)?;
        let (minute, rest) = number::<2>(rest)?;
        let (second, rest) = number::<2>(rest)?;
        if rest != b"Z" || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        // Before the epoch is long ago.
        let days = days_since_epoch(year, month, day).unwrap_or(0);
        Some(((days * 24 + hour) * 60 + minute) * 60 + second)
    }
}

fn number<const DIGITS: usize>(text: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_at_checked(DIGITS)?;
    let digit = |sum, byte: &u8| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'));
    Some((digits.iter().try_fold(0, digit)?, rest))
}

/// In the Gregorian calendar. Years begin in March here, so that the leap day is the last one.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    days.checked_sub(DAYS_TO_EPOCH)
}

/// From the first of March of the year 0 to the first of January 1970, counted from 1.
const DAYS_TO_EPOCH: u64 = 719_469;

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn time(tag: u8, text: &str) -> Option<u64> {
        let length = u8::try_from(text.len()).unwrap();
        Reader::new(&[&[tag, length], text.as_bytes()].concat()).time()
    }

    #[test]
    fn times_are_seconds_since_the_epoch() {
        for (text, seconds) in [
            ("700101000000Z", 0),
            ("700301000000Z", 59 * 86_400),
            ("000229120000Z", 951_825_600),
            ("330518033320Z", 2_000_000_000),
            ("491231235959Z", 2_524_607_999),
            ("500101000000Z", 0),
        ] {
            assert_eq!(time(tag::UTC_TIME, text), Some(seconds), "{text}");
        }
        for (text, seconds) in
            [("20500101000000Z", 2_524_608_000), ("99991231235959Z", 253_402_300_799)]
        {
            assert_eq!(time(tag::GENERALIZED_TIME, text), Some(seconds), "{text}");
        }
        for odd in
            ["", "7001010000Z", "700101000000", "701301000000Z", "7001010000000Z", "7x0101000000Z"]
        {
            assert_eq!(time(tag::UTC_TIME, odd), None, "{odd}");
        }
        assert_eq!(time(0x0c, "700101000000Z"), None);
    }

    #[test]
    fn only_der_is_read() {
        let long = [[0x04, 0x81, 0x80].as_slice(), &[7; 128]].concat();
        assert_eq!(Reader::new(&long).element(), Some((4, [7; 128].as_slice())));
        let odd: [&[u8]; 7] = [
            &[],
            &[0x04],
            &[0x04, 1],
            &[0x04, 0x80, 0, 0],
            &[0x04, 0x81, 1, 0],
            &[0x04, 0x82, 0, 1, 0],
            &[0x04, 0x84, 0, 0, 0, 1, 0],
        ];
        for odd in odd {
            assert_eq!(Reader::new(odd).element(), None, "{odd:?}");
        }
    }
}
