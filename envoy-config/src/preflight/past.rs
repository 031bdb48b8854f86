//! Who reaches the servers past the balancer, as far as the cluster itself tells: such callers stay
//! as unprotected as they are.

use serde_json::Value;

use super::facts::{at, told};
use super::{Asked, Facts, Findings, Past};

const IN_CLUSTER: &str = "in-cluster-clients";
const CONTROLLERS: &str = "controllers";
const ALL_SERVERS: &str = "all-servers";

pub(super) fn judge(facts: &Facts, findings: &mut Findings) {
    let past = &facts.past;
    if let Some(endpoints) = read(&past.endpoints, IN_CLUSTER, past, findings) {
        in_cluster(&endpoints, facts, findings);
    }
    if let Some(leases) = read(&past.leases, CONTROLLERS, past, findings) {
        controllers(&leases, findings);
        all_servers(&leases, facts.servers.len(), findings);
    }
}

/// The items of a list, where it could be read.
fn read(
    asked: &Option<Asked>,
    check: &'static str,
    past: &Past,
    findings: &mut Findings,
) -> Option<Vec<Value>> {
    let Some(asked) = asked else {
        findings.skipped(check, None, "no server could be asked");
        return None;
    };
    if let Ok(answer) = asked
        && answer.is_good()
        && let Value::Array(items) = at(&answer.json(), &["items"])
    {
        return Some(items.clone());
    }
    let why = match asked {
        Ok(answer) if answer.status == 403 => {
            format!("{} may not look; --kubeconfig names somebody who may", past.asked_as)
        }
        _ => told(asked),
    };
    findings.skipped(check, None, why);
    None
}

/// The addresses behind `kubernetes.default.svc`.
fn in_cluster(slices: &[Value], facts: &Facts, findings: &mut Findings) {
    let mut found = Vec::new();
    for slice in slices {
        let ports = list(at(slice, &["ports"])).filter_map(|port| at(port, &["port"]).as_u64());
        let ports: Vec<_> = ports.collect();
        let addresses = list(at(slice, &["endpoints"])).flat_map(|it| list(at(it, &["addresses"])));
        for address in addresses.filter_map(Value::as_str) {
            let host = if address.contains(':') { format!("[{address}]") } else { address.into() };
            found.extend(ports.iter().map(|port| format!("{host}:{port}")));
        }
    }
    let servers: Vec<_> = facts.servers.iter().map(|server| server.address.as_str()).collect();
    let (own, others): (Vec<_>, Vec<_>) =
        found.iter().map(String::as_str).partition(|address| servers.contains(address));
    if found.is_empty() {
        return findings.skipped(IN_CLUSTER, None, "kubernetes.default.svc has no endpoints");
    }
    if !own.is_empty() {
        findings.warn(
            IN_CLUSTER,
            None,
            format!("pods that use kubernetes.default.svc reach {} directly", own.join(", ")),
            "they stay unprotected; point its endpoints at the balancer \
             (--endpoint-reconciler-type=none and an EndpointSlice of your own), or give those pods \
             a KUBERNETES_SERVICE_HOST",
        );
    }
    let others: Vec<_> = others.into_iter().filter(|other| *other != facts.past.balancer).collect();
    if !others.is_empty() {
        findings.warn(
            IN_CLUSTER,
            None,
            format!("pods that use kubernetes.default.svc reach {}, not in the file", others.join(", ")),
            "if that is a kube-apiserver, add it to servers; if it is a balancer, see where it leads",
        );
    }
    if own.is_empty() && others.is_empty() {
        findings.passed(IN_CLUSTER, None, "kubernetes.default.svc leads to the balancer");
    }
}

