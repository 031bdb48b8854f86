//! What the fetcher may read, and what somebody without credentials may.

use std::collections::{BTreeMap, BTreeSet};

use peerway_core::discovery::{API_SERVICES, Form, Root};

use super::facts::told;
use super::{Asked, Facts, Findings, ServerFacts};

pub(super) fn judge(facts: &Facts, findings: &mut Findings) {
    for server in &facts.servers {
        if server.open().is_some() {
            ready(server, findings);
        }
    }
    for server in &facts.servers {
        if server.open().is_some() {
            fetcher(server, findings);
        }
    }
    for server in &facts.servers {
        if server.open().is_some() {
            api_services(server, findings);
        }
    }
    anonymous(facts, findings);
}

fn ready(server: &ServerFacts, findings: &mut Findings) {
    const CHECK: &str = "ready";
    let name = Some(server.name.as_str());
    match server.told_fetcher("/readyz") {
        Some(Ok(answer)) if answer.status == 200 => findings.passed(CHECK, name, "ready"),
        Some(Ok(answer)) if matches!(answer.status, 401 | 403 | 429) => {
            findings.skipped(CHECK, name, "the fetcher may not ask");
        }
        Some(asked) => findings.failed(
            CHECK,
            name,
            format!("/readyz: {}", told(asked)),
            "see /readyz?verbose of that server",
        ),
        None => findings.skipped(CHECK, name, "was not asked"),
    }
}

fn fetcher(server: &ServerFacts, findings: &mut Findings) {
    const CHECK: &str = "fetcher";
    let name = Some(server.name.as_str());
    let user = server.fetcher_review.as_ref().and_then(|asked| asked.as_ref().ok()?.user());
    let refused = |status: u16| -> Vec<&str> {
        let with_status = |asked: &Asked| asked.as_ref().is_ok_and(|it| it.status == status);
        let refused = server.fetcher.iter().filter(|(_, asked)| with_status(asked));
        refused.map(|(path, _)| *path).collect()
    };
    let (unknown, forbidden) = (refused(401), refused(403));
    let who = user.clone().unwrap_or_else(|| "the fetcher".to_owned());
    if !unknown.is_empty() {
        return findings.failed(
            CHECK,
            name,
            "401: the server does not know the fetcher's credential",
            "renew fetcher.tokenFile or fetcher.clientCertificate; each server must know it",
        );
    }
    if !forbidden.is_empty() {
        return findings.failed(
            CHECK,
            name,
            format!("{who} may not get {}", forbidden.join(", ")),
            format!(
                "kubectl create clusterrolebinding peerway-fetcher --clusterrole=system:discovery \
                 --user='{}'",
                user.as_deref().unwrap_or("USER")
            ),
        );
    }
    for root in [Root::Core, Root::Named] {
        let Some(asked) = server.told_fetcher(root.path()) else {
            return findings.skipped(CHECK, name, "was not asked");
        };
        let form = asked.as_ref().ok().filter(|answer| answer.status == 200);
        let form = form.map(|answer| Form::of(answer.content_type.as_bytes()));
        let what = match &form {
            Some(Ok(Form::Aggregated)) => continue,
            Some(Ok(Form::Plain)) => "has no aggregated discovery".to_owned(),
            Some(Err(error)) => error.to_string(),
            None => told(asked),
        };
        let what = format!("{}: {what}", root.path());
        return match form {
            Some(Ok(_)) => {
                let fix = "its new APIs are noticed only every 10 s; 1.27 and newer have it";
                findings.warn(CHECK, name, what, fix);
            }
            _ => findings.failed(CHECK, name, what, "look at that server: discovery must work"),
        };
    }
    findings.passed(CHECK, name, format!("{who} may read readiness, version and discovery"));
}

/// A right that Peerway can do without.
fn api_services(server: &ServerFacts, findings: &mut Findings) {
    const CHECK: &str = "api-services";
    let name = Some(server.name.as_str());
    match &server.api_services {
        Some(Ok(answer)) if answer.status == 200 => {
            findings.passed(CHECK, name, "the fetcher may list APIServices");
        }
        Some(Ok(answer)) if answer.status == 403 => findings.warn(
            CHECK,
            name,
            "the fetcher may not list APIServices: an aggregated API that is deleted while a server \
             is away is answered 503 until that server is back",
            "kubectl create clusterrole peerway-api-services --verb=list \
             --resource=apiservices.apiregistration.k8s.io, and bind it to the fetcher's user",
        ),
        Some(Ok(answer)) if matches!(answer.status, 401 | 429) => {
            findings.skipped(CHECK, name, "the fetcher may not ask");
        }
        Some(asked) => findings.warn(
            CHECK,
            name,
            format!("{API_SERVICES}: {}", told(asked)),
            "look at that server: kube-apiservers list what they aggregate",
        ),
        None => findings.skipped(CHECK, name, "was not asked"),
    }
}

/// Every default server lets anybody read this much (`system:public-info-viewer`).
const PUBLIC: [&str; 2] = ["/readyz", "/version"];

