//! Whether the servers take an identity from the front-proxy certificate, all of it, and from nobody
//! else.

use serde_json::Value;

use super::facts::{at, told};
use super::{
    CREDENTIAL_ID, Certificate, Facts, Findings, FrontProxy, PROBE_GROUPS, PROBE_UID, PROBE_USER,
    ServerFacts,
};

const ACCEPTED: &str = "front-proxy";
const SEPARATE: &str = "front-proxy-ca";
const NAMES: &str = "front-proxy-names";
const UID: &str = "uid-header";

/// What of an identity has a header of its own, and a flag that names it.
const PARTS: [(&str, &str); 3] = [
    ("group-header", "--requestheader-group-headers=X-Remote-Group"),
    (UID, "--requestheader-uid-headers=X-Remote-Uid (1.32 and newer)"),
    ("extra-header", "--requestheader-extra-headers-prefix=X-Remote-Extra-"),
];

/// What Peerway takes away of clients begins with it.
const STRIPPED: &str = "x-remote-";

pub(super) fn judge(facts: &Facts, findings: &mut Findings) {
    match &facts.front_proxy {
        None => {
            let why = "frontProxy is not configured: client certificates are not passed on";
            findings.skipped(ACCEPTED, None, why);
        }
        // The file itself is the culprit, and was named as such.
        Some(Err(why)) => findings.skipped(ACCEPTED, None, format!("frontProxy: {why}")),
        Some(Ok(certificate)) => {
            let seen =
                || facts.servers.iter().filter_map(|it| Some((it, it.front_proxy.as_ref()?)));
            for (server, answers) in seen() {
                accepted(server, answers, certificate, findings);
            }
            for (server, answers) in seen() {
                separate(server, answers, certificate, findings);
            }
            for (place, (check, flag)) in PARTS.iter().enumerate() {
                for (server, answers) in seen() {
                    part(server, answers, (place, check, flag), findings);
                }
            }
            header_names(facts, findings);
        }
    }
}

/// Whether the user of the header is who the server takes the caller for.
fn accepted(
    server: &ServerFacts,
    answers: &FrontProxy,
    certificate: &Certificate,
    findings: &mut Findings,
) {
    let name = Some(server.name.as_str());
    let user = answers.as_user.as_ref().ok().and_then(|answer| answer.user());
    let common_name = &certificate.common_name;
    match (user, &answers.as_user) {
        (Some(user), _) if user == PROBE_USER => {
            findings.passed(ACCEPTED, name, format!("{common_name} may speak for others"));
        }
        (Some(user), _) => findings.failed(
            ACCEPTED,
            name,
            format!("takes the user {PROBE_USER} of the header for {user}"),
            "give the server --requestheader-username-headers=X-Remote-User, and \
             --requestheader-allowed-names with the certificate's common name",
        ),
        (None, Ok(answer)) if answer.status == 401 => {
            let authorities = server.open().map(|wire| wire.client_authorities.as_slice());
            let is_known = authorities
                .is_some_and(|known| known.is_empty() || known.contains(&certificate.issuer));
            let (what, fix) = match is_known {
                true => (
                    format!(
                        "401: the name {common_name:?} is not allowed, or the certificate is not for clients"
                    ),
                    format!("add {common_name} to the server's --requestheader-allowed-names"),
                ),
                false => (
                    "401: the server takes no certificate of its issuer".to_owned(),
                    "sign frontProxy.certificate with the CA of --requestheader-client-ca-file, \
                     the same on each server"
                        .to_owned(),
                ),
            };
            findings.failed(ACCEPTED, name, what, fix);
        }
        (None, asked) => findings.failed(
            ACCEPTED,
            name,
            told(asked),
            "the server must say who the caller is (SelfSubjectReview, 1.28 and newer)",
        ),
    }
}