/// Who leads in kube-system; its lease does not say by which way it came.
fn controllers(leases: &[Value], findings: &mut Findings) {
    let leaders: Vec<_> = leases
        .iter()
        .filter(|lease| !is_servers(lease))
        .filter_map(|lease| {
            let holder =
                at(lease, &["spec", "holderIdentity"]).as_str().filter(|it| !it.is_empty())?;
            Some(format!("{} ({holder})", at(lease, &["metadata", "name"]).as_str()?))
        })
        .collect();
    if leaders.is_empty() {
        return findings.skipped(CONTROLLERS, None, "kube-system has no leases of any");
    }
    findings.warn(
        CONTROLLERS,
        None,
        format!("these may reach a server directly: {}", leaders.join(", ")),
        "installers point them at the server of their own machine; they stay unprotected (and \
         delete what a false 404 hides) until their kubeconfig names the balancer",
    );
}

/// Each kube-apiserver has a lease; what is gone has it for an hour.
fn all_servers(leases: &[Value], configured: usize, findings: &mut Findings) {
    match leases.iter().filter(|lease| is_servers(lease)).count() {
        0 => findings.skipped(ALL_SERVERS, None, "no kube-apiserver has a lease in kube-system"),
        count if count > configured => findings.warn(
            ALL_SERVERS,
            None,
            format!("{count} kube-apiservers have a lease, {configured} are in the file"),
            "add what is missing: what it alone serves is not found (leases of those that are gone \
             go after an hour)",
        ),
        count => {
            findings.passed(ALL_SERVERS, None, format!("{count} kube-apiservers have a lease"))
        }
    }
}

fn is_servers(lease: &Value) -> bool {
    *at(lease, &["metadata", "labels", "apiserver.kubernetes.io/identity"]) == "kube-apiserver"
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::preflight::Verdict::{self, Passed, Skipped, Warning};
    use crate::preflight::{Answer, ServerFacts};

    use super::*;

    fn verdicts(endpoints: Value, leases: Value) -> Vec<(&'static str, Verdict)> {
        let asked = |items: Value| {
            let body = json!({"items": items}).to_string().into_bytes();
            Some(Ok(Answer {
                status: if items.is_null() { 403 } else { 200 },
                body,
                ..Answer::default()
            }))
        };
        let past = Past {
            asked_as: "nobody".into(),
            endpoints: asked(endpoints),
            leases: asked(leases),
            balancer: "10.0.0.9:6443".into(),
        };
        let server = ServerFacts { address: "10.0.0.1:6443".into(), ..ServerFacts::default() };
        let mut findings = Findings::default();
        judge(&Facts { servers: vec![server], past, ..Facts::default() }, &mut findings);
        findings.0.iter().map(|finding| (finding.check, finding.verdict)).collect()
    }

    #[test]
    fn whoever_goes_past_the_balancer_is_named() {
        let slice = |address: &str| json!([{"ports": [{"port": 6443}], "endpoints": [{"addresses": [address]}]}]);
        let found = |address| verdicts(slice(address), Value::Null)[0];
        assert_eq!(found("10.0.0.1"), (IN_CLUSTER, Warning));
        assert_eq!(found("10.0.0.7"), (IN_CLUSTER, Warning));
        assert_eq!(found("10.0.0.9"), (IN_CLUSTER, Passed));
        assert_eq!(verdicts(json!([]), Value::Null)[0], (IN_CLUSTER, Skipped));
        assert_eq!(
            verdicts(Value::Null, Value::Null),
            [(IN_CLUSTER, Skipped), (CONTROLLERS, Skipped)]
        );
    }

    #[test]
    fn leaders_and_servers_that_are_not_in_the_file_are_named() {
        let server = json!({"metadata": {"name": "apiserver-a", "labels":
            {"apiserver.kubernetes.io/identity": "kube-apiserver"}}, "spec": {"holderIdentity": "a"}});
        let leader =
            json!({"metadata": {"name": "kube-scheduler"}, "spec": {"holderIdentity": "cp-1_x"}});
        let found = |leases: Value| verdicts(json!([]), leases).split_off(1);
        assert_eq!(found(json!([server])), [(CONTROLLERS, Skipped), (ALL_SERVERS, Passed)]);
        assert_eq!(found(json!([leader])), [(CONTROLLERS, Warning), (ALL_SERVERS, Skipped)]);
        let two = found(json!([server, server]));
        assert_eq!(two, [(CONTROLLERS, Skipped), (ALL_SERVERS, Warning)]);
    }
}
