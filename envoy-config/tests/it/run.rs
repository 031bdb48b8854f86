//! Runs the built command.
#![allow(dead_code, reason = "more than one test binary has it, none uses all of it")]

use std::path::PathBuf;
use std::process::{Command, Output};

/// `peerway` with these arguments, at the crate's root, untouched by the caller's terminal.
pub(crate) fn peerway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerway"));
    command.args(arguments).current_dir(root()).env_remove("COLUMNS").env_remove("NO_COLOR");
    command
}

/// Standard output of a run that went well.
pub(crate) fn printed(arguments: &[&str]) -> String {
    let output = peerway(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The same as JSON.
pub(crate) fn json(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&printed(&[arguments, &["-o", "json"]].concat())).unwrap()
}

/// Asserts that a run fails with this exit code, prints nothing, and complains of all of this.
pub(crate) fn refuses(arguments: &[&str], code: i32, complaints: &[&str]) {
    let output = peerway(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    assert!(output.stdout.is_empty(), "{arguments:?} printed something");
    for complaint in complaints {
        let said = said(&output);
        assert!(said.contains(complaint), "{arguments:?} said {said:?}, not {complaint:?}");
    }
}

/// What a run complained of.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// This crate's folder.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Flags for servers of these versions, named cp-1 and on.
pub(crate) fn servers(versions: &[&str]) -> Vec<String> {
    let flag = |(at, version): (usize, &&str)| {
        format!("--server=cp-{}=../filter/core/testdata/discovery/{version}", at + 1)
    };
    versions.iter().enumerate().map(flag).collect()
}
