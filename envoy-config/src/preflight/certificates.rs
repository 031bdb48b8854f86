//! Until when the certificates and tokens of Peerway itself are good, and what a certificate says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{Decode, Encode};

use super::{Facts, Findings, Own, OwnFile, Validity};

/// What checks look at in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificate {
    /// All of it, DER.
    pub der: Vec<u8>,
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
            // Its lines may have 64 characters, or 76.
            let base64: String = body.split_whitespace().collect();
            let der = STANDARD.decode(base64).map_err(|error| format!("not PEM: {error}"))?;
            found.push(Self::from_der(&der)?);
        }
        Ok(found)
    }

    /// From when and until when it is good.
    pub fn validity(&self) -> Validity {
        Validity { start_s: Some(self.not_before_s), end_s: Some(self.not_after_s) }
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
            der: certificate.to_der().map_err(failed)?,
            subject: inner.subject.to_der().map_err(failed)?,
            issuer: inner.issuer.to_der().map_err(failed)?,
            common_name: common_names.next_back().unwrap_or_default(),
            not_before_s: inner.validity.not_before.to_unix_duration().as_secs(),
            not_after_s: inner.validity.not_after.to_unix_duration().as_secs(),
        })
    }
}

const CHECK: &str = "own-credentials";

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// What ends sooner may end unnoticed, unless it never lives for long: certificates are renewed at two
/// thirds of their life, and a kubelet renews tokens at four fifths.
const SOON_S: u64 = 14 * DAY_S;
const LEFT_OF_LIFE: u64 = 5;
const DAY_S: u64 = 86_400;

