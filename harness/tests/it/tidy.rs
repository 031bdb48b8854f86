//! What reviewers forget: rules of this repository as tests. Reads the tree, starts nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use peerway_core::decide::Reason;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files below `folder` with one of these endings.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with(".git") {
            found.extend(files(&path, endings));
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_rust_file_opens_with_what_it_is() {
    for path in files(&root(), &[".rs"]) {
        assert!(text(&path).starts_with("//! "), "{} has no `//!` on top", path.display());
    }
}

#[test]
fn every_path_that_the_documents_name_exists() {
    let tops = ["filter/", "envoy-config/", "harness/", "fuzz/", "docs/", ".ci/"];
    for document in files(&root(), &[".md"]) {
        for named in text(&document).split('`').skip(1).step_by(2) {
            let is_path = tops.iter().any(|top| named.starts_with(top))
                && !named.contains([' ', '*', '{', '<', '…']);
            assert!(
                !is_path || root().join(named).exists(),
                "{} names `{named}`, which is not there",
                document.display()
            );
        }
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    for document in files(&root(), &[".md"]) {
        let words = text(&document);
        let targets = words.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = target.split('#').next().unwrap();
            let path = document.parent().unwrap().join(file);
            assert!(path.exists(), "{}: link to {target}", document.display());
        }
    }
}

#[test]
fn every_reason_and_metric_stands_in_the_operations_document() {
    let operations = text(&root().join("docs/operations.md"));
    for reason in Reason::ALL {
        assert!(operations.contains(&format!("| `{}` |", reason.name())), "{}", reason.name());
    }
    for source in files(&root().join("filter/src"), &[".rs"]) {
        for defined in text(&source).split("\"peerway_").skip(1) {
            let name = format!("peerway_{}", defined.split([';', '"']).next().unwrap());
            assert!(!name.ends_with("_total") || operations.contains(&name), "{name}");
        }
    }
}

#[test]
fn the_core_knows_no_host() {
    let output = Command::new("cargo")
        .args(["tree", "--package", "peerway-core", "--edges", "normal", "--prefix", "none"])
        .current_dir(root())
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("serde_json"), "cargo tree printed nothing: {tree}");
    for stranger in ["proxy-wasm", "tokio", "hyper", "reqwest", "rand ", "getrandom"] {
        assert!(!tree.contains(stranger), "the core depends on {stranger}:\n{tree}");
    }
}

#[test]
fn the_filter_reads_headers_only_as_bytes() {
    for source in files(&root().join("filter/src"), &[".rs"]) {
        let words = text(&source);
        let host = source.ends_with("host.rs");
        assert!(host || !words.contains("hostcalls::"), "{} calls the host", source.display());
        assert!(!words.contains("get_map_value("), "{}: a string getter", source.display());
    }
}
