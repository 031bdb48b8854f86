//! JSON as Go's `encoding/json` writes it: compact, and with what means something in HTML escaped.
//! An `ETag` is a hash of these bytes, so every one counts.

use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter};

pub(super) fn to_vec(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, HtmlSafe(CompactFormatter)))?;
    Ok(bytes)
}

struct HtmlSafe(CompactFormatter);

impl Formatter for HtmlSafe {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_escaped = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        let mut rest = fragment;
        while let Some((at, found)) = rest.char_indices().find(|(_, c)| is_escaped(*c)) {
            let (before, after) = rest.split_at(at);
            self.0.write_string_fragment(writer, before)?;
            write!(writer, "\\u{:04x}", u32::from(found))?;
            rest = after.get(found.len_utf8()..).unwrap_or_default();
        }
        self.0.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::to_vec;

    #[test]
    fn text_is_escaped_as_go_does() {
        let text = "<a>&\u{2028}\"\\\u{8}\u{c}\n\r\t\u{1}\u{7f}é";
        let expected = r#""\u003ca\u003e\u0026\u2028\"\\\b\f\n\r\t\u0001"#.to_owned() + "\u{7f}é\"";
        assert_eq!(String::from_utf8(to_vec(&text).unwrap()).unwrap(), expected);
    }
}
