//! What clients may send and nobody should: odd requests get the server's own answer or Envoy's
//! refusal, forged headers get nowhere, and nothing crashes.

mod forged;
mod odd;

pub(crate) use forged::{forgeries, is_clean, skewed};

use std::sync::Arc;

use anyhow::Result;
use peerway_harness::client::{Answer, Client, Request};
use tokio::sync::Semaphore;

/// Sends each request on a connection of its own, many at the same time. The answers come in the
/// requests' order.
pub(crate) async fn many_at_once(client: &Client, requests: &[Request]) -> Vec<Result<Answer>> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let send = |request: &Request| {
        let (client, request, places) = (client.clone(), request.clone(), Arc::clone(&places));
        tokio::spawn(async move {
            let _place = places.acquire().await?;
            client.raw(request).await
        })
    };
    let sent: Vec<_> = requests.iter().map(send).collect();
    let mut answers = Vec::new();
    for answer in sent {
        answers.push(answer.await.unwrap_or_else(|error| Err(error.into())));
    }
    answers
}

/// Envoy closes an HTTP/1.1 connection a second after a refusal: one after the other takes minutes.
const AT_ONCE: usize = 16;
