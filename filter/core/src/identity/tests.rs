//! Certificates made byte by byte, and what each of them means.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const UTF8: u8 = 0x0c;
const CN: &[u8] = b"\x55\x04\x03";
const O: &[u8] = b"\x55\x04\x0a";
const UID_OID: &[u8] = b"\x2b\x06\x01\x04\x01\x83\xc2\x53\x02";
/// 2033-05-18T03:33:20Z, a second after this.
const NOT_AFTER_S: u64 = 2_000_000_000;

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    // The shortest form, as DER wants it.
    let length = match length {
        [0, short @ ..=0x7f] => vec![short],
        [0, byte] => vec![0x81, byte],
        [high, low] => vec![0x82, high, low],
    };
    [&[tag], length.as_slice(), content].concat()
}

fn attribute(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
    element(0x30, &[element(0x06, oid), element(tag, value)].concat())
}

/// Its kind and its value.
type Attribute<'a> = (&'a [u8], &'a str);

/// An RDN for each, in this order.
fn subject(attributes: &[(&[u8], &str)]) -> Vec<u8> {
    let rdn = |(oid, value): &(&[u8], &str)| element(0x31, &attribute(oid, UTF8, value.as_bytes()));
    attributes.iter().map(rdn).collect::<Vec<_>>().concat()
}

/// A certificate with this inside of its subject; only what is read is real.
fn certificate(subject: &[u8]) -> Vec<u8> {
    let validity = [element(0x17, b"200101000000Z"), element(0x17, b"330518033320Z")].concat();
    let fields = [
        element(0xa0, &element(0x02, &[2])),
        element(0x02, &[1]),
        element(0x30, &[]),
        element(0x30, &[]),
        element(0x30, &validity),
        element(0x30, subject),
        element(0x30, &[]),
    ];
    let whole = [element(0x30, &fields.concat()), element(0x30, &[]), element(0x03, &[0])];
    element(0x30, &whole.concat())
}

fn read(subject: &[u8]) -> Certificate {
    let base64 = Base64::encode_string(&certificate(subject));
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    let pem =
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    Certificate::from_pem(pem.as_bytes())
}

fn headers(attributes: &[(&[u8], &str)]) -> Vec<(&'static str, String)> {
    match read(&subject(attributes)).at(NOT_AFTER_S) {
        Claim::Caller(headers) => headers.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_caller_is_whom_a_server_would_make_of_it() {
    let caller =
        headers(&[(O, "a,b"), (CN, "first"), (O, "ops"), (UID_OID, "u 1"), (CN, "x,O=y+z")]);
    let expected = [(USER, "x,O=y+z"), (UID, "u 1"), (GROUP, "a,b"), (GROUP, "ops")];
    assert_eq!(caller, expected.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn parts_of_one_rdn_count_like_rdns() {
    let parts = [attribute(O, UTF8, b"g"), attribute(CN, UTF8, b"jane")].concat();
    let certificate = read(&element(0x31, &parts));
    let expected = [(USER, "jane".to_owned()), (GROUP, "g".to_owned())];
    assert_eq!(certificate.at(0), Claim::Caller(&expected));
}

#[test]
fn every_group_is_there_but_an_empty_one() {
    let names: Vec<String> = (0..200).map(|n| format!("g{n}")).collect();
    let mut attributes: Vec<(&[u8], &str)> = names.iter().map(|name| (O, name.as_str())).collect();
    attributes.insert(100, (O, ""));
    attributes.push((CN, "jane"));
    let caller = headers(&attributes);
    let groups = caller.iter().filter(|(name, _)| *name == GROUP).map(|(_, value)| value);
    assert!(groups.eq(&names));
}

#[test]
fn what_names_nobody_is_an_error_as_to_a_server() {
    let rows: [(&[Attribute<'_>], Claim<'_>); 6] = [
        (&[], Claim::Error),
        (&[(O, "system:masters")], Claim::Error),
        (&[(CN, "jane"), (CN, "")], Claim::Error),
        (&[(UID_OID, "")], Claim::Error),
        (&[(CN, "jane"), (UID_OID, "1"), (UID_OID, "1")], Claim::Error),
        (&[(CN, "jane"), (UID_OID, "")], Claim::Error),
    ];
    for (attributes, expected) in rows {
        assert_eq!(read(&subject(attributes)).at(0), expected, "{attributes:?}");
    }
}

#[test]
fn what_no_header_can_say_is_refused() {
    for value in ["a\nb", "a\r", "\0", "a\0b", "\x7f", "\x1b[0m", " a", "a ", "\ta", "a\t", " "] {
        for attributes in
            [[(CN, value), (O, "g")], [(CN, "jane"), (O, value)], [(CN, "j"), (UID_OID, value)]]
        {
            let certificate = read(&subject(&attributes));
            assert!(matches!(certificate.at(0), Claim::Refused(_)), "{attributes:?}");
        }
    }
    assert_eq!(headers(&[(CN, "a\tb c")]), [(USER, "a\tb c".to_owned())]);
}

#[test]
fn an_attribute_that_go_cannot_read_spoils_the_whole() {
    let title: &[u8] = b"\x55\x04\x0c";
    let odd = element(0x31, &attribute(title, 0x1a, b"visible"));
    let certificate = read(&[subject(&[(CN, "jane")]), odd].concat());
    assert!(matches!(certificate.at(0), Claim::Refused(_)));
}

#[test]
fn it_counts_to_the_end_of_its_last_second() {
    let certificate = read(&subject(&[(CN, "jane")]));
    assert!(matches!(certificate.at(NOT_AFTER_S), Claim::Caller(_)));
    assert_eq!(certificate.at(NOT_AFTER_S + 1), Claim::Error);
    assert_eq!(read(&subject(&[])).at(NOT_AFTER_S + 1), Claim::Error);
}

#[test]
fn garbled_certificates_are_refused_and_never_another_identity() {
    let whole = certificate(&subject(&[(O, "g"), (CN, "jane")]));
    for length in 0..whole.len() {
        assert_eq!(Certificate::from_der(&whole[..length]), None, "{length}");
    }
    assert!(matches!(Certificate::from_pem(&whole).at(0), Claim::Refused(_)));
    assert!(matches!(Certificate::from_pem(b"").at(0), Claim::Refused(_)));
    // No panic, whatever is there.
    for at in 0..whole.len() {
        for byte in 0..=255 {
            let mut garbled = whole.clone();
            garbled[at] = byte;
            let _ = Certificate::from_der(&garbled);
        }
    }
}