fn anonymous(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "anonymous";
    let mut seen: BTreeMap<&str, BTreeSet<Access>> = BTreeMap::new();
    for server in facts.servers.iter().filter(|server| server.open().is_some()) {
        let name = Some(server.name.as_str());
        let accesses: Vec<_> = server
            .anonymous
            .iter()
            .filter_map(|(path, asked)| Some((*path, Access::of(asked.as_ref().ok()?.status))))
            .collect();
        if accesses.is_empty() {
            findings.skipped(CHECK, name, "was not asked");
            continue;
        }
        for (path, access) in &accesses {
            seen.entry(path).or_default().insert(*access);
        }
        let is_off = accesses.iter().all(|(_, access)| *access == Access::Unknown);
        let may = accesses.iter().filter(|(_, access)| *access == Access::May);
        let may: Vec<_> = may.map(|(path, _)| *path).collect();
        let more: Vec<_> = may.iter().copied().filter(|path| !PUBLIC.contains(path)).collect();
        if is_off {
            findings.warn(
                CHECK,
                name,
                "off: who has no credentials gets 401",
                "Envoy's health check has none either, so it takes a server that is not ready for \
                 one that is: the map knows better. Kubernetes allows anonymous access to /readyz \
                 alone (AuthenticationConfiguration, since 1.32)",
            );
        } else if !more.is_empty() {
            findings.warn(
                CHECK,
                name,
                format!("on, and may also get {}", more.join(", ")),
                "whoever reaches the balancer may too; see the bindings of system:unauthenticated",
            );
        } else if may.contains(&"/readyz") {
            findings.passed(CHECK, name, format!("on, for no more than {}", may.join(", ")));
        } else {
            findings.warn(
                CHECK,
                name,
                "on, but may not get /readyz",
                "Envoy's health check takes a server that is not ready for one that is; bind \
                 system:public-info-viewer to system:unauthenticated",
            );
        }
    }
    let differing = seen.iter().filter(|(_, accesses)| accesses.len() > 1);
    let differing: Vec<_> = differing.map(|(path, _)| *path).collect();
    if !differing.is_empty() {
        findings.failed(
            CHECK,
            None,
            format!("servers answer differently to {}", differing.join(", ")),
            "give all servers the same --anonymous-auth and AuthenticationConfiguration: behind a \
             balancer a caller meets any",
        );
    }
}

/// What becomes of a caller without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    /// 401.
    Unknown,
    /// 403.
    MayNot,
    /// Anything else: a server that is not ready says so to whoever may ask.
    May,
}

impl Access {
    fn of(status: u16) -> Self {
        match status {
            401 => Self::Unknown,
            403 => Self::MayNot,
            _ => Self::May,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::preflight::Verdict::{self, Failed, Passed, Skipped, Warning};
    use crate::preflight::{Answer, Wire};

    use super::*;

    fn answer(status: u16, content_type: &str) -> Asked {
        Ok(Answer { status, content_type: content_type.into(), ..Answer::default() })
    }

    const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

    fn server(ready: u16, discovery: (u16, &str), anonymous: [u16; 3]) -> ServerFacts {
        let root = |path| (path, answer(discovery.0, discovery.1));
        let [open_ready, open_version, open_api] = anonymous.map(|status| answer(status, ""));
        ServerFacts {
            wire: Some(Ok(Wire::default())),
            fetcher: vec![("/readyz", answer(ready, "")), root("/api"), root("/apis")],
            api_services: Some(answer(200, "")),
            anonymous: vec![
                ("/readyz", open_ready),
                ("/version", open_version),
                ("/api", open_api),
            ],
            ..ServerFacts::default()
        }
    }

    fn verdicts(servers: Vec<ServerFacts>) -> Vec<Verdict> {
        let mut findings = Findings::default();
        judge(&Facts { servers, ..Facts::default() }, &mut findings);
        findings.0.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn what_the_fetcher_lacks_is_told() {
        let public = [200, 200, 403];
        for (ready, discovery, expected) in [
            (200, (200, V2), [Passed, Passed]),
            (500, (200, V2), [Failed, Passed]),
            (403, (200, V2), [Skipped, Failed]),
            (200, (403, ""), [Passed, Failed]),
            (401, (401, ""), [Skipped, Failed]),
            (200, (200, "application/json"), [Passed, Warning]),
            (200, (200, "text/html"), [Passed, Failed]),
            (200, (503, ""), [Passed, Failed]),
        ] {
            let found = verdicts(vec![server(ready, discovery, public)]);
            assert_eq!(found[..2], expected, "{ready} {discovery:?}");
        }
    }

    #[test]
    fn a_fetcher_that_may_not_list_api_services_is_good_enough() {
        for (status, expected) in
            [(200, Passed), (403, Warning), (401, Skipped), (429, Skipped), (404, Warning)]
        {
            let mut server = server(200, (200, V2), [200, 200, 403]);
            server.api_services = Some(answer(status, ""));
            assert_eq!(verdicts(vec![server])[2], expected, "{status}");
        }
    }

    #[test]
    fn anonymous_callers_may_do_the_same_everywhere() {
        let found = |anonymous: &[[u16; 3]]| {
            let servers = anonymous.iter().map(|anonymous| server(200, (200, V2), *anonymous));
            verdicts(servers.collect()).split_off(3 * anonymous.len())
        };
        assert_eq!(found(&[[200, 200, 403]]), [Passed]);
        assert_eq!(found(&[[401, 401, 401]]), [Warning]);
        assert_eq!(found(&[[200, 200, 200]]), [Warning]);
        assert_eq!(found(&[[403, 403, 403]]), [Warning]);
        assert_eq!(found(&[[200, 200, 403], [401, 401, 401]]), [Passed, Warning, Failed]);
        // Conditions of an AuthenticationConfiguration, on one of the two.
        assert_eq!(found(&[[200, 200, 403], [200, 401, 401]]), [Passed, Passed, Failed]);
        assert_eq!(found(&[[200, 200, 403], [500, 200, 403]]), [Passed, Passed]);
    }
}
