//! Whether each server can be reached, over HTTP/2, with the certificate that is expected of it.

use super::certificates::until;
use super::{Facts, Findings, ServerFacts, Wire};

/// What Envoy lets a client open on a connection: a server that takes fewer streams makes Envoy open
/// more connections to it, which works.
const USUAL_STREAMS: usize = 100;

pub(super) fn judge(facts: &Facts, findings: &mut Findings) {
    for server in &facts.servers {
        reachable(server, findings);
    }
    for server in &facts.servers {
        if let Some(Ok(wire)) = &server.wire {
            certificate(server, wire, facts.now_s, findings);
        }
    }
    for server in &facts.servers {
        if let Some(wire) = server.open() {
            http2(server, wire, findings);
        }
    }
}

fn reachable(server: &ServerFacts, findings: &mut Findings) {
    const CHECK: &str = "reachable";
    let (name, address) = (Some(server.name.as_str()), &server.address);
    match &server.wire {
        Some(Ok(_)) => findings.passed(CHECK, name, "answers"),
        Some(Err(why)) => findings.failed(
            CHECK,
            name,
            format!("{address}: {why}; nothing else of it could be checked"),
            "start the server, open the way to it from here, or take it out of the file",
        ),
        None => findings.skipped(CHECK, name, "was not asked, see own-credentials"),
    }
}

fn certificate(server: &ServerFacts, wire: &Wire, now_s: u64, findings: &mut Findings) {
    const CHECK: &str = "serving-certificate";
    let name = Some(server.name.as_str());
    let valid = wire.certificate.as_ref().map(|certificate| certificate.validity());
    let (words, ends_soon) = until(valid.unwrap_or_default(), now_s);
    match &wire.untrusted {
        Some(why) => findings.failed(
            CHECK,
            name,
            format!("not accepted: {why} ({words})"),
            "renew the server's certificate, or mend serversTls.ca or serversTls.serverName",
        ),
        None if ends_soon => findings.warn(CHECK, name, words, "renew it: with it ends the server"),
        None => findings.passed(CHECK, name, format!("verified, {words}, {}", wire.tls)),
    }
}

fn http2(server: &ServerFacts, wire: &Wire, findings: &mut Findings) {
    const CHECK: &str = "http2";
    let name = Some(server.name.as_str());
    if !wire.is_http2 {
        return findings.failed(
            CHECK,
            name,
            "does not speak HTTP/2, which Envoy is told to speak to servers",
            "take away --disable-http2-serving, or name the server itself instead of a balancer \
             before it",
        );
    }
    let streams = match wire.max_streams {
        Some(most) => format!("{most} streams a connection"),
        None => "any number of streams a connection".to_owned(),
    };
    match (wire.ended_after, wire.max_streams) {
        (Some(after), _) => findings.warn(
            CHECK,
            name,
            format!("{streams}; ended a connection after {after} requests"),
            "with --goaway-chance or many callers without credentials some streams are refused and \
             tried again; see docs/limits.md",
        ),
        (None, Some(most)) if most < USUAL_STREAMS => findings.warn(
            CHECK,
            name,
            format!("only {streams}"),
            format!(
                "Envoy opens more connections; --http2-max-streams-per-connection={USUAL_STREAMS} \
                 is usual"
            ),
        ),
        _ => {
            let requests = wire.requests;
            findings.passed(CHECK, name, format!("{streams}, {requests} requests on one"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::preflight::Verdict::{self, Failed, Passed, Warning};

    use super::*;

    fn verdicts(wire: Result<Wire, String>) -> Vec<(&'static str, Verdict)> {
        let server = ServerFacts { name: "a".into(), wire: Some(wire), ..ServerFacts::default() };
        let mut findings = Findings::default();
        judge(&Facts { servers: vec![server], ..Facts::default() }, &mut findings);
        findings.0.iter().map(|finding| (finding.check, finding.verdict)).collect()
    }

    #[test]
    fn each_way_to_be_unfit_is_told() {
        let good = Wire { is_http2: true, max_streams: Some(100), ..Wire::default() };
        let reachable = ("reachable", Passed);
        let trusted = ("serving-certificate", Passed);
        assert_eq!(verdicts(Ok(good.clone())), [reachable, trusted, ("http2", Passed)]);
        assert_eq!(verdicts(Err("refused".into())), [("reachable", Failed)]);
        let untrusted = Wire { untrusted: Some("expired".into()), ..good.clone() };
        assert_eq!(verdicts(Ok(untrusted)), [reachable, ("serving-certificate", Failed)]);
        for (wire, verdict) in [
            (Wire { is_http2: false, ..good.clone() }, Failed),
            (Wire { ended_after: Some(3), ..good.clone() }, Warning),
            (Wire { max_streams: Some(10), ..good.clone() }, Warning),
            (Wire { max_streams: None, ..good }, Passed),
        ] {
            assert_eq!(verdicts(Ok(wire)), [reachable, trusted, ("http2", verdict)]);
        }
    }
}
