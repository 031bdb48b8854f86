//! An answer read line by line as it comes, which is how a watch is read.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use hyper::{HeaderMap, StatusCode};
use reqwest::Response;

/// The lines of an answer that may never end. Dropping it ends the request.
#[derive(Debug)]
pub struct Lines {
    response: Response,
    unread: BytesMut,
}

impl Lines {
    pub(super) fn new(response: Response) -> Self {
        Self { response, unread: BytesMut::new() }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next line without its newline, or what is left at the end; `None` when the answer ended
    /// as it should. An error when it broke off, or when neither came within `limit`.
    pub async fn next(&mut self, limit: Duration) -> Result<Option<Bytes>> {
        let line = tokio::time::timeout(limit, self.read()).await;
        line.with_context(|| format!("no line within {limit:?}"))?
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        let mut searched = 0;
        loop {
            let unsearched = self.unread.iter().skip(searched);
            if let Some(found) = unsearched.into_iter().position(|&byte| byte == b'\n') {
                let line = self.unread.split_to(searched + found + 1).freeze();
                return Ok(Some(line.slice(..line.len() - 1)));
            }
            searched = self.unread.len();
            match self.response.chunk().await.context("the answer broke off")? {
                Some(chunk) => self.unread.extend_from_slice(&chunk),
                None if self.unread.is_empty() => return Ok(None),
                None => return Ok(Some(self.unread.split().freeze())),
            }
        }
    }
}
