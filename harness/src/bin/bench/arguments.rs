//! The command line: what is to be measured, how long, and where the result goes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::about;
use crate::plan::Plan;
use crate::results::Results;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Arguments {
    Measure(Wanted),
    Publish(PathBuf),
}

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) plan: Plan,
    pub(crate) quick: bool,
    pub(crate) out: PathBuf,
    keep: bool,
    parts: Vec<Part>,
}

/// A part of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Core,
    Module,
    Cpu,
    Real,
    Maps,
    Propagation,
    Memory,
}

impl Part {
    pub(crate) const ALL: [(&str, Self); 7] = [
        ("core", Self::Core),
        ("module", Self::Module),
        ("cpu", Self::Cpu),
        ("real", Self::Real),
        ("maps", Self::Maps),
        ("propagation", Self::Propagation),
        ("memory", Self::Memory),
    ];

    fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, part)| part).with_context(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            format!("--only {name}: there is no such part; the parts are {names}")
        })
    }
}

impl Wanted {
    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    /// What is in the result file already and stays.
    pub(crate) fn kept(&self) -> Result<Results> {
        if !self.keep {
            return Ok(Results::default());
        }
        let kept = Results::read(&self.out)?;
        let (there, here) = (&kept.about.commit, about::commit());
        ensure!(*there == here, "{}: of {there}, and this is {here}", self.out.display());
        Ok(kept)
    }
}

impl Arguments {
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = arguments.peekable();
        if arguments.next_if(|argument| argument == "publish").is_some() {
            let file = arguments.next().context("publish: which result file?")?;
            return Ok(Self::Publish(PathBuf::from(file)));
        }
        let (mut quick, mut keep, mut parts, mut out) = (false, false, Vec::new(), None);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument}: of what?"));
            match argument.as_str() {
                "--quick" => quick = true,
                "--keep" => keep = true,
                "--only" => parts.push(Part::named(&value()?)?),
                "--out" => out = Some(PathBuf::from(value()?)),
                other => bail!("{other}: not known; see the top of harness/src/bin/bench/main.rs"),
            }
        }
        let plan = if quick { Plan::quick() } else { Plan::full() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let out = out.unwrap_or_else(|| root.join("target/bench.json"));
        Ok(Self::Measure(Wanted { plan, quick, out, keep, parts }))
    }
}
