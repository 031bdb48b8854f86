//! The `parts` command on a machine that lacks something, or that has everything given.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::Result;

#[test]
fn missing_go_is_an_error_that_says_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    let output = parts("kube-1.36.3/kubectl", cache.path(), Path::new("")).unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(told.contains("there is no `go` here: install Go 1.26 or newer"), "{told}");
    assert!(told.contains("PEERWAY_BINARIES to a folder that has kube-1.36.3/kubectl"), "{told}");
}

#[test]
fn given_binary_wins_over_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    let given = tempfile::tempdir().unwrap();
    put(&cache.path().join("peerway/parts/etcd-3.6.16/etcd")).unwrap();
    let cached = parts("etcd-3.6.16", cache.path(), given.path()).unwrap();
    assert!(says(&cached, cache.path()), "{cached:?}");

    put(&given.path().join("etcd-3.6.16/etcd")).unwrap();
    let both = parts("etcd-3.6.16", cache.path(), given.path()).unwrap();
    assert!(says(&both, given.path()), "{both:?}");
}

#[test]
fn unknown_part_is_an_error_that_lists_the_known_ones() {
    let cache = tempfile::tempdir().unwrap();
    let output = parts("kube-0.1", cache.path(), Path::new("")).unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(told.contains("no part kube-0.1") && told.contains("envoy-1.40.0/envoy"), "{told}");
}

/// Runs the command where no program can be found.
fn parts(name: &str, cache: &Path, given: &Path) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parts"));
    command.arg(name).env("PATH", "").env("XDG_CACHE_HOME", cache).env("PEERWAY_BINARIES", given);
    Ok(command.output()?)
}

fn says(output: &Output, folder: &Path) -> bool {
    String::from_utf8_lossy(&output.stdout).contains(&folder.display().to_string())
}

fn put(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    std::fs::write(path, "")?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}
