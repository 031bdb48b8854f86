//! `peerway completions` and `peerway man`: the command's own description, for shells and for man.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::output::put;

/// Print the completions of a shell
#[derive(Args)]
#[command(after_help = COMPLETIONS)]
pub(crate) struct Completions {
    /// The shell to complete in
    #[arg(value_enum)]
    shell: Shell,
}

const COMPLETIONS: &str = "\
Examples:
  In this bash only, and in every one:
    source <(peerway completions bash)
    peerway completions bash > /etc/bash_completion.d/peerway

Exit codes: 0 done; 1 standard output could not be written; 2 wrong usage.";

/// Write the man pages, one for each subcommand
#[derive(Args)]
#[command(after_help = MAN)]
pub(crate) struct Man {
    /// An existing folder, such as /usr/local/share/man/man1
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

const MAN: &str = "\
Examples:
  peerway man --out /usr/local/share/man/man1 && man peerway-rehearse

Exit codes: 0 done; 1 the folder could not be written; 2 wrong usage.";

impl Completions {
    /// Prints them for `command`.
    pub(crate) fn run(&self, mut command: clap::Command) -> Result<(), String> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "peerway", &mut script);
        put(&String::from_utf8_lossy(&script))
    }
}

impl Man {
    /// Writes those of `command`.
    pub(crate) fn run(&self, command: clap::Command) -> Result<(), String> {
        clap_mangen::generate_to(command, &self.out)
            .map_err(|error| format!("{}: {error}", self.out.display()))
    }
}
