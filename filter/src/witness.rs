//! Per attempt towards `peers`: a small 404 is read, and a server that does not know the resource is
//! not believed until every server of the list has said the same.
//!
//! A doubted answer becomes a 503 `Status` that asks Envoy for the next attempt: where Envoy cannot
//! make one, the client gets that, and never the 404. Who has said so is kept in filter state, which
//! lives as long as the request. The answer of a server that is starting or stopping asks for the
//! next attempt too, and stays as it is when there is none. What a server that was gone refuses (403)
//! is doubted as well: its body is not read, and so not held back.

use std::rc::Rc;

use peerway_core::edits::ASK_NEXT;
use peerway_core::testimony::{
    DOUBTED, Head, Look, MAX_BODY_BYTES, STARTING, Verdict, is_telling, look, may_refuse,
    says_not_known, weigh,
};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::{host, test_switch};

/// Filter state: who was to be asked. The router sets it for requests whose 404 is to be weighed.
pub(crate) const LIST: &str = "peerway_list";
/// Filter state: which of them were gone. There only if some were.
pub(crate) const GONE: &str = "peerway_gone";
/// Filter state: who has said that they do not know it.
const SAID: &str = "peerway_said";

/// What the attempts of one worker share.
pub(crate) struct Witness {
    asked_next: host::Counter,
    passed: host::Counter,
    turned_away: host::Counter,
}

impl Witness {
    pub(crate) fn new() -> Self {
        Self {
            asked_next: host::Counter::define("peerway_witness_total;verdict=asked-next"),
            passed: host::Counter::define("peerway_witness_total;verdict=passed"),
            turned_away: host::Counter::define("peerway_witness_total;verdict=turned-away"),
        }
    }
}

/// One attempt of a request.
pub(crate) struct Attempt {
    witness: Rc<Witness>,
    /// Whether there will be no body to read.
    is_head: bool,
    body: Body,
}

/// What becomes of the body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Passes,
    /// The headers wait for it.
    IsRead,
    /// Its first piece becomes [`STARTING`].
    IsReplaced,
    IsDropped,
}

impl Attempt {
    pub(crate) fn new(witness: Rc<Witness>) -> Self {
        Self { witness, is_head: false, body: Body::Passes }
    }

    /// Whether the answer was put into doubt.
    fn weigh(&self) -> bool {
        let list = host::property(&[LIST]).unwrap_or_default();
        let said = host::property(&[SAID]).unwrap_or_default();
        let server = host::property(&["upstream", "address"]).unwrap_or_default();
        match weigh(&list, &said, &server) {
            Verdict::Pass => {
                self.witness.passed.increment();
                false
            }
            Verdict::AskNext { said } => {
                self.witness.asked_next.increment();
                host::set_filter_state(SAID, &said);
                doubt(DOUBTED);
                true
            }
        }
    }

    /// Whether the refusal was put into doubt.
    fn weigh_refusal(&self) -> bool {
        let Some(gone) = host::property(&[GONE]) else { return false };
        let server = host::property(&["upstream", "address"]).unwrap_or_default();
        if may_refuse(&gone, &server) {
            return false;
        }
        self.witness.turned_away.increment();
        doubt(STARTING);
        true
    }
}

/// Makes the head of an answer that of a 503 with this body, and asks for the next attempt.
fn doubt(body: &str) {
    host::set_response_header(":status", "503");
    host::set_response_header("content-type", "application/json");
    host::set_response_header("content-length", &body.len().to_string());
    host::set_response_header("retry-after", "1");
    host::set_response_header(ASK_NEXT, "true");
}

impl Context for Attempt {}

impl HttpContext for Attempt {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        // Once the request is on its way, the host no longer shows its headers.
        self.is_head = host::request_header(":method").is_some_and(|method| method == b"HEAD");
        if cfg!(feature = "test-panic") {
            test_switch::panic_if_asked(
                &host::request_header(":path").unwrap_or_default(),
                "witness",
            );
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let status = host::response_header(":status").unwrap_or_default();
        if !is_telling(&status) || host::property(&[LIST]).is_none() {
            return Action::Continue;
        }
        let content_length = host::response_header("content-length");
        let content_type = host::response_header("content-type");
        let retry_after = host::response_header("retry-after");
        let looked = look(Head {
            is_head: self.is_head,
            status: &status,
            content_length: content_length.as_deref(),
            content_type: content_type.as_deref(),
            retry_after: retry_after.as_deref(),
        });
        match looked {
            Look::NotKnown => {
                self.weigh();
            }
            Look::TurnedAway => {
                self.witness.turned_away.increment();
                host::set_response_header(ASK_NEXT, "true");
            }
            Look::ReadBody if !end_of_stream => self.body = Body::IsRead,
            Look::Refused if self.weigh_refusal() => self.body = Body::IsReplaced,
            Look::Answer | Look::ReadBody | Look::Refused => {}
        }
        if self.body == Body::IsRead { Action::Pause } else { Action::Continue }
    }

    fn on_http_response_body(&mut self, body_bytes: usize, end_of_stream: bool) -> Action {
        match (self.body, end_of_stream) {
            (Body::IsRead, false) => return Action::Pause,
            (Body::IsRead, true) => {
                if says_not_known(&host::response_body(MAX_BODY_BYTES as usize)) && self.weigh() {
                    host::replace_response_body(body_bytes, DOUBTED.as_bytes());
                }
            }
            (Body::IsReplaced, _) => {
                host::replace_response_body(body_bytes, STARTING.as_bytes());
                self.body = Body::IsDropped;
            }
            (Body::IsDropped, _) if body_bytes > 0 => host::replace_response_body(body_bytes, b""),
            (Body::IsDropped | Body::Passes, _) => {}
        }
        Action::Continue
    }
}
