//! The answer to a request for discovery that Peerway merges: a server's head and body -> the merged
//! document, as `peerway_core::answer` says.
//!
//! A body is never held back: Envoy crashes when one that was is replaced by a longer one than its
//! buffer takes. The first piece becomes the whole document, later ones become nothing.

use peerway_core::answer::{Answer, Caller, Head, answer};
use peerway_core::edits::OF_THE_ANSWER;
use peerway_core::negotiate::takes_json_as;
use peerway_core::openapi;
use peerway_core::request::{Form, Scope};
use peerway_core::serving_map::{PageKey, page_key};
use proxy_wasm::types::Action;

use crate::{host, shared};

/// A request whose answer is to be replaced.
pub(crate) struct Replaced {
    key: PageKey,
    is_head: bool,
    caller: Caller,
    /// There for OpenAPI.
    openapi: Option<openapi::Asked>,
    body: Body,
}

/// What becomes of the pieces of the server's body.
enum Body {
    Passes,
    Becomes(Vec<u8>),
    IsDropped,
}

impl Replaced {
    /// Reads what the caller said of the answer, and takes it away; a plain document is wanted of
    /// the server in the form that is shown. `target` is what was asked for, as it came.
    pub(crate) fn new(scope: Scope<'_>, form: Form, target: &[u8]) -> Self {
        let is_head = host::request_header(":method").is_some_and(|method| method == b"HEAD");
        let accept = host::request_header("accept").unwrap_or_default();
        let if_none_match = host::request_header("if-none-match");
        let plain_type = takes_json_as(&String::from_utf8_lossy(&accept));
        OF_THE_ANSWER.iter().for_each(|name| host::remove_request_header(name));
        if let (Form::Plain, Some(media_type)) = (form, plain_type) {
            host::set_request_header("accept", media_type);
        }
        let openapi = matches!(form, Form::OpenApi | Form::OpenApiIndex)
            .then(|| openapi::Asked::of(scope, target, &accept, if_none_match.clone()));
        let caller = Caller { if_none_match, plain_type };
        Self { key: page_key(scope, form), is_head, caller, openapi, body: Body::Passes }
    }

    pub(crate) fn on_headers(&mut self, end_of_stream: bool) -> Action {
        let status = host::response_header(":status").unwrap_or_default();
        let content_type = host::response_header("content-type").unwrap_or_default();
        let head = Head { status: &status, content_type: &content_type };
        // Copying it is for nothing when the server refuses.
        let makes_way = match &self.openapi {
            Some(_) => openapi::makes_way(&status),
            None => head.makes_way(),
        };
        let document = makes_way.then(|| shared::merged(&self.key)).flatten();
        let answer = match &self.openapi {
            Some(asked) => openapi::answer(&status, asked, document.as_ref()),
            None => answer(head, &self.caller, document.as_ref()),
        };
        let Answer::Replace { status, headers, body } = answer else {
            return Action::Continue;
        };
        if end_of_stream && !self.is_head && !body.is_empty() {
            let headers = headers
                .iter()
                .filter_map(|(name, value)| Some((*name, value.as_deref()?)))
                .filter(|(name, _)| *name != "content-length");
            host::reply_with(status.parse().unwrap_or(503), headers.collect(), &body);
            return Action::Pause;
        }
        host::set_response_header(":status", status);
        for (name, value) in &headers {
            match value {
                Some(value) => host::set_response_header(name, value),
                None => host::remove_response_header(name),
            }
        }
        self.body = Body::Becomes(body.into());
        Action::Continue
    }

    pub(crate) fn on_body(&mut self, body_bytes: usize) {
        match std::mem::replace(&mut self.body, Body::IsDropped) {
            Body::Passes => self.body = Body::Passes,
            Body::Becomes(body) => host::replace_response_body(body_bytes, &body),
            Body::IsDropped if body_bytes > 0 => host::replace_response_body(body_bytes, b""),
            Body::IsDropped => {}
        }
    }
}
