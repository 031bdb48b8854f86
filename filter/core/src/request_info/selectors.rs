//! Field and label selectors, as far as they tell what a request is for.
//!
//! Mirrors `fields.ParseSelector` and the parser of `labels.Parse` (apimachinery), of which only
//! whether it would succeed is of interest: a broken label selector hides the field selector.

/// The value that a field selector demands of `metadata.name`, `None` if it does not or is broken.
pub(super) fn exact_name(selector: &[u8]) -> Option<Vec<u8>> {
    let mut terms = terms(selector);
    // A server sorts them, and of two demands takes the first.
    terms.sort_unstable();
    let mut found = None;
    for term in terms.into_iter().filter(|term| !term.is_empty()) {
        let operator = (0..term.len()).find_map(|at| {
            let operators = [b"!=".as_slice(), b"==", b"="];
            let rest = term.get(at..)?;
            operators.into_iter().find(|operator| rest.starts_with(operator)).map(|o| (at, o))
        });
        let (at, operator) = operator?;
        let value = unescaped(term.get(at + operator.len()..)?)?;
        let demanded = term.get(..at) == Some(b"metadata.name") && operator != b"!=";
        found = found.or(demanded.then_some(value));
    }
    found
}

/// Whether Go reads it as an `int64` in base 10.
pub(super) fn is_int64(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| text.parse::<i64>().is_ok())
}

/// Whether a server can read it.
pub(super) fn is_label_selector(selector: &[u8]) -> bool {
    let mut tokens = Tokens(selector);
    let mut parsed = match tokens.peek() {
        Token::End => return true,
        _ => requirement(&mut tokens),
    };
    while parsed.is_some() {
        match tokens.next() {
            Token::End => return true,
            Token::Comma => parsed = requirement(&mut tokens),
            _ => return false,
        }
    }
    false
}

fn terms(selector: &[u8]) -> Vec<&[u8]> {
    let mut escaped = false;
    let is_end = |byte: &u8| {
        let end = *byte == b',' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        end
    };
    selector.split(is_end).collect()
}

fn unescaped(value: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => plain.push(bytes.next().filter(|byte| b"\\,=".contains(byte))?),
            b',' | b'=' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// `[!]key`, `key = value`, `key in (a,b)` and the like; `None` if it is none of them.
fn requirement(tokens: &mut Tokens<'_>) -> Option<()> {
    let key = match tokens.next() {
        Token::Not => tokens.next().word()?,
        other => other.word()?,
    };
    is_label_key(key).then_some(())?;
    if matches!(tokens.peek(), Token::End | Token::Comma) {
        return Some(());
    }
    let operator = tokens.next();
    match operator {
        Token::In | Token::NotIn => value_list(tokens),
        Token::Equality | Token::Order => {
            let value = match tokens.peek() {
                Token::End | Token::Comma => b"".as_slice(),
                _ => tokens.next().word()?,
            };
            let ordered = operator == Token::Order;
            (is_label_value(value) && (!ordered || is_int64(value))).then_some(())
        }
        _ => None,
    }
}

/// Any mix of words and commas between parentheses, but not two words in a row.
fn value_list(tokens: &mut Tokens<'_>) -> Option<()> {
    (tokens.next() == Token::Open).then_some(())?;
    let mut after_word = false;
    loop {
        match tokens.next() {
            Token::Close => return Some(()),
            Token::Comma => after_word = false,
            other => {
                let fine = is_label_value(other.word()?) && !after_word;
                fine.then_some(())?;
                after_word = true;
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a [u8]),
    In,
    NotIn,
    Not,
    Equality,
    Order,
    Open,
    Close,
    Comma,
    End,
}

impl<'a> Token<'a> {
    /// Where a word is expected, `in` and `notin` are words.
    fn word(self) -> Option<&'a [u8]> {
        match self {
            Self::Word(word) => Some(word),
            Self::In => Some(b"in"),
            Self::NotIn => Some(b"notin"),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Tokens<'a>(&'a [u8]);

impl<'a> Tokens<'a> {
    fn peek(mut self) -> Token<'a> {
        self.next()
    }

    fn next(&mut self) -> Token<'a> {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let start = self.0.iter().position(|byte| !is_space(byte)).unwrap_or(self.0.len());
        let rest = self.0.get(start..).unwrap_or_default();
        let (token, length) = match rest {
            [] | [0, ..] => (Token::End, rest.len()),
            [b'!' | b'=', b'=', ..] => (Token::Equality, 2),
            [b'=', ..] => (Token::Equality, 1),
            [b'!', ..] => (Token::Not, 1),
            [b'<' | b'>', ..] => (Token::Order, 1),
            [b'(', ..] => (Token::Open, 1),
            [b')', ..] => (Token::Close, 1),
            [b',', ..] => (Token::Comma, 1),
            _ => {
                let ends = |byte: &u8| is_space(byte) || b"=!(),<>\0".contains(byte);
                let end = rest.iter().position(ends).unwrap_or(rest.len());
                match rest.get(..end).unwrap_or_default() {
                    b"in" => (Token::In, end),
                    b"notin" => (Token::NotIn, end),
                    word => (Token::Word(word), end),
                }
            }
        };
        // A server takes a NUL for the end of the text where a token begins, and swallows one that
        // follows a token.
        let rest = rest.get(length..).unwrap_or_default();
        self.0 = rest.strip_prefix(b"\0").unwrap_or(rest);
        token
    }
}

fn is_label_key(key: &[u8]) -> bool {
    let mut parts = key.rsplitn(2, |byte| *byte == b'/');
    let name = parts.next().unwrap_or_default();
    !name.is_empty() && is_label_value(name) && parts.next().is_none_or(is_subdomain)
}

fn is_label_value(value: &[u8]) -> bool {
    let ends_well = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    value.len() <= 63
        && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        && ends_well(value.first())
        && ends_well(value.last())
}

fn is_subdomain(name: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 253
        && name.split(|byte| *byte == b'.').all(|label| {
            label.iter().all(|byte| is_letter(byte) || *byte == b'-')
                && label.first().is_some_and(is_letter)
                && label.last().is_some_and(is_letter)
        })
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn label_selectors_are_read_as_a_server_reads_them() {
        for (selector, expected) in [
            ("", true),
            (" ", true),
            ("a", true),
            ("!a", true),
            ("a=", true),
            ("a=b,c==d,e!=f", true),
            ("a in (b,,c),d notin ()", true),
            ("in in (in)", true),
            ("a>5,b<-3", false),
            ("a>5", true),
            ("example.com/a", true),
            ("!a=b", true),
            ("a b", false),
            ("a in (b c)", false),
            ("a in b", false),
            ("a,", false),
            (",a", false),
            ("a=b=c", false),
            ("-a", false),
            ("a/b/c", false),
            ("/a", false),
            ("A.com/a", false),
            ("a=b%", false),
            ("a>b", false),
            ("()", false),
            ("a\0b", false),
            ("a, \0b", false),
            ("a=b\0", true),
            ("a \0b", true),
            ("!", false),
            ("!!a", false),
        ] {
            assert_eq!(is_label_selector(selector.as_bytes()), expected, "{selector}");
        }
    }
}
