//! A client certificate, as DER -> who its bearer is, or why nobody.

use base64ct::{Base64, Encoding};
use peerway_core::identity::{Certificate, Claim};

pub(crate) fn check(data: &[u8]) {
    // As it would come from a client that wrote the lines itself.
    let _ = Certificate::from_pem(data);
    let base64 = Base64::encode_string(data);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    let certificate = Certificate::from_pem(pem.as_bytes());
    assert!(!matches!(certificate.at(u64::MAX), Claim::Caller(_)), "no certificate lasts for ever");
    let Claim::Caller(headers) = certificate.at(0) else { return };
    let named = |name: &str| headers.iter().filter(|(header, _)| *header == name).count();
    assert_eq!(named("x-remote-user"), 1, "{headers:?}");
    assert!(named("x-remote-uid") <= 1, "{headers:?}");
    for (name, value) in headers {
        assert!(["x-remote-user", "x-remote-uid", "x-remote-group"].contains(name), "{name}");
        assert!(!value.is_empty() && value.trim_matches([' ', '\t']) == value, "{name}: {value:?}");
        let ends_a_header = |byte: u8| byte.is_ascii_control() && byte != b'\t';
        assert!(!value.bytes().any(ends_a_header), "{name}: {value:?}");
    }
}
