//! What servers answer a preflight, and the certificates that it reads -> its findings.

use base64ct::{Base64, Encoding as _};
use envoy_config::preflight::{
    Answer, Asked, Certificate, Encoding, Facts, FrontProxy, Own, OwnFile, Past, ServerFacts,
    Verdict, Wire, judge,
};

use crate::input::lines;

/// Status and type on a line each, then the body, which is the answer to every question; it is a
/// certificate too.
pub(crate) fn check(data: &[u8]) {
    let ([status, content_type], body) = lines::<2>(data);
    let status = str::from_utf8(status).ok().and_then(|status| status.parse().ok());
    let answer = || -> Asked {
        Ok(Answer {
            status: status.ok_or("no status")?,
            content_type: String::from_utf8_lossy(content_type).into_owned(),
            content_length: Some(body.len() as u64),
            body: body.to_vec(),
            ..Answer::default()
        })
    };
    let base64 = Base64::encode_string(body);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    let wrapped = Certificate::from_pem(pem.as_bytes());
    assert_eq!(wrapped.is_ok(), Certificate::from_der(body).is_ok());
    let authorities = Certificate::all_from_pem(body);
    let paths = ["/readyz", "/version", "/api", "/apis", "/openapi/v3"];
    let server = ServerFacts {
        name: "cp-1".to_owned(),
        address: "10.0.0.11:6443".to_owned(),
        wire: Some(Ok(Wire { certificate: wrapped.clone().ok(), ..Wire::default() })),
        fetcher: paths.map(|path| (path, answer())).into(),
        api_services: Some(answer()),
        fetcher_review: Some(answer()),
        anonymous: paths.map(|path| (path, answer())).into(),
        front_proxy: Some(FrontProxy {
            as_user: answer(),
            alone: answer(),
            with_token: Some(answer()),
        }),
        unknown: Encoding::ALL.map(|encoding| (encoding, answer())).into(),
    };
    let own = OwnFile {
        field: "serversTls.ca",
        path: "ca.crt".to_owned(),
        found: authorities.clone().map(Own::Authorities),
    };
    let report = judge(&Facts {
        now_s: 1_800_000_000,
        own: vec![own],
        client_ca: Some(authorities),
        front_proxy: Some(wrapped),
        servers: vec![server.clone(), ServerFacts { name: "cp-2".to_owned(), ..server }],
        authentication: Some(answer()),
        past: Past { endpoints: Some(answer()), leases: Some(answer()), ..Past::default() },
    });
    let count = |verdict| report.findings.iter().filter(|it| it.verdict == verdict).count();
    assert_eq!(report.fit, count(Verdict::Failed) == 0);
    for finding in &report.findings {
        let is_bad = matches!(finding.verdict, Verdict::Failed | Verdict::Warning);
        assert_eq!(is_bad, finding.fix.is_some(), "{finding:?}");
        assert!(!finding.what.is_empty(), "{finding:?}");
    }
}
