//! One server's answer -> whether it says "I do not know this resource"; and who has to say so.

use std::collections::BTreeSet;

use peerway_core::testimony::{Head, Look, MAX_BODY_BYTES, Verdict, look, says_not_known, weigh};

use crate::input::lines;

pub(crate) fn check(data: &[u8]) {
    let ([status, length, content_type, list], body) = lines(data);
    for is_head in [true, false] {
        let found = look(Head {
            is_head,
            status,
            content_length: Some(length),
            content_type: Some(content_type),
            retry_after: None,
        });
        let expected: &[u8] = match found {
            Look::TurnedAway => b"429",
            Look::Refused => b"403",
            Look::ReadBody | Look::NotKnown => b"404",
            Look::Answer => status,
        };
        assert_eq!(status, expected, "{found:?}");
        let of_404 = matches!(found, Look::ReadBody | Look::NotKnown);
        assert!(!of_404 || is_head == (found == Look::NotKnown));
        let without =
            Head { is_head, status, content_length: None, content_type: None, retry_after: None };
        let of_status = if status == b"403" { Look::Refused } else { Look::Answer };
        assert_eq!(look(without), of_status);
    }
    let words = says_not_known(body.get(..MAX_BODY_BYTES as usize).unwrap_or(body));
    assert!(!words || says_not_known(body));
    everybody_is_heard(list);
}

/// Asking a list from first to last, a 404 passes at the last distinct server and not before. Long
/// lists say nothing new, and each word is weighed against all others.
fn everybody_is_heard(list: &[u8]) {
    const MAX_BYTES: usize = 200;
    let list = list.get(..MAX_BYTES).unwrap_or(list);
    let entries = || list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let distinct: BTreeSet<&[u8]> = entries().filter(|entry| !entry.is_empty()).collect();
    let (mut said, mut heard) = (Vec::new(), BTreeSet::new());
    for witness in entries().filter(|entry| !entry.is_empty()) {
        heard.insert(witness);
        match weigh(list, &said, witness) {
            Verdict::Pass => return assert_eq!(heard, distinct, "somebody was not asked"),
            Verdict::AskNext { said: by_now } => said = by_now,
        }
        assert_ne!(heard, distinct, "everybody has said so");
    }
}