/// Without a user header the certificate must be nobody: else each token of Peerway's callers would
/// be the certificate's user.
fn separate(
    server: &ServerFacts,
    answers: &FrontProxy,
    certificate: &Certificate,
    findings: &mut Findings,
) {
    let name = Some(server.name.as_str());
    let common_name = certificate.common_name.as_str();
    let tried = std::iter::once(&answers.alone).chain(&answers.with_token);
    let mut users = tried.filter_map(|asked| asked.as_ref().ok()?.user());
    if users.any(|user| user == common_name) {
        return findings.failed(
            SEPARATE,
            name,
            format!("takes the front-proxy certificate for the user {common_name}, a token beside it or not"),
            "let --requestheader-client-ca-file and --client-ca-file have no CA in common, and sign \
             frontProxy.certificate with a CA of its own",
        );
    }
    match &answers.alone {
        Ok(answer) if answer.status == 401 => {
            findings.passed(SEPARATE, name, "without a user header the certificate is nobody");
        }
        Ok(answer) if answer.user().as_deref() == Some("system:anonymous") => {
            findings.passed(SEPARATE, name, "without a user header the certificate is nobody");
        }
        asked => findings.failed(
            SEPARATE,
            name,
            format!("without a user header: {}", told(asked)),
            "look at that server: 401 is what it should say",
        ),
    }
}

fn part(
    server: &ServerFacts,
    answers: &FrontProxy,
    (place, check, flag): (usize, &'static str, &str),
    findings: &mut Findings,
) {
    let name = Some(server.name.as_str());
    let review = answers.as_user.as_ref().ok().filter(|answer| answer.is_good());
    let user_info = review.map(|answer| at(&answer.json(), &["status", "userInfo"]).clone());
    let Some(user) = user_info.filter(|user| *at(user, &["username"]) == PROBE_USER) else {
        return findings.skipped(check, name, "not told, see front-proxy");
    };
    let is_there = match place {
        0 => PROBE_GROUPS.iter().all(|group| has(at(&user, &["groups"]), group)),
        1 => *at(&user, &["uid"]) == PROBE_UID,
        _ => has(at(&user, &["extra", CREDENTIAL_ID]), PROBE_UID),
    };
    if is_there {
        return findings.passed(check, name, "is read");
    }
    let what = "is not read: what it would tell is lost to RBAC, admission and audit";
    let fix = format!("give the server {flag}");
    // Few certificates have a UID, and no installer that is known sets the flag.
    match check {
        UID => findings.warn(check, name, format!("{what}; few certificates have a UID"), fix),
        _ => findings.failed(check, name, what, fix),
    }
}

/// Whether the servers believe headers of other names, which clients could send.
fn header_names(facts: &Facts, findings: &mut Findings) {
    let data = match facts.shared() {
        Ok(data) => data,
        Err(why) => return findings.skipped(NAMES, None, why),
    };
    let is_names = |field: &str| field.starts_with("requestheader-") && field.contains("-headers");
    let fields: Vec<_> = data.iter().filter(|(field, _)| is_names(field)).collect();
    if fields.is_empty() {
        return findings.skipped(NAMES, None, "the servers name no headers that they believe");
    }
    let mut others = Vec::new();
    for (field, names) in fields {
        let names = names.as_str().and_then(|names| serde_json::from_str(names).ok());
        let Some(names): Option<Vec<String>> = names else {
            return findings.skipped(NAMES, None, format!("{field} is no list of names"));
        };
        let is_other = |name: &String| !name.to_ascii_lowercase().starts_with(STRIPPED);
        others.extend(names.into_iter().filter(is_other).map(|name| format!("{name} (--{field})")));
    }
    if others.is_empty() {
        return findings.passed(NAMES, None, "the servers believe no headers but X-Remote-*");
    }
    let what = format!("clients could say who they are by {}", others.join(", "));
    let fix = "take these names out of the servers' flags, and then out of the ConfigMap \
               kube-system/extension-apiserver-authentication, where they stay";
    findings.failed(NAMES, None, what, fix);
}

fn has(list: &Value, wanted: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|value| value == wanted))
}

#[cfg(test)]
mod tests {
    use crate::preflight::Verdict::{self, Failed, Passed, Skipped, Warning};
    use crate::preflight::{Answer, Asked, Wire};

    use super::*;

    fn review(user: &str, rest: Value) -> Asked {
        let mut info = rest;
        info["username"] = user.into();
        let body = serde_json::json!({"status": {"userInfo": info}}).to_string().into_bytes();
        Ok(Answer { status: 201, body, ..Answer::default() })
    }

    fn refused(status: u16) -> Asked {
        Ok(Answer { status, ..Answer::default() })
    }

