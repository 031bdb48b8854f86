//! An ASN.1 string -> text, exactly as Go's `parseASN1String` (`crypto/x509/parser.go`) reads it:
//! what it refuses is refused, since a server does not even complete the handshake then.

use super::der::tag;

pub(super) fn text(kind: u8, bytes: &[u8]) -> Option<String> {
    match kind {
        tag::UTF8_STRING => utf8(bytes),
        tag::PRINTABLE_STRING => utf8(bytes).filter(|_| bytes.iter().all(is_printable)),
        tag::IA5_STRING => utf8(bytes).filter(|_| bytes.is_ascii()),
        tag::NUMERIC_STRING => {
            utf8(bytes).filter(|_| bytes.iter().all(|b| b.is_ascii_digit() || *b == b' '))
        }
        // Taken for Latin-1, as BoringSSL does.
        tag::TELETEX_STRING => Some(bytes.iter().map(|&byte| char::from(byte)).collect()),
        tag::BMP_STRING => ucs2(bytes),
        _ => None,
    }
}

fn utf8(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// `*` and `&` do not belong there and are common.
fn is_printable(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(byte)
}

/// Two bytes a character, without surrogates and noncharacters; one terminating zero is dropped.
fn ucs2(bytes: &[u8]) -> Option<String> {
    let bytes =
        bytes.strip_suffix(&[0, 0]).filter(|_| bytes.len().is_multiple_of(2)).unwrap_or(bytes);
    let (units, []) = bytes.as_chunks::<2>() else { return None };
    let character = |unit: &[u8; 2]| match u16::from_be_bytes(*unit) {
        0xfdd0..=0xfdef | 0xfffe | 0xffff => None,
        unit => char::from_u32(unit.into()),
    };
    units.iter().map(character).collect()
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn each_kind_of_string_is_read_as_go_reads_it() {
        let rows: [(u8, &[u8], Option<&str>); 17] = [
            (tag::UTF8_STRING, "jané\u{1f600}".as_bytes(), Some("jané\u{1f600}")),
            (tag::UTF8_STRING, b"\xff", None),
            (tag::UTF8_STRING, b"", Some("")),
            (tag::PRINTABLE_STRING, b"a'(1)+,-./:=? *&", Some("a'(1)+,-./:=? *&")),
            (tag::PRINTABLE_STRING, b"a@b", None),
            (tag::PRINTABLE_STRING, b"a_b", None),
            (tag::IA5_STRING, b"a@b\x01", Some("a@b\x01")),
            (tag::IA5_STRING, b"\x80", None),
            (tag::NUMERIC_STRING, b"12 3", Some("12 3")),
            (tag::NUMERIC_STRING, b"1a", None),
            (tag::TELETEX_STRING, b"J\xe4n", Some("J\u{e4}n")),
            (tag::BMP_STRING, b"\0j\0a\x26\x3a", Some("ja\u{263a}")),
            (tag::BMP_STRING, b"\0j\0\0", Some("j")),
            (tag::BMP_STRING, b"\0j\0", None),
            (tag::BMP_STRING, b"\xd8\x00", None),
            (tag::BMP_STRING, b"\xff\xfe", None),
            (0x1a, b"jane", None),
        ];
        for (tag, bytes, expected) in rows {
            let found = text(tag, bytes);
            assert_eq!(found.as_deref(), expected, "{tag:#x} {}", bytes.escape_ascii());
        }
    }
}
