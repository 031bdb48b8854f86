//! Maps and sets from what comes in any order.
//!
//! They are filled one by one: `collect` sorts first, by code of its own for each type of entry, and
//! that was a tenth of the module.

use std::collections::{BTreeMap, BTreeSet};

/// Of entries with the same key, the last one counts.
pub(crate) fn map<K: Ord, V>(entries: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    map.extend(entries);
    map
}

/// Each once.
pub(crate) fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    set.extend(items);
    set
}
