//! What is sent and what comes back, as values.

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::Value;

/// A request before it is sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(super) target: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Bytes,
}

impl Request {
    /// `target` is path and query, from the first slash on. Only `Client::raw` takes every one.
    pub fn new(method: Method, target: impl Into<Vec<u8>>) -> Self {
        Self { method, target: target.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// GET, the most common.
    pub fn get(target: impl Into<Vec<u8>>) -> Self {
        Self::new(Method::GET, target)
    }

    /// With one header more; repeated names are sent as often. Sending fails when HTTP forbids it.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(CONTENT_TYPE.as_str(), content_type)
    }

    /// With this body, whose type is among the headers already.
    pub(crate) fn with_body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// With this object as its body.
    #[must_use]
    pub fn json(self, object: &Value) -> Self {
        self.body("application/json", object.to_string())
    }

    /// As another client takes it. A target that is no URI is an error.
    pub fn into_http(self) -> Result<hyper::Request<Bytes>> {
        let mut request = hyper::Request::new(self.body.clone());
        *request.headers_mut() = self.header_map()?;
        *request.uri_mut() = hyper::Uri::try_from(self.target).context("the target is no URI")?;
        *request.method_mut() = self.method;
        Ok(request)
    }

    /// Whether a header of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    pub(super) fn header_map(&self) -> Result<HeaderMap> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let context = || format!("header {name:?}");
            let name = HeaderName::from_bytes(name.as_bytes()).with_context(context)?;
            map.append(name, HeaderValue::from_bytes(value).with_context(context)?);
        }
        Ok(map)
    }
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, to its end.
    pub body: Bytes,
}

impl Answer {
    /// The first value of a header, when it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, bytes that are not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{}: the body is no JSON: {:?}", self.status, self.text()))
    }
}
