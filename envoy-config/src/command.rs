//! The subcommands, one file each, and what they share.

pub(crate) mod map;
pub(crate) mod output;
pub(crate) mod rehearse;
pub(crate) mod servers;
