//! The real programs around Peerway: which part in which version → the path of its binary.
//!
//! A binary is taken from the folder in `PEERWAY_BINARIES` when it is there, else from the cache
//! (`${XDG_CACHE_HOME:-$HOME/.cache}/peerway/parts`), else it is made (`parts/make.rs`) and cached.
//! Both folders look alike: `kube-1.36.3/kube-apiserver`, `etcd-3.6.16/etcd`, `envoy-1.40.0/envoy`.
//! What is pinned lies in `harness/parts`, one directory for each name and version.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};

mod make;

/// The versions of kube-apiserver that demo and tests use, oldest first.
pub const KUBE_VERSIONS: [&str; 4] = ["1.33.13", "1.35.4", "1.36.3", "1.37.2"];
/// The version of kubectl, kube-controller-manager and kube-scheduler.
pub const TOOLS_VERSION: &str = "1.36.3";

/// One program in one version. Displayed as `kube-1.36.3/kube-apiserver`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    program: Program,
    version: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Apiserver,
    ControllerManager,
    Scheduler,
    Kubectl,
    Etcd,
    Kwok,
    SampleApiserver,
    Discover,
    Envoy,
    Vegeta,
}

impl Part {
    /// A kube-apiserver of this version ("1.36.3"). One that is not pinned can come from
    /// `PEERWAY_BINARIES` only.
    pub fn kube_apiserver(version: &str) -> Self {
        Self::of(Program::Apiserver, version)
    }

    /// kube-controller-manager.
    pub fn kube_controller_manager() -> Self {
        Self::of(Program::ControllerManager, TOOLS_VERSION)
    }

    /// kube-scheduler.
    pub fn kube_scheduler() -> Self {
        Self::of(Program::Scheduler, TOOLS_VERSION)
    }

    /// kubectl.
    pub fn kubectl() -> Self {
        Self::of(Program::Kubectl, TOOLS_VERSION)
    }

    /// etcd.
    pub fn etcd() -> Self {
        Self::of(Program::Etcd, "3.6.16")
    }

    /// kwok, which plays nodes.
    pub fn kwok() -> Self {
        Self::of(Program::Kwok, "0.8.0")
    }

    /// k8s.io/sample-apiserver, an API server to aggregate.
    pub fn sample_apiserver() -> Self {
        Self::of(Program::SampleApiserver, "0.36.3")
    }

    /// What a client-go client sees of a cluster; its source lies beside its `go.mod`.
    pub fn discover() -> Self {
        Self::of(Program::Discover, "0.36.3")
    }

    /// Envoy.
    pub fn envoy() -> Self {
        Self::of(Program::Envoy, "1.40.0")
    }

    /// vegeta, which sends the load of the benchmarks.
    pub fn vegeta() -> Self {
        Self::of(Program::Vegeta, "12.13.0")
    }

    /// Everything that demo, tests and benchmarks need, what is needed most first.
    pub fn all() -> Vec<Self> {
        let mut parts = vec![Self::envoy(), Self::etcd()];
        let newest_first = KUBE_VERSIONS.iter().rev();
        let apiservers: Vec<Self> = newest_first.map(|v| Self::kube_apiserver(v)).collect();
        parts.extend(apiservers);
        parts.extend([Self::kubectl(), Self::kube_controller_manager()]);
        parts.extend([Self::kube_scheduler(), Self::sample_apiserver()]);
        parts.extend([Self::discover(), Self::kwok(), Self::vegeta()]);
        parts
    }

    /// The name of the directory it lies in: `kube-1.36.3`.
    pub fn folder(&self) -> String {
        let product = match self.program {
            Program::Etcd
            | Program::Kwok
            | Program::SampleApiserver
            | Program::Envoy
            | Program::Vegeta => self.binary(),
            Program::Discover => "client-go",
            _ => "kube",
        };
        format!("{product}-{}", self.version)
    }

    /// The name of the binary: `kube-apiserver`.
    pub fn binary(&self) -> &'static str {
        match self.program {
            Program::Apiserver => "kube-apiserver",
            Program::ControllerManager => "kube-controller-manager",
            Program::Scheduler => "kube-scheduler",
            Program::Kubectl => "kubectl",
            Program::Etcd => "etcd",
            Program::Kwok => "kwok",
            Program::SampleApiserver => "sample-apiserver",
            Program::Discover => "discover",
            Program::Envoy => "envoy",
            Program::Vegeta => "vegeta",
        }
    }

    fn of(program: Program, version: &str) -> Self {
        Self { program, version: version.to_owned() }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.folder(), self.binary())
    }
}

/// The path of a part's binary, which is made first when it is nowhere: minutes, told on standard
/// error.
///
/// Any number of tasks and programs may ask at the same time; one makes it, the others wait.
pub async fn ensure(part: &Part) -> Result<PathBuf> {
    if let Some(ready) = find(part)? {
        return Ok(ready);
    }
    let part = part.clone();
    let target = cache()?.join(part.to_string());
    tokio::task::spawn_blocking(move || make::make(&part, &target).map(|()| target))
        .await
        .context("making a part was interrupted")?
}

/// The path of a part's binary if it is there already.
pub fn find(part: &Part) -> Result<Option<PathBuf>> {
    let given = std::env::var_os(BINARIES).filter(is_not_empty).map(PathBuf::from);
    let given = given.map(|folder| folder.join(part.to_string()));
    if let Some(path) = given.filter(|path| path.is_file()) {
        return Ok(Some(path));
    }
    let cached = cache()?.join(part.to_string());
    Ok(make::is_made(part, &cached).then_some(cached))
}

/// The folder of parts that were made here.
fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(is_not_empty) {
        Some(folder) => PathBuf::from(folder),
        None => {
            let home = std::env::var_os("HOME").filter(is_not_empty);
            PathBuf::from(home.context("no place for a cache: set HOME or XDG_CACHE_HOME")?)
                .join(".cache")
        }
    };
    Ok(base.join("peerway/parts"))
}

fn is_not_empty(text: &OsString) -> bool {
    !text.is_empty()
}

/// The environment variable that names a folder of ready binaries.
const BINARIES: &str = "PEERWAY_BINARIES";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_pinned_by_name_and_version() {
        for part in Part::all() {
            let pinned = make::recipe(&part);
            assert!(pinned.is_dir(), "{part}: there is no {}", pinned.display());
            let files = match part.program {
                Program::Envoy => vec!["requirements.txt"],
                _ => vec!["go.mod", "go.sum"],
            };
            for file in files {
                assert!(pinned.join(file).is_file(), "{part}: has no {file}");
            }
        }
    }
}
