//! JSON as Go's `encoding/json` writes it: compact, and with what means something in HTML escaped.
//! An `ETag` is a hash of these bytes, so every one counts.

use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter};

use super::Text;

/// An object that is being written.
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    before_next: &'static [u8],
}

impl<'o> Object<'o> {
    pub(crate) fn begin(out: &'o mut Vec<u8>) -> Self {
        Self { out, before_next: b"{" }
    }

    /// Begins a field; its value is to be written to what is returned.
    pub(crate) fn field(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.extend(self.before_next);
        self.before_next = b",";
        text(name, self.out);
        self.out.push(b':');
        self.out
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        text(value, self.field(name));
    }

    pub(crate) fn text_if_any(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.text(name, value);
        }
    }

    /// `null` where there is no list.
    pub(crate) fn texts(&mut self, name: &str, values: Option<&[Text<'_>]>) {
        let out = self.field(name);
        match values {
            Some(values) => list(values, out, |value, out| text(value, out)),
            None => out.extend(b"null"),
        }
    }

    pub(crate) fn texts_if_any(&mut self, name: &str, values: Option<&[Text<'_>]>) {
        self.list_if_any(name, values, |value, out| text(value, out));
    }

    pub(crate) fn list_if_any<T>(
        &mut self,
        name: &str,
        items: Option<&[T]>,
        write: fn(&T, &mut Vec<u8>),
    ) {
        if let Some(items @ [_, ..]) = items {
            list(items, self.field(name), write);
        }
    }

    pub(crate) fn end(self) {
        if self.before_next == b"{" {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

pub(crate) fn list<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// A text in quotes.
pub(crate) fn text(text: &str, out: &mut Vec<u8>) {
    // A `Vec` takes all that is written to it.
    let _ = text.serialize(&mut Serializer::with_formatter(out, HtmlSafe(CompactFormatter)));
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

    use super::text;

    #[test]
    fn text_is_escaped_as_go_does() {
        let given = "<a>&\u{2028}\"\\\u{8}\u{c}\n\r\t\u{1}\u{7f}é";
        let expected = r#""\u003ca\u003e\u0026\u2028\"\\\b\f\n\r\t\u0001"#.to_owned() + "\u{7f}é\"";
        let mut written = Vec::new();
        text(given, &mut written);
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}
