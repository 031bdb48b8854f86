//! Every seed, and every crash that was found, goes through its check; so do pieces of them.
//!
//! What a fuzzer would do in its first second, on every machine and without a fuzzer.

#![expect(clippy::unwrap_used, reason = "a helper of tests, which say what they expect by failing")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use peerway_fuzz::{CHECKS, run};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn seeds(check: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder("seeds").join(check)).unwrap();
    entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn every_check_has_seeds_and_a_target() {
    let checks: BTreeSet<String> = CHECKS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&folder("seeds")), checks);
    assert_eq!(names(&folder("targets")), checks);
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for check in checks {
        assert!(!seeds(&check).is_empty(), "seeds/{check} is empty");
        let target = format!("name = \"{check}\"\npath = \"targets/{check}.rs\"");
        assert!(manifest.contains(&target), "Cargo.toml has no target {check}");
    }
}

#[test]
fn every_seed_holds() {
    for (check, _) in CHECKS {
        for seed in seeds(check) {
            assert!(run(check, &seed));
        }
    }
}

/// Each seed cut at some places, and with some of its bytes changed.
#[test]
fn damaged_seeds_hold() {
    const PIECES: usize = 40;
    for (check, _) in CHECKS {
        for seed in seeds(check) {
            for at in (0..seed.len()).step_by(seed.len() / PIECES + 1) {
                run(check, &seed[..at]);
                for byte in [0, b'/', b'\n', seed[at] ^ 0x80] {
                    let mut damaged = seed.clone();
                    damaged[at] = byte;
                    run(check, &damaged);
                }
            }
        }
    }
}