    fn whole() -> Value {
        serde_json::json!({
            "uid": PROBE_UID,
            "groups": [PROBE_GROUPS[0], PROBE_GROUPS[1], "system:authenticated"],
            "extra": {CREDENTIAL_ID: [PROBE_UID]},
        })
    }

    fn certificate(subject: &[u8], issuer: &[u8]) -> Certificate {
        let common_name = "front-proxy-client".to_owned();
        let (subject, issuer) = (subject.into(), issuer.into());
        Certificate { subject, issuer, common_name, ..Certificate::default() }
    }

    fn verdicts(as_user: Asked, alone: Asked) -> Vec<(&'static str, Verdict)> {
        let wire =
            Wire { client_authorities: vec![b"users".into(), b"fp".into()], ..Wire::default() };
        let server = ServerFacts {
            wire: Some(Ok(wire)),
            front_proxy: Some(FrontProxy { as_user, alone, with_token: None }),
            ..ServerFacts::default()
        };
        let facts = Facts {
            front_proxy: Some(Ok(certificate(b"me", b"fp"))),
            servers: vec![server],
            ..Facts::default()
        };
        let mut findings = Findings::default();
        judge(&facts, &mut findings);
        findings.0.iter().map(|finding| (finding.check, finding.verdict)).collect()
    }

    #[test]
    fn each_part_of_an_identity_is_told_on_its_own() {
        let good = verdicts(review(PROBE_USER, whole()), refused(401));
        assert_eq!(good.iter().filter(|(_, verdict)| *verdict == Passed).count(), 5, "{good:?}");
        for (field, check, verdict) in [
            ("groups", "group-header", Failed),
            ("uid", "uid-header", Warning),
            ("extra", "extra-header", Failed),
        ] {
            let mut partly = whole();
            partly[field] = Value::Null;
            let mut found = verdicts(review(PROBE_USER, partly), refused(401));
            found.retain(|(_, verdict)| !matches!(verdict, Passed | Skipped));
            assert_eq!(found, [(check, verdict)]);
        }
        // One name with a comma in it is not two groups.
        let mut joined = whole();
        joined["groups"] = serde_json::json!([PROBE_GROUPS.join(",")]);
        let found = verdicts(review(PROBE_USER, joined), refused(401));
        assert!(found.contains(&("group-header", Failed)), "{found:?}");
    }

    #[test]
    fn names_that_clients_could_use_are_told() {
        let verdict = |status, groups: &str| {
            let data = serde_json::json!({
                "client-ca-file": "-----BEGIN",
                "requestheader-allowed-names": r#"["front-proxy-client"]"#,
                "requestheader-username-headers": r#"["X-Remote-User"]"#,
                "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
                "requestheader-group-headers": groups,
            });
            let body = serde_json::json!({"data": data}).to_string().into_bytes();
            let answer = Answer { status, body, ..Answer::default() };
            let mut findings = Findings::default();
            let facts = Facts { authentication: Some(Ok(answer)), ..Facts::default() };
            header_names(&facts, &mut findings);
            findings.0.remove(0)
        };
        assert_eq!(verdict(200, r#"["x-remote-group"]"#).verdict, Passed);
        assert_eq!(verdict(403, "").verdict, Skipped);
        assert_eq!(verdict(200, "X-Forwarded-Groups").verdict, Skipped, "no list of names");
        let found = verdict(200, r#"["X-Remote-Group","X-Forwarded-Groups"]"#);
        assert_eq!(found.verdict, Failed);
        assert!(found.what.contains("X-Forwarded-Groups (--requestheader-group-headers)"));
    }

    #[test]
    fn a_certificate_that_is_somebody_by_itself_is_no_front_proxys() {
        let own = || review("front-proxy-client", Value::Null);
        let found = verdicts(review(PROBE_USER, whole()), own());
        assert!(found.contains(&(SEPARATE, Failed)) && found.contains(&(ACCEPTED, Passed)));
        let found = verdicts(own(), own());
        assert!(found.contains(&(SEPARATE, Failed)) && found.contains(&(ACCEPTED, Failed)));
        assert!(found.contains(&("uid-header", Skipped)), "{found:?}");
        let found = verdicts(refused(401), refused(401));
        assert!(found.contains(&(SEPARATE, Passed)) && found.contains(&(ACCEPTED, Failed)));
    }
}