/// How long something is valid, in words, and whether it ends soon.
pub(super) fn until(Validity { start_s, end_s }: Validity, now_s: u64) -> (String, bool) {
    let Some(end_s) = end_s else { return ("without an end".to_owned(), false) };
    let life_s = start_s.map_or(u64::MAX, |start_s| end_s.saturating_sub(start_s));
    match end_s.checked_sub(now_s) {
        None => (format!("ended {} ago", span(now_s - end_s)), true),
        Some(left_s) => {
            let is_soon = left_s < SOON_S.min(life_s / LEFT_OF_LIFE);
            (format!("valid for {}", span(left_s)), is_soon)
        }
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
    for file in &facts.own {
        own_file(file, facts.now_s, findings);
    }
}

fn own_file(OwnFile { field, path, found }: &OwnFile, now_s: u64, findings: &mut Findings) {
    let check = if *field == "wasm" { "module" } else { CHECK };
    match found {
        Err(why) => findings.failed(
            check,
            None,
            format!("{field}: {path}: {why}"),
            format!("put {field} there, or run preflight where Envoy will run"),
        ),
        Ok(Own::Credential(validity)) => own_credential(field, *validity, now_s, findings),
        Ok(Own::Key) => findings.passed(check, None, format!("{field}: its certificate's")),
        Ok(Own::Authorities(all)) => own_authorities(field, all, now_s, findings),
        Ok(Own::Module(bytes)) => findings.passed(check, None, format!("{field}: {bytes} bytes")),
    }
}

/// One that has ended vouches for nobody, to Envoy and to servers alike. One is enough, as long as it
/// is the right one.
fn own_authorities(field: &str, all: &[Certificate], now_s: u64, findings: &mut Findings) {
    let told = |which: &[&Certificate]| {
        let each = which.iter().map(|one| match one.not_before_s.checked_sub(now_s) {
            Some(wait_s @ 1..) => format!("{:?} valid only in {}", one.common_name, span(wait_s)),
            _ => format!("{:?} {}", one.common_name, until(one.validity(), now_s).0),
        });
        format!("{field}: {}", each.collect::<Vec<_>>().join(", "))
    };
    let is_good = |one: &Certificate| (one.not_before_s..one.not_after_s).contains(&now_s);
    let is_doubtful = |one: &&Certificate| !is_good(one) || until(one.validity(), now_s).1;
    let doubtful: Vec<_> = all.iter().filter(is_doubtful).collect();
    let fix = format!(
        "put the authority of today's certificates into {field}, and take out what has ended"
    );
    if !all.iter().any(is_good) {
        findings.failed(CHECK, None, format!("{}: none is valid now", told(&doubtful)), fix);
    } else if !doubtful.is_empty() {
        findings.warn(CHECK, None, told(&doubtful), fix);
    } else {
        findings.passed(CHECK, None, told(&all.iter().collect::<Vec<_>>()));
    }
}

fn own_credential(field: &str, validity: Validity, now_s: u64, findings: &mut Findings) {
    let renew = format!("renew {field}; Envoy rereads it when it is replaced by a rename");
    if let Some(wait_s) = validity.start_s.and_then(|start_s| start_s.checked_sub(now_s))
        && wait_s > 0
    {
        let wait = span(wait_s);
        return findings.failed(CHECK, None, format!("{field}: valid only in {wait}"), renew);
    }
    let (words, ends_soon) = until(validity, now_s);
    let what = format!("{field}: {words}");
    match ends_soon {
        _ if validity.end_s.is_some_and(|end_s| end_s < now_s) => {
            findings.failed(CHECK, None, what, renew);
        }
        true => findings.warn(CHECK, None, what, renew),
        false => findings.passed(CHECK, None, what),
    }
}

#[cfg(test)]
mod tests {
    use crate::preflight::{Finding, Verdict};

    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    #[test]
    fn what_ends_soon_is_told_in_time() {
        let verdict = |start_s, end_s| {
            let found = Ok(Own::Credential(Validity { start_s, end_s }));
            let path = "tls.crt".to_owned();
            let mut findings = Findings::default();
            own_file(&OwnFile { field: "listen.certificate", path, found }, NOW_S, &mut findings);
            findings.0[0].verdict
        };
        assert_eq!(verdict(Some(0), Some(NOW_S + 90 * DAY_S)), Verdict::Passed);
        assert_eq!(verdict(None, None), Verdict::Passed);
        assert_eq!(verdict(Some(0), Some(NOW_S + DAY_S)), Verdict::Warning);
        assert_eq!(verdict(None, Some(NOW_S + 13 * DAY_S)), Verdict::Warning);
        assert_eq!(verdict(Some(0), Some(NOW_S - 1)), Verdict::Failed);
        assert_eq!(verdict(Some(NOW_S + 60), None), Verdict::Failed);
        // The token of a service account, as a kubelet renews it.
        assert_eq!(verdict(Some(NOW_S - 2_800), Some(NOW_S + 800)), Verdict::Passed);
        assert_eq!(verdict(Some(NOW_S - 3_000), Some(NOW_S + 600)), Verdict::Warning);
    }

    #[test]
    fn authorities_that_vouch_for_nobody_are_told() {
        let day = |day: i64| NOW_S.saturating_add_signed(day * 86_400);
        let verdict = |days: &[(i64, i64)]| {
            let authority = |(start, end): &(i64, i64)| Certificate {
                common_name: format!("until-{end}"),
                not_before_s: day(*start),
                not_after_s: day(*end),
                ..Certificate::default()
            };
            let found = Ok(Own::Authorities(days.iter().map(authority).collect()));
            let path = "ca.crt".to_owned();
            let mut findings = Findings::default();
            own_file(&OwnFile { field: "serversTls.ca", path, found }, NOW_S, &mut findings);
            let Finding { verdict, what, .. } = findings.0.remove(0);
            (verdict, what)
        };
        let told = |verdict, what: &str| (verdict, format!("serversTls.ca: {what}"));
        let good = (-100, 3_000);
        let passed = told(Verdict::Passed, "\"until-3000\" valid for 3000 days");
        assert_eq!(verdict(&[good]), passed);
        let soon = told(Verdict::Warning, "\"until-3\" valid for 3 days");
        assert_eq!(verdict(&[good, (-100, 3)]), soon);
        let ended = told(Verdict::Warning, "\"until--3\" ended 3 days ago");
        assert_eq!(verdict(&[(-100, -3), good]), ended);
        assert_eq!(verdict(&[(-100, -3)]).0, Verdict::Failed);
        let none =
            "\"until-100\" valid only in 5 days, \"until--3\" ended 3 days ago: none is valid now";
        assert_eq!(verdict(&[(5, 100), (-100, -3)]), told(Verdict::Failed, none));
    }

    #[test]
    fn spans_are_as_fine_as_they_are_short() {
        let words_of = |end_s| until(Validity { start_s: None, end_s: Some(end_s) }, NOW_S).0;
        let words = |left_s| words_of(NOW_S + left_s);
        assert_eq!(words(90), "valid for 90 s");
        assert_eq!(words(3_600), "valid for 60 min");
        assert_eq!(words(DAY_S), "valid for 24 h");
        assert_eq!(words(30 * DAY_S), "valid for 30 days");
        assert_eq!(words_of(NOW_S - DAY_S), "ended 24 h ago");
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        assert!(Certificate::from_der(b"\x30\x03").is_err());
        assert!(Certificate::from_pem(b"").is_err());
        assert!(Certificate::from_pem(format!("{BEGIN}\nMAMA\n{END}").as_bytes()).is_err());
        assert!(Certificate::all_from_pem(format!("{BEGIN}\n").as_bytes()).is_err());
    }
}
