//! What clients believe, against what etcd says: writes that were lost or carried out twice, events
//! that a watcher never heard of, garbage that was not garbage.

use std::collections::BTreeMap;

use super::history::{Change, What};
use super::load::{Fate, Heard, Traffic, Visit, Watched};

/// What is wrong, a line each. All empty when nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    /// Acknowledged, and not there.
    pub lost: Vec<String>,
    /// Carried out more than once, or carried out and answered as if it were not.
    pub doubled: Vec<String>,
    /// Events that a watcher did not hear of, nor was told to begin anew.
    pub missed: Vec<String>,
    /// What controllers removed and should not have, or left and should not have.
    pub misled: Vec<String>,
}

impl Damage {
    /// How much.
    pub fn count(&self) -> usize {
        [&self.lost, &self.doubled, &self.missed, &self.misled].map(Vec::len).iter().sum()
    }

    /// All of it.
    pub fn lines(&self) -> Vec<String> {
        let of = |what: &str, lines: &[String]| -> Vec<String> {
            lines.iter().map(|line| format!("{what}: {line}")).collect()
        };
        [
            of("lost", &self.lost),
            of("doubled", &self.doubled),
            of("missed", &self.missed),
            of("misled", &self.misled),
        ]
        .concat()
    }
}

/// Compares. `history` is everything since before the first request.
pub(super) fn damage(traffic: &Traffic, history: &[Change]) -> Damage {
    let mut damage = Damage::default();
    let by_prefix = by_prefix(history);
    for visit in &traffic.visits {
        check_visit(visit, by_prefix.get(&visit.prefix), &mut damage);
    }
    for watched in &traffic.watched {
        check_watched(watched, history, traffic.first_revision, &mut damage);
    }
    for family in &traffic.families {
        damage
            .misled
            .extend(family.wrong.as_ref().map(|wrong| format!("{}: {wrong}", family.what)));
    }
    damage
}

/// Changes by the beginnings of names, up to the last hyphen, that `generateName` has.
fn by_prefix(history: &[Change]) -> BTreeMap<String, Vec<&Change>> {
    let mut all: BTreeMap<String, Vec<&Change>> = BTreeMap::new();
    for change in history {
        if let Some((prefix, _)) = change.name().rsplit_once('-') {
            all.entry(format!("{prefix}-")).or_default().push(change);
        }
    }
    all
}

fn check_visit(visit: &Visit, changes: Option<&Vec<&Change>>, damage: &mut Damage) {
    let changes = changes.map_or(&[][..], Vec::as_slice);
    let count = |what| changes.iter().filter(|change| change.what == what).count();
    let (created, changed, deleted) =
        (count(What::Created), count(What::Changed), count(What::Deleted));
    let line =
        |what: &str, fate| format!("{what} of {}{} ({fate:?})", visit.prefix, visit.api.plural());
    let mut compare = |what: &str, fate, done: usize| match fate {
        Fate::Done if done == 0 => damage.lost.push(line(what, fate)),
        Fate::Done | Fate::Unknown if done > 1 => damage.doubled.push(line(what, fate)),
        Fate::Refused | Fate::NotTried if done > 0 => damage.doubled.push(line(what, fate)),
        _ => {}
    };
    compare("creation", visit.created, created);
    // Nobody else touches these objects.
    compare("change", visit.patched, changed);
    compare("removal", visit.deleted, deleted);
}

/// Follows a watcher through the history of its API. It is right as long as it hears of every
/// change in order, or is given a list that was true at some later time.
fn check_watched(watched: &Watched, history: &[Change], begin: u64, damage: &mut Damage) {
    let of_api = |change: &&Change| change.key.contains(watched.api.key());
    let changes: Vec<&Change> = history.iter().filter(of_api).collect();
    let mut missed = |what: String| damage.missed.push(format!("{}: {what}", watched.api.plural()));
    let mut follower = Follower { changes: &changes, state: BTreeMap::new(), next: 0 };
    let mut last = begin;
    for (place, heard) in watched.heard.iter().enumerate() {
        match heard {
            Heard::Listed(objects) => {
                let then = watched.heard.get(place + 1);
                if !follower.jump_to(&since(begin, objects), then.and_then(Heard::revision)) {
                    missed(format!("after {last} it got a list that was never true"));
                    return;
                }
            }
            Heard::Applied(revision) | Heard::Deleted(revision) => {
                for Change { revision, key, what } in follower.go_to(*revision) {
                    missed(format!("{what:?} {key} at {revision}"));
                }
                last = *revision;
            }
        }
    }
    if !watched.reached_the_end {
        missed(format!("everything after {last}: it never caught up"));
    } else if since(begin, &watched.cache) != follower.state {
        missed("its cache is not what it heard".to_owned());
    }
}

/// Objects that were there before the history begins, and did not change since, left out.
fn since(begin: u64, objects: &BTreeMap<String, u64>) -> BTreeMap<&str, u64> {
    let new = objects.iter().filter(|(_, revision)| **revision > begin);
    new.map(|(name, revision)| (name.as_str(), *revision)).collect()
}

impl Heard {
    fn revision(&self) -> Option<u64> {
        match self {
            Self::Applied(revision) | Self::Deleted(revision) => Some(*revision),
            Self::Listed(_) => None,
        }
    }
}

#[derive(Clone)]
struct Follower<'a> {
    changes: &'a [&'a Change],
    /// Names and revisions, as they are before `changes[next]`.
    state: BTreeMap<&'a str, u64>,
    next: usize,
}

