//! The two ways in which requests go out: as they are, by the harness's own client, or through
//! kube-rs with the retries that it makes by default.

use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::BodyExt;

use crate::client::{Answer, Client, Request};

pub(super) enum Caller {
    Http(Client),
    Kube(kube::Client),
}

impl Caller {
    /// The whole answer; an error when there was none.
    pub(super) async fn send(&self, request: Request) -> Result<Answer> {
        let client = match self {
            Self::Http(client) => return client.send(request).await,
            Self::Kube(client) => client,
        };
        let exchange = async {
            let answer = client.send(request.into_http()?.map(Into::into)).await?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.context("the body broke off")?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        let limited = tokio::time::timeout(PATIENCE, exchange).await;
        limited.with_context(|| format!("no complete answer within {PATIENCE:?}"))?
    }

    /// Whether a `Retry-After` is the caller's to obey.
    pub(super) fn leaves_retries_to_us(&self) -> bool {
        matches!(self, Self::Http(_))
    }
}

/// kube-rs tries fifteen times, and waits for each `Retry-After`.
const PATIENCE: Duration = Duration::from_secs(40);
