//! `peerway completions` and `peerway man`.

use std::path::Path;

use crate::run::{printed, refuses};

#[test]
fn every_shell_completes_every_subcommand() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for name in ["render", "explain", "diff", "merge", "rehearse", "map"] {
            assert!(script.contains(name), "{shell} lacks {name}");
        }
    }
    refuses(&["completions", "tcsh"], 2, &["tcsh"]);
}

#[test]
fn every_subcommand_has_a_man_page() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("man");
    std::fs::create_dir_all(&folder).unwrap();
    printed(&["man", "--out", folder.to_str().unwrap()]);
    for page in ["peerway.1", "peerway-rehearse.1", "peerway-map.1", "peerway-render.1"] {
        let page = std::fs::read_to_string(folder.join(page)).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    refuses(&["man", "--out", "no/such/folder"], 1, &["no/such/folder: No such file"]);
}
