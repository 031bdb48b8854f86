//! `peerway diff` on saved documents.

use serde_json::{Value, json};

use crate::run::{peerway, printed, refuses, servers};

/// Exit code and standard output.
fn diff(versions: &[&str], more: &[&str]) -> (Option<i32>, String) {
    let flags = servers(versions);
    let mut arguments = vec!["diff"];
    arguments.extend(flags.iter().map(String::as_str).chain(more.iter().copied()));
    let output = peerway(&arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn an_upgrade_is_shown_in_one_screen() {
    let expected = "\
NOT EVERYWHERE                                                     cp-1  cp-2
certificates.k8s.io/v1/clustertrustbundles                         -     yes
certificates.k8s.io/v1/podcertificaterequests (with status)        -     yes
resource.k8s.io/v1/devicetaintrules (with status)                  -     yes
storage.k8s.io/v1/csinodes/status                                  -     yes
storagemigration.k8s.io/v1/storageversionmigrations (with status)  -     yes

8 of 121 APIs are at risk of a false 404: not all 2 servers serve them.
";
    assert_eq!(diff(&["1.36.3", "1.37.2"], &[]), (Some(1), expected.to_owned()));
}

#[test]
fn servers_that_serve_the_same_are_no_difference() {
    let expected = "All 2 servers serve the same 113 APIs.\n";
    assert_eq!(diff(&["1.36.3", "1.36.3"], &[]), (Some(0), expected.to_owned()));
}

#[test]
fn programs_get_every_api_with_who_serves_it() {
    let (code, text) = diff(&["1.37.2", "1.36.3", "1.36.3"], &["-o", "json"]);
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, Some(1));
    assert_eq!(found["summary"], json!({"apis": 121, "atRisk": 8, "verbsAtRisk": 0}));
    assert_eq!(found["skew"], true);
    assert_eq!(found["servers"][1], json!({"name": "cp-2", "apis": 113}));
    let status = json!({
        "group": "storage.k8s.io", "version": "v1", "resource": "csinodes", "subresource": "status",
        "servedBy": ["cp-1"], "missingFrom": ["cp-2", "cp-3"],
    });
    assert!(found["apis"].as_array().unwrap().contains(&status), "{text}");
    assert_eq!(found["apis"].as_array().unwrap().len(), 8);
}

#[test]
fn a_verb_that_only_one_server_offers_is_a_difference() {
    let folder = tempfile::tempdir().unwrap();
    for (name, verbs) in [("a", r#"["get","list"]"#), ("b", r#"["get"]"#)] {
        let document = format!(
            r#"{{"kind":"APIGroupDiscoveryList","items":[{{"metadata":{{"name":"g"}},"versions":[
            {{"version":"v1","resources":[{{"resource":"x","verbs":{verbs}}}]}}]}}]}}"#
        );
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("apis.json"), document).unwrap();
    }
    let flag = |name: &str| format!("--server={name}={}", folder.path().join(name).display());
    let output = peerway(&["diff", &flag("a"), &flag("b")]).output().unwrap();
    let expected = "\
NOT EVERYWHERE  a    b
g/v1/x: list    yes  -

All 2 servers serve the same 1 APIs. 1 verbs are at risk of a false 405.
";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn fewer_than_two_servers_are_refused() {
    refuses(&["diff"], 1, &["two are needed"]);
    refuses(&["diff", &servers(&["1.36.3"])[0]], 1, &["two are needed"]);
    assert!(printed(&["diff", "--help"]).contains("Exit codes"));
}
