//! Whether the servers make users of the same certificates as Peerway, and of no others.

use serde_json::Value;

use super::{Certificate, Facts, Findings};

const CHECK: &str = "client-ca";

/// Whom Peerway believes, the servers must believe too: else it makes somebody of nobody.
pub(super) fn judge(facts: &Facts, findings: &mut Findings) {
    let authorities = match &facts.client_ca {
        None => {
            let why = "listen.clientCa is not configured: no client certificate is asked for";
            return findings.skipped(CHECK, None, why);
        }
        // The file itself is the culprit, and was named as such.
        Some(Err(why)) => {
            return findings.skipped(CHECK, None, format!("listen.clientCa: {why}"));
        }
        Some(Ok(authorities)) => authorities,
    };
    if let Some(Ok(front_proxy)) = &facts.front_proxy
        && authorities.iter().any(|authority| authority.subject == front_proxy.issuer)
    {
        let what = "the issuer of frontProxy.certificate is in listen.clientCa";
        let fix = "sign it with a CA of its own: who may speak for all must be no client";
        findings.failed(CHECK, None, what, fix);
    }
    same_authorities(facts, authorities, findings);
    for server in &facts.servers {
        let Some(wire) = server.open() else { continue };
        let name = Some(server.name.as_str());
        let known = &wire.client_authorities;
        let strangers: Vec<_> = authorities
            .iter()
            .filter(|authority| !known.contains(&authority.subject))
            .map(|authority| authority.common_name.as_str())
            .collect();
        if known.is_empty() {
            findings.skipped(CHECK, name, "the server does not say which CAs it takes");
        } else if strangers.is_empty() {
            findings.passed(CHECK, name, "takes certificates of authorities of these names");
        } else {
            findings.failed(
                CHECK,
                name,
                format!("takes no certificate of {}, Peerway does", strangers.join(", ")),
                "let listen.clientCa hold what --client-ca-file of every server holds, and no more",
            );
        }
    }
}

/// Not by their names: every installer calls the authority of each cluster the same.
fn same_authorities(facts: &Facts, ours: &[Certificate], findings: &mut Findings) {
    let data = match facts.shared() {
        Ok(data) => data,
        Err(why) => return findings.skipped(CHECK, None, format!("only by name: {why}")),
    };
    let of = |field: &str| {
        let pem = data.get(field).and_then(Value::as_str).unwrap_or_default();
        Certificate::all_from_pem(pem.as_bytes()).map_err(|why| format!("{field}: {why}"))
    };
    let (theirs, front_proxies) = match (of("client-ca-file"), of("requestheader-client-ca-file")) {
        (Ok(theirs), Ok(front_proxies)) => (theirs, front_proxies),
        (Err(why), _) | (_, Err(why)) => return findings.skipped(CHECK, None, why),
    };
    let not_in = |some: &[Certificate], others: &[&[Certificate]]| {
        let is_there = |one: &Certificate| others.concat().iter().any(|other| other.der == one.der);
        let names = some.iter().filter(|one| !is_there(one)).map(|one| one.common_name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let strangers = not_in(ours, &[&theirs]);
    let missing = not_in(&theirs, &[ours, &front_proxies]);
    if !strangers.is_empty() {
        findings.failed(
            CHECK,
            None,
            format!("no server makes users of certificates of {strangers}, Peerway does"),
            "let listen.clientCa hold what --client-ca-file of the servers holds: an authority of \
             the same name may be another cluster's (a server that has just started tells its own \
             within a minute)",
        );
    } else if !missing.is_empty() {
        findings.warn(
            CHECK,
            None,
            format!("servers take certificates of {missing}, Peerway ends their handshake"),
            "put that authority into listen.clientCa, unless the servers do not take it any more: \
             it stays in the ConfigMap kube-system/extension-apiserver-authentication",
        );
    } else {
        findings.passed(CHECK, None, "listen.clientCa is what the servers take");
    }
}

#[cfg(test)]
mod tests {
    use crate::preflight::Verdict::{Failed, Passed, Skipped};
    use crate::preflight::{ServerFacts, Wire};

    use super::*;

    fn certificate(subject: &[u8], issuer: &[u8]) -> Certificate {
        let (subject, issuer) = (subject.into(), issuer.into());
        Certificate { subject, issuer, ..Certificate::default() }
    }

    #[test]
    fn only_what_every_server_takes_may_be_taken_from_clients() {
        let found = |authority: &[u8]| {
            let wire = Wire { client_authorities: vec![b"users".into()], ..Wire::default() };
            let server = ServerFacts { wire: Some(Ok(wire)), ..ServerFacts::default() };
            let facts = Facts {
                client_ca: Some(Ok(vec![certificate(authority, authority)])),
                front_proxy: Some(Ok(certificate(b"me", b"fp"))),
                servers: vec![server],
                ..Facts::default()
            };
            let mut findings = Findings::default();
            judge(&facts, &mut findings);
            findings.0.iter().map(|finding| finding.verdict).collect::<Vec<_>>()
        };
        assert_eq!(found(b"users"), [Skipped, Passed]);
        assert_eq!(found(b"others"), [Skipped, Failed]);
        assert_eq!(found(b"fp"), [Failed, Skipped, Failed]);
    }
}
