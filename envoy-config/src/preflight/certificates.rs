//! Until when the certificates and tokens of Peerway itself are good, and what a certificate says.

use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{Decode, DecodePem, Encode};

use super::{Facts, Findings, OwnFile};

/// What checks look at in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificate {
    /// Its subject, DER.
    pub subject: Vec<u8>,
    /// Its issuer's subject, DER.
    pub issuer: Vec<u8>,
    /// The last common name of its subject, empty if it has none: whom Kubernetes takes it for.
    pub common_name: String,
    /// From when it is valid, in seconds since the epoch.
    pub not_before_s: u64,
    /// Until when.
    pub not_after_s: u64,
}

impl Certificate {
    /// Reads a certificate in DER. An error says what is wrong with it.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        let read = x509_cert::Certificate::from_der(der);
        Self::of(&read.map_err(|error| format!("no certificate: {error}"))?)
    }

    /// Reads the first certificate of a PEM file, the one that a chain begins with.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        match Self::all_from_pem(pem)?.into_iter().next() {
            Some(first) => Ok(first),
            None => Err("no certificate in it, PEM is needed".to_owned()),
        }
    }

    /// Reads all certificates of a PEM file.
    pub fn all_from_pem(pem: &[u8]) -> Result<Vec<Self>, String> {
        let text = str::from_utf8(pem).map_err(|_| "not PEM: not text".to_owned())?;
        let mut found = Vec::new();
        for rest in text.split(BEGIN).skip(1) {
            let (body, _) = rest.split_once(END).ok_or("not PEM: a certificate does not end")?;
            let one = x509_cert::Certificate::from_pem(format!("{BEGIN}{body}{END}\n"));
            found.push(Self::of(&one.map_err(|error| format!("no certificate: {error}"))?)?);
        }
        Ok(found)
    }

    fn of(certificate: &x509_cert::Certificate) -> Result<Self, String> {
        let failed = |error| format!("no certificate: {error}");
        let inner = &certificate.tbs_certificate;
        let names = inner.subject.0.iter().flat_map(|part| part.0.iter());
        let mut common_names = names.filter(|name| name.oid == COMMON_NAME).filter_map(|name| {
            let utf8 = name.value.decode_as::<Utf8StringRef<'_>>().map(|it| it.as_str().to_owned());
            let printable = || name.value.decode_as::<PrintableStringRef<'_>>();
            utf8.or_else(|_| printable().map(|it| it.as_str().to_owned())).ok()
        });
        Ok(Self {
            subject: inner.subject.to_der().map_err(failed)?,
            issuer: inner.issuer.to_der().map_err(failed)?,
            common_name: common_names.next_back().unwrap_or_default(),
            not_before_s: inner.validity.not_before.to_unix_duration().as_secs(),
            not_after_s: inner.validity.not_after.to_unix_duration().as_secs(),
        })
    }
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A certificate that ends sooner may end unnoticed: who renews does it at two thirds of its life,
/// and the shortest that are usual live for three months.
const SOON_S: u64 = 14 * DAY_S;
const DAY_S: u64 = 86_400;

/// How long something is valid, in words, and whether it ends soon.
pub(super) fn until(end_s: Option<u64>, now_s: u64) -> (String, bool) {
    let Some(end_s) = end_s else { return ("without an end".to_owned(), false) };
    match end_s.checked_sub(now_s) {
        None => (format!("ended {} ago", span(now_s - end_s)), true),
        Some(left_s) => (format!("valid for {}", span(left_s)), left_s < SOON_S),
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / DAY_S),
    }
}

pub(super) fn judge(facts: &Facts, findings: &mut Findings) {
    for OwnFile { field, path, valid } in &facts.own {
        own_file(field, path, valid, facts.now_s, findings);
    }
}

fn own_file(
    field: &str,
    path: &str,
    valid: &Result<(Option<u64>, Option<u64>), String>,
    now_s: u64,
    findings: &mut Findings,
) {
    const CHECK: &str = "own-credentials";
    let renew = format!("renew {field}; Envoy rereads it when it is replaced by a rename");
    match valid {
        Err(why) => findings.failed(
            CHECK,
            None,
            format!("{field}: {path}: {why}"),
            "put it there, or run preflight where Envoy will run",
        ),
        Ok((Some(start_s), _)) if *start_s > now_s => {
            let wait = span(start_s - now_s);
            findings.failed(CHECK, None, format!("{field}: valid only in {wait}"), renew);
        }
        Ok((_, end_s)) => match (until(*end_s, now_s), end_s.is_some_and(|end| end < now_s)) {
            ((words, _), true) => findings.failed(CHECK, None, format!("{field}: {words}"), renew),
            ((words, true), _) => findings.warn(CHECK, None, format!("{field}: {words}"), renew),
            ((words, false), _) => findings.passed(CHECK, None, format!("{field}: {words}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::preflight::Verdict;

    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    #[test]
    fn what_ends_soon_is_told_in_time() {
        let verdict = |valid| {
            let mut findings = Findings::default();
            own_file("listen.certificate", "tls.crt", &valid, NOW_S, &mut findings);
            findings.0[0].verdict
        };
        assert_eq!(verdict(Ok((Some(0), Some(NOW_S + 90 * DAY_S)))), Verdict::Passed);
        assert_eq!(verdict(Ok((None, None))), Verdict::Passed);
        assert_eq!(verdict(Ok((Some(0), Some(NOW_S + DAY_S)))), Verdict::Warning);
        assert_eq!(verdict(Ok((Some(0), Some(NOW_S - 1)))), Verdict::Failed);
        assert_eq!(verdict(Ok((Some(NOW_S + 60), None))), Verdict::Failed);
        assert_eq!(verdict(Err("not there".into())), Verdict::Failed);
    }

    #[test]
    fn spans_are_as_fine_as_they_are_short() {
        let words = |left_s| until(Some(NOW_S + left_s), NOW_S).0;
        assert_eq!(words(90), "valid for 90 s");
        assert_eq!(words(3_600), "valid for 60 min");
        assert_eq!(words(DAY_S), "valid for 24 h");
        assert_eq!(words(30 * DAY_S), "valid for 30 days");
        assert_eq!(until(Some(NOW_S - DAY_S), NOW_S).0, "ended 24 h ago");
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        assert!(Certificate::from_der(b"\x30\x03").is_err());
        assert!(Certificate::from_pem(b"").is_err());
        assert!(Certificate::from_pem(format!("{BEGIN}\nMAMA\n{END}").as_bytes()).is_err());
        assert!(Certificate::all_from_pem(format!("{BEGIN}\n").as_bytes()).is_err());
    }
}
