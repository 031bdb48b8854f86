//! Requests that a real server answers in place of the simulated one before it.

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use hyper::{HeaderMap, Response};

use super::serve::{Body, NoAnswer};
use super::{Recorded, Reply};
use crate::client::{Client, Request};

/// The real server's answer as it comes, which may never end.
pub(super) async fn streamed(
    real: &Client,
    request: &Recorded,
    body: Bytes,
) -> Result<Response<Body>, NoAnswer> {
    let answer = real.begin(forwarded(request, body)).await?;
    let (head, body) = Response::from(answer).into_parts();
    let mut response = Response::new(body.map_err(Into::into).boxed_unsync());
    *response.status_mut() = head.status;
    *response.headers_mut() = end_to_end(&head.headers);
    Ok(response)
}

/// The real server's whole answer.
pub(super) async fn whole(real: &Client, request: &Recorded, body: Bytes) -> Result<Reply> {
    let answer = real.begin(forwarded(request, body)).await?;
    let (status, headers) = (answer.status(), end_to_end(answer.headers()));
    let body = answer.bytes().await.context("the real server's answer broke off")?;
    Ok(Reply { status, headers, body })
}

fn forwarded(request: &Recorded, body: Bytes) -> Request {
    let mut forwarded = Request::new(request.method.clone(), request.target.as_bytes());
    for (name, value) in &end_to_end(&request.headers) {
        forwarded = forwarded.header(name.as_str(), value.as_bytes());
    }
    forwarded.with_body(body)
}

/// Without what is about one connection only.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers
}
