//! What a simulated server can do wrong, and for which requests.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use super::Recorded;
use super::discovery::AGGREGATED_V2;

/// Requests. Paths are compared as they came, without the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matcher {
    /// This path alone: `/apis` and not `/apis/apps`.
    Path(String),
    /// Every path that begins so. `/api` takes `/apis` along.
    Prefix(String),
    /// What the other one matches, when it is sent with this bearer token.
    Token(String, Box<Matcher>),
    /// All of them.
    Everything,
}

impl Matcher {
    /// This path alone.
    pub fn path(path: &str) -> Self {
        Self::Path(path.to_owned())
    }

    /// Every path that begins so.
    pub fn prefix(prefix: &str) -> Self {
        Self::Prefix(prefix.to_owned())
    }

    /// What `other` matches, when it is sent with this bearer token.
    pub fn token(token: &str, other: Self) -> Self {
        Self::Token(token.to_owned(), Box::new(other))
    }

    pub(super) fn matches(&self, request: &Recorded) -> bool {
        match self {
            Self::Path(own) => request.path() == own,
            Self::Prefix(own) => request.path().starts_with(own),
            Self::Token(own, other) => {
                let sent = request.header(AUTHORIZATION.as_str());
                let bearer = sent.and_then(|sent| sent.strip_prefix("Bearer "));
                bearer == Some(own.as_str()) && other.matches(request)
            }
            Self::Everything => true,
        }
    }
}

/// What becomes of a request. "The usual answer" is the one it would get without the fault.
#[derive(Debug, Clone)]
pub enum Fault {
    /// 404, the object that the path names is not there: a `Status` with its name. For a path
    /// without an object's name, the usual answer.
    MissingObject,
    /// 404, "I do not know this resource", though it may be listed; encoded as the client accepts.
    UnknownResource,
    /// This answer and no other.
    Reply(Reply),
    /// The usual answer under another `Content-Type`.
    ContentType(&'static str),
    /// The first half of the usual body, as if it were the whole.
    Truncated,
    /// 4 kB of noise under the usual `Content-Type`.
    Garbage,
    /// Aggregated discovery, valid, of so many groups with one resource each, called
    /// `group-0.example.com/v1/things`.
    Groups(usize),
    /// Aggregated discovery, valid JSON that lists nothing, of so many megabytes, streamed.
    Megabytes(usize),
    /// The usual answer, its first byte after this time.
    SlowHead(Duration),
    /// The usual answer: head and a first piece at once, the rest in pieces over this time.
    SlowBody(Duration),
    /// On HTTP/2, the stream is reset with REFUSED_STREAM. On HTTP/1.1, as `Cut`.
    RefuseStream,
    /// On HTTP/2, as `RefuseStream`, and the connection ends by GOAWAY. On HTTP/1.1, as `Cut`.
    GoAway,
    /// The head and half of the usual body, then the connection breaks. Without a body: the head.
    CutMidway,
    /// The connection breaks before the answer begins, with all that rides on it.
    Cut,
    /// No answer, ever.
    Hang,
}

impl Fault {
    /// A status without a body, such as 500.
    pub fn status(status: StatusCode) -> Self {
        Self::Reply(Reply::new(status))
    }

    /// 429 or 503 that asks to be tried again after so many seconds.
    pub fn retry_after(status: StatusCode, seconds: u64) -> Self {
        let mut reply = Reply::new(status);
        reply.headers.insert(hyper::header::RETRY_AFTER, HeaderValue::from(seconds));
        Self::Reply(reply)
    }

    /// 200 with this body as aggregated discovery: a document that is odd, empty or wrong.
    pub fn document(body: impl Into<Bytes>) -> Self {
        Self::Reply(Reply::new(StatusCode::OK).body(AGGREGATED_V2, body))
    }
}

/// A whole answer. `Content-Length` and `Date` are added when it is sent.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// Neither headers nor body.
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// With one header more.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut reply = self.header(CONTENT_TYPE, content_type);
        reply.body = body.into();
        reply
    }
}
