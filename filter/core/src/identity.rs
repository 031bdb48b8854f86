//! A verified client certificate -> who a kube-apiserver would say that it is, as headers.
//!
//! Mirrors `CommonNameUserConversion` of k8s.io/apiserver's `request/x509` and Go's `crypto/x509`: the
//! user is the last CommonName, the groups are all Organizations in order, the UID is the one
//! attribute 1.3.6.1.4.1.57683.2. Reads the certificate itself and not a proxy's text of its subject,
//! so that there is nothing to be escaped or split. Verification is the proxy's; what the certificate
//! says about how long it is valid counts here for each request, as on a server.

mod der;
mod known;
mod subject;
mod text;

pub use known::Known;

use base64ct::{Base64, Encoding};

use der::{Reader, tag};
use subject::Subject;

/// Set by the rendered configuration, and by no client: the fingerprint of a certificate that the
/// proxy has verified. As long as it is there, the request goes over the front proxy's connection.
pub const CERTIFICATE: &str = "x-peerway-certificate";

const USER: &str = "x-remote-user";
const UID: &str = "x-remote-uid";
const GROUP: &str = "x-remote-group";

/// A certificate, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The last second in which it counts, since the epoch.
    not_after_s: u64,
    meaning: Meaning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    /// Header by header.
    Caller(Vec<(&'static str, String)>),
    Error,
    Refused(&'static str),
}

/// What becomes of a request that came with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim<'a> {
    /// Add these headers: the caller is known.
    Caller(&'a [(&'static str, String)]),
    /// To a server the certificate names nobody or is an error, which only a good token makes up for.
    /// The front proxy's connection without a caller's name is exactly that: nothing is to be done.
    Error,
    /// Headers cannot say what a server would make of it, or it cannot be read. Answer 401, and why.
    Refused(&'static str),
}

impl Certificate {
    /// Reads a certificate in PEM, the leaf alone.
    pub fn from_pem(pem: &[u8]) -> Self {
        let der = der_of(pem).unwrap_or_default();
        Self::from_der(&der).unwrap_or(Self {
            not_after_s: u64::MAX,
            meaning: Meaning::Refused("it cannot be read"),
        })
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(der).open(tag::SEQUENCE)?.open(tag::SEQUENCE)?;
        fields.skip_optional(tag::VERSION)?;
        let _serial_number = fields.element()?;
        let _algorithm = fields.element()?;
        let _issuer = fields.element()?;
        let mut validity = fields.open(tag::SEQUENCE)?;
        let _not_before = validity.element()?;
        let not_after_s = validity.time()?;
        let subject = Subject::read(fields.open(tag::SEQUENCE)?)?;
        Some(Self { not_after_s, meaning: Meaning::of(subject) })
    }

    /// What it means at a time, in seconds since the epoch.
    pub fn at(&self, now_s: u64) -> Claim<'_> {
        match &self.meaning {
            Meaning::Refused(why) => Claim::Refused(why),
            _ if now_s > self.not_after_s => Claim::Error,
            Meaning::Caller(headers) => Claim::Caller(headers),
            Meaning::Error => Claim::Error,
        }
    }
}

/// The `Status` that tells a caller why its certificate is refused.
pub fn refusal(why: &str) -> String {
    format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"Peerway cannot pass on your client certificate: {why}","reason":"Unauthorized","code":401}}"#
    )
}

impl Meaning {
    fn of(subject: Subject) -> Self {
        let Subject { common_name, organizations, uids } = subject;
        if common_name.is_empty() {
            // Not anonymous: that it is not the front proxy's either is an error to a server.
            return Self::Error;
        }
        let mut headers = vec![(USER, common_name)];
        match uids.as_slice() {
            [] => {}
            [uid] if !uid.is_empty() => headers.push((UID, uid.clone())),
            _ => return Self::Error,
        }
        // An empty group is in no role binding, and no header can say it.
        let groups = organizations.into_iter().filter(|group| !group.is_empty());
        headers.extend(groups.map(|group| (GROUP, group)));
        if headers.iter().all(|(_, value)| arrives_unchanged(value)) {
            Self::Caller(headers)
        } else {
            Self::Refused(
                "its subject has a control character, or a blank at an end of a value, which would \
                 reach the kube-apiserver as another identity",
            )
        }
    }
}

/// Whether a header brings a value as it is. Blanks at its ends may be trimmed on the way; control
/// characters are refused, or end the header.
fn arrives_unchanged(value: &str) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = value.as_bytes();
    let ends = is_blank(bytes.first()) || is_blank(bytes.last());
    !ends && !bytes.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

/// What is between the first two lines of dashes.
fn der_of(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let lines = text.lines().skip_while(|line| !line.starts_with("-----BEGIN ")).skip(1);
    let base64: String = lines.take_while(|line| !line.starts_with('-')).collect();
    Base64::decode_vec(&base64).ok()
}

#[cfg(test)]
mod tests;