impl<'a> Follower<'a> {
    /// Goes on until after this revision; what lies between was not heard of.
    fn go_to(&mut self, revision: u64) -> Vec<&'a Change> {
        let mut between = Vec::new();
        while let Some(change) = self.changes.get(self.next).filter(|c| c.revision <= revision) {
            if change.revision < revision {
                between.push(*change);
            }
            self.step(change);
        }
        between
    }

    /// Goes on until everything is as a list says; false when it never is. A list does not tell its
    /// own revision: of several times at which it was true it is the last one before `then`, the
    /// next thing that was heard.
    fn jump_to(&mut self, objects: &BTreeMap<&str, u64>, then: Option<u64>) -> bool {
        let mut found = None;
        let mut ahead = self.clone();
        loop {
            if ahead.state == *objects {
                found = Some(ahead.clone());
                if then.is_none() {
                    break;
                }
            }
            let is_before = |change: &&&Change| then.is_none_or(|then| change.revision < then);
            let Some(change) = self.changes.get(ahead.next).filter(is_before) else { break };
            ahead.step(change);
        }
        let is_found = found.is_some();
        if let Some(found) = found {
            *self = found;
        }
        is_found
    }

    fn step(&mut self, change: &'a Change) {
        match change.what {
            What::Deleted => self.state.remove(change.name()),
            _ => self.state.insert(change.name(), change.revision),
        };
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::Api;
    use super::*;

    fn change(revision: u64, name: &str, what: What) -> Change {
        Change { revision, key: format!("/registry/configmaps/chaos/{name}"), what }
    }

    /// a is made and changed, b made and removed, c made.
    fn history() -> Vec<Change> {
        vec![
            change(11, "a-1", What::Created),
            change(12, "b-1", What::Created),
            change(13, "a-1", What::Changed),
            change(14, "b-1", What::Deleted),
            change(15, "c-1", What::Created),
        ]
    }

    fn objects(all: &[(&str, u64)]) -> BTreeMap<String, u64> {
        all.iter().map(|(name, revision)| ((*name).to_owned(), *revision)).collect()
    }

    fn missed(heard: Vec<Heard>) -> usize {
        let watched = Watched {
            api: Api::ConfigMaps,
            heard,
            errors: BTreeMap::new(),
            cache: objects(&[("a-1", 13), ("c-1", 15)]),
            reached_the_end: true,
        };
        let mut damage = Damage::default();
        check_watched(&watched, &history(), 10, &mut damage);
        damage.missed.len()
    }

    #[test]
    fn whoever_hears_everything_or_is_told_to_list_again_has_missed_nothing() {
        use Heard::{Applied, Deleted, Listed};
        let empty = || Listed(objects(&[]));
        let old = || Listed(objects(&[("z", 9)]));
        let all = [Applied(11), Applied(12), Applied(13), Deleted(14), Applied(15)];
        assert_eq!(missed([vec![empty()], all.to_vec()].concat()), 0);
        assert_eq!(missed([vec![old()], all.to_vec()].concat()), 0);
        let relisted = Listed(objects(&[("a-1", 13)]));
        assert_eq!(missed(vec![empty(), Applied(11), relisted, Applied(15)]), 0);
        assert_eq!(missed(vec![empty(), Applied(11), Applied(13), Deleted(14), Applied(15)]), 1);
        assert_eq!(missed(vec![empty(), Listed(objects(&[("a-1", 12)])), Applied(15)]), 1);
        // The last of the times at which it was true.
        let twice = [change(16, "d-1", What::Created), change(17, "d-1", What::Deleted)];
        let changes: Vec<Change> = history().into_iter().chain(twice).collect();
        let changes: Vec<&Change> = changes.iter().collect();
        let mut follower = Follower { changes: &changes, state: BTreeMap::new(), next: 0 };
        assert!(follower.jump_to(&BTreeMap::from([("a-1", 13), ("c-1", 15)]), Some(18)));
        assert_eq!(follower.go_to(18), Vec::<&Change>::new());
    }

    #[test]
    fn a_write_counts_as_often_as_it_was_carried_out() {
        let visit = |created, deleted| Visit {
            api: Api::ConfigMaps,
            prefix: "b-".to_owned(),
            created,
            patched: Fate::NotTried,
            deleted,
        };
        let found = |visit: Visit, history: &[Change]| {
            let mut damage = Damage::default();
            check_visit(&visit, by_prefix(history).get(&visit.prefix), &mut damage);
            (damage.lost.len(), damage.doubled.len())
        };
        let once = history();
        let twice = [once.clone(), vec![change(16, "b-2", What::Created)]].concat();
        assert_eq!(found(visit(Fate::Done, Fate::Done), &once), (0, 0));
        assert_eq!(found(visit(Fate::Unknown, Fate::Unknown), &once), (0, 0));
        assert_eq!(found(visit(Fate::Unknown, Fate::Unknown), &[]), (0, 0));
        assert_eq!(found(visit(Fate::Done, Fate::Done), &[]), (2, 0));
        assert_eq!(found(visit(Fate::Done, Fate::Done), &twice), (0, 1));
        assert_eq!(found(visit(Fate::Refused, Fate::Done), &once), (0, 1));
        assert_eq!(found(visit(Fate::Done, Fate::NotTried), &once), (0, 1));
    }
}
