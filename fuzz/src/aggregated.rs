//! An aggregated discovery document -> what a server lists.

use peerway_core::apis::{Apis, group_of};
use peerway_core::discovery::{MAX_PROBLEMS, Reading, Root, read_aggregated};

use crate::input::OLD;

pub(crate) fn check(data: &[u8]) {
    for root in [Root::Core, Root::Named] {
        let alone = read_aggregated(root, data, &Apis::default());
        let beside = read_aggregated(root, data, &OLD);
        let Ok(Reading { apis, problems }) = alone else { continue };
        assert!(!apis.is_empty() && problems.len() <= MAX_PROBLEMS);
        for (key, _) in apis.iter() {
            assert_eq!(key.matches('/').count(), 3, "{key}");
            assert_eq!(group_of(key).is_empty(), root == Root::Core, "{key} under {}", root.path());
        }
        let Ok(Reading { apis: kept, problems: same }) = beside else {
            unreachable!("readable alone, and not with an old document");
        };
        assert_eq!(same, problems);
        assert!(apis.iter().all(|(key, _)| kept.contains(key)), "what is read counts");
        for (key, _) in kept.iter().filter(|(key, _)| !apis.contains(key)) {
            assert!(!problems.is_empty() && OLD.contains(key), "{key} from nowhere");
        }
    }
}
