//! The subcommands, one file each, and what they share.

pub(crate) mod completions;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod map;
pub(crate) mod merge;
pub(crate) mod output;
pub(crate) mod preflight;
pub(crate) mod rehearse;
pub(crate) mod render;
pub(crate) mod servers;
