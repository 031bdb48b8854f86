//! Lists of names that overlap -> one order for all of them.
//!
//! Mirrors `MergePreservingRelativeOrder` of apimachinery (`pkg/util/sort`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::sorted;

/// Every name once: as the first list that has all of them, else so that whatever stands directly
/// before another in some list comes before it, and where lists contradict each other, in byte order.
pub(super) fn merged<'a>(lists: &[Vec<&'a str>]) -> Vec<&'a str> {
    let all = sorted::set(lists.iter().flatten().copied());
    let has_all = |list: &&Vec<&str>| {
        list.len() == all.len() && sorted::set(list.iter().copied()).len() == all.len()
    };
    if let Some(complete) = lists.iter().find(has_all) {
        return complete.clone();
    }
    topological(&all, lists).unwrap_or_else(|| all.into_iter().collect())
}

/// Kahn's algorithm, smallest name first; `None` for a cycle.
fn topological<'a>(all: &BTreeSet<&'a str>, lists: &[Vec<&'a str>]) -> Option<Vec<&'a str>> {
    let pairs = lists.iter().flat_map(|list| list.iter().zip(list.iter().skip(1)));
    let edges = sorted::set(pairs.map(|(before, after)| (*before, *after)));
    let mut waits_for: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, after) in &edges {
        *waits_for.entry(after).or_default() += 1;
    }
    let free = all.iter().filter(|name| !waits_for.contains_key(*name));
    let mut ready: BinaryHeap<Reverse<&str>> = free.map(|name| Reverse(*name)).collect();
    let mut order = Vec::with_capacity(all.len());
    while let Some(Reverse(name)) = ready.pop() {
        order.push(name);
        for (_, after) in edges.range((name, "")..).take_while(|(before, _)| *before == name) {
            if let Some(count) = waits_for.get_mut(after) {
                *count -= 1;
                if *count == 0 {
                    ready.push(Reverse(after));
                }
            }
        }
    }
    (order.len() == all.len()).then_some(order)
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::merged;

    fn check(lists: &[&str], expected: &str) {
        let lists: Vec<Vec<&str>> =
            lists.iter().map(|list| list.split_whitespace().collect()).collect();
        assert_eq!(merged(&lists).join(" "), expected, "{lists:?}");
    }

    /// The first three rows are upstream's.
    #[test]
    fn names_keep_their_relative_order_where_they_can() {
        check(&["A B C D", "A B C D", "A X Z D", "Z Y", "Q"], "A B C Q X Z D Y");
        check(&["a b", "b a"], "a b");
        check(&[], "");
        check(&["b a", "c b", "a c"], "a b c");
        check(&["c a", "b a c"], "b a c");
        check(&["v1 v1alpha1", "v2 v10"], "v1 v1alpha1 v2 v10");
        check(&["b c", "a c"], "a b c");
    }
}
