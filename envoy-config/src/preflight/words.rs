//! Whether each server says "I do not know this resource" in words that the witness knows, and in
//! shapes that the native guard knows.

use peerway_core::testimony::{Head, Look, SHAPES, look, says_not_known};

use super::facts::told;
use super::{Answer, Asked, Encoding, Facts, Findings};

const WORDS: &str = "not-known-words";
const GUARD: &str = "guard-shapes";

pub(super) fn judge(facts: &Facts, findings: &mut Findings) {
    let asked = || facts.servers.iter().filter(|server| !server.unknown.is_empty());
    for server in asked() {
        words(&server.name, &server.unknown, findings);
    }
    for server in asked() {
        shapes(&server.name, &server.unknown, findings);
    }
}

fn words(name: &str, unknown: &[(Encoding, Asked)], findings: &mut Findings) {
    let is_strange = |asked: &Asked| match asked {
        Ok(answer) => !may_not_ask(answer) && !is_known(answer),
        Err(_) => true,
    };
    let strange = unknown.iter().filter(|(_, asked)| is_strange(asked));
    let strange: Vec<_> =
        strange.map(|(encoding, asked)| format!("{}: {}", encoding.name(), told(asked))).collect();
    let heard = unknown.iter().filter(|(_, asked)| asked.as_ref().is_ok_and(is_known)).count();
    if !strange.is_empty() {
        return findings.failed(
            WORDS,
            Some(name),
            format!(
                "says otherwise than known that it does not know an API ({})",
                strange.join("; ")
            ),
            "its false 404s would pass: do not put Peerway in front of this server, and report it",
        );
    }
    if heard == 0 {
        return findings.skipped(WORDS, Some(name), "the fetcher may not ask, see fetcher");
    }
    findings.passed(WORDS, Some(name), format!("known in {heard} encodings"));
}

fn shapes(name: &str, unknown: &[(Encoding, Asked)], findings: &mut Findings) {
    let heard: Vec<_> = unknown
        .iter()
        .filter_map(|(encoding, asked)| Some((encoding, asked.as_ref().ok()?)))
        .filter(|(_, answer)| is_known(answer))
        .collect();
    let is_guarded = |answer: &Answer| {
        let content_type = answer.content_type.as_str();
        answer.content_length.is_some_and(|bytes| SHAPES.contains(&(bytes, content_type)))
    };
    let strange: Vec<_> = heard
        .iter()
        .filter(|(_, answer)| !is_guarded(answer))
        .map(|(encoding, answer)| {
            let length = answer.content_length.map_or("no length".to_owned(), |it| it.to_string());
            format!("{} with {length}, {}", encoding.name(), answer.content_type)
        })
        .collect();
    if heard.is_empty() {
        findings.skipped(GUARD, Some(name), "see not-known-words");
    } else if strange.is_empty() {
        findings.passed(GUARD, Some(name), format!("{} as known", heard.len()));
    } else {
        findings.warn(
            GUARD,
            Some(name),
            format!("not one that the guard knows: {}", strange.join("; ")),
            "while a map is late, such a 404 passes; report it",
        );
    }
}

fn may_not_ask(answer: &Answer) -> bool {
    matches!(answer.status, 401 | 403)
}

/// As the witness hears it.
fn is_known(answer: &Answer) -> bool {
    let status = answer.status.to_string();
    let length = answer.content_length.map(|bytes| bytes.to_string());
    let head = Head {
        is_head: false,
        status: status.as_bytes(),
        content_length: length.as_ref().map(String::as_bytes),
        content_type: Some(answer.content_type.as_bytes()),
        retry_after: None,
    };
    look(head) == Look::ReadBody && says_not_known(&answer.body)
}

#[cfg(test)]
mod tests {
    use crate::preflight::ServerFacts;
    use crate::preflight::Verdict::{self, Failed, Passed, Skipped, Warning};

    use super::*;

    fn verdicts(answer: Asked) -> Vec<Verdict> {
        let server =
            ServerFacts { unknown: vec![(Encoding::Text, answer)], ..ServerFacts::default() };
        let mut findings = Findings::default();
        judge(&Facts { servers: vec![server], ..Facts::default() }, &mut findings);
        findings.0.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn strange_words_and_strange_shapes_are_told_apart() {
        let text = Answer {
            status: 404,
            content_type: "text/plain; charset=utf-8".into(),
            content_length: Some(19),
            body: b"404 page not found\n".into(),
            ..Answer::default()
        };
        assert_eq!(verdicts(Ok(text.clone())), [Passed, Passed]);
        let longer = Answer { content_length: Some(20), ..text.clone() };
        assert_eq!(verdicts(Ok(longer)), [Passed, Warning]);
        let endless = Answer { content_length: None, ..text.clone() };
        assert_eq!(verdicts(Ok(endless)), [Failed, Skipped]);
        let other = Answer { body: b"no such thing here\n".into(), ..text.clone() };
        assert_eq!(verdicts(Ok(other)), [Failed, Skipped]);
        let welcome = Answer { status: 200, ..text.clone() };
        assert_eq!(verdicts(Ok(welcome)), [Failed, Skipped]);
        assert_eq!(verdicts(Ok(Answer { status: 403, ..text })), [Skipped, Skipped]);
        assert_eq!(verdicts(Err("no answer".into())), [Failed, Skipped]);
    }
}
