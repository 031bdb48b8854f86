//! The `peerway` command: exit codes, what it says, and what it leaves alone.

use std::path::Path;
use std::process::{Command, Output};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/control-plane.yaml");

fn render(file: &str, verb: &str, directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerway"));
    command.args(["render", file, verb]).arg(directory).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn what_was_rendered_passes_the_check_until_it_is_changed() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new/envoy");
    assert_eq!(render(EXAMPLE, "--out", &directory).status.code(), Some(0));
    assert_eq!(render(EXAMPLE, "--check", &directory).status.code(), Some(0));
    let envoy = directory.join("envoy.yaml");
    let changed = std::fs::read_to_string(&envoy).unwrap().replacen("id: peerway", "id: other", 1);
    std::fs::write(&envoy, changed).unwrap();
    let check = render(EXAMPLE, "--check", &directory);
    assert_eq!(check.status.code(), Some(1));
    let place = format!("{}:", envoy.display());
    assert!(
        said(&check).contains(&place) && said(&check).contains("id: other"),
        "{}",
        said(&check)
    );
}

#[test]
fn wrong_input_is_told_whole_and_writes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let (file, directory) = (parent.path().join("wrong.yaml"), parent.path().join("out"));
    let example = std::fs::read_to_string(EXAMPLE).unwrap();
    let wrong = example.replace("10.0.0.13:6443", "cp-3:6443").replace("wasm:", "wams:");
    std::fs::write(&file, wrong).unwrap();
    let output = render(file.to_str().unwrap(), "--out", &directory);
    assert_eq!(output.status.code(), Some(1));
    for place in ["servers[2].address: ", "wasm: missing", "wams: unknown"] {
        let line = format!("{}: {place}", file.display());
        assert!(said(&output).contains(&line), "{place} in {}", said(&output));
    }
    assert!(!directory.exists());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = render("nowhere.yaml", "--out", Path::new("/nowhere"));
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).starts_with("nowhere.yaml: "), "{}", said(&output));
}

#[test]
fn a_file_where_a_directory_is_needed_is_told_and_kept() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = render(EXAMPLE, "--out", file.path());
    assert_eq!(output.status.code(), Some(1));
    let told = format!("{}: a file, where", file.path().display());
    assert!(said(&output).starts_with(&told), "{}", said(&output));
    assert_eq!(std::fs::read(file.path()).unwrap(), b"");
}

#[test]
fn either_writing_or_checking_is_asked_for() {
    let status = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peerway"));
        command.args(["render", EXAMPLE]).args(arguments).output().unwrap().status.code()
    };
    assert_eq!(status(&[]), Some(2));
    assert_eq!(status(&["--out", "a", "--check", "a"]), Some(2));
}
