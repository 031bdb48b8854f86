//! Connections of a simulated server: from accepted socket to answer. The one place that applies
//! faults.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::aggregated::{aggregated_list, single_group};
use super::discovery::AGGREGATED_V2;
use super::state::State;
use super::{Fault, Recorded, Reply, answer, forward};

/// Accepts until it is aborted, which also ends every connection.
pub(super) async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        // Accepting fails for a client that is gone already; the next one may not be.
        let Ok((stream, peer)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(stream, peer, tls.clone(), Arc::clone(&state)));
    }
}

/// Accepts, holds every connection and says nothing.
pub(super) async fn accept_silently(listener: TcpListener) {
    let mut held = Vec::new();
    loop {
        held.extend(listener.accept().await.ok());
    }
}

/// What an answer can do to the connection that it rides on.
enum Order {
    GoAway,
    Cut,
}

async fn serve(stream: TcpStream, peer: SocketAddr, tls: TlsAcceptor, state: Arc<State>) {
    // Small answers must not wait for a client's acknowledgment of earlier ones.
    let _ = stream.set_nodelay(true);
    // What goes wrong from here on is the client's to notice: it sees a broken connection.
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let (orders, mut inbox) = unbounded_channel();
    let service =
        service_fn(move |request| respond(Arc::clone(&state), peer, orders.clone(), request));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(MAX_HEAD_BYTES);
    builder.http2().max_header_list_size(MAX_HEAD_BYTES as u32);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            order = inbox.recv() => match order {
                Some(Order::GoAway) => connection.as_mut().graceful_shutdown(),
                Some(Order::Cut) | None => return,
            },
        }
    }
}

async fn respond(
    state: Arc<State>,
    peer: SocketAddr,
    orders: UnboundedSender<Order>,
    request: Request<Incoming>,
) -> Result<Response<Body>, NoAnswer> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.context("the request's body did not arrive")?;
    let body = body.to_bytes();
    let request = Recorded::new(peer, &head, body.len());
    state.record(request.clone());
    let response = match (state.fault_of(&request), &state.real) {
        (None, None) => whole(answer::usual(&state, &request)?),
        (None, Some(real)) => forward::streamed(real, &request, body).await?,
        (Some(fault), None) => {
            faulty(fault, answer::usual(&state, &request)?, &request, orders).await?
        }
        (Some(fault), Some(real)) => {
            faulty(fault, forward::whole(real, &request, body).await?, &request, orders).await?
        }
    };
    Ok(if request.method == Method::HEAD { without_body(response) } else { response })
}

async fn faulty(
    fault: Fault,
    mut usual: Reply,
    request: &Recorded,
    orders: UnboundedSender<Order>,
) -> Result<Response<Body>, NoAnswer> {
    match fault {
        Fault::MissingObject => usual = answer::missing_object(request).unwrap_or(Ok(usual))?,
        Fault::UnknownResource => usual = answer::unknown_resource(request)?,
        Fault::Reply(reply) => usual = reply,
        Fault::ContentType(other) => {
            usual.headers.insert(CONTENT_TYPE, HeaderValue::from_static(other));
        }
        Fault::Truncated => usual.body.truncate(usual.body.len() / 2),
        Fault::Garbage => usual.body = garbage(),
        Fault::Groups(count) => usual = groups(count),
        Fault::Megabytes(count) => return Ok(megabytes(count)),
        Fault::SlowHead(delay) => tokio::time::sleep(delay).await,
        Fault::SlowBody(duration) => return Ok(in_pieces(usual, duration)),
        Fault::RefuseStream => return Err(refused()),
        Fault::GoAway => {
            let _ = orders.send(Order::GoAway);
            return Err(refused());
        }
        Fault::CutMidway => return Ok(cut_midway(usual, orders)),
        Fault::Cut => {
            let _ = orders.send(Order::Cut);
            std::future::pending::<()>().await;
        }
        Fault::Hang => std::future::pending::<()>().await,
    }
    Ok(whole(usual))
}

/// hyper resets the stream with the reason that it finds in here, and closes an HTTP/1.1
/// connection.
pub(super) type NoAnswer = Box<dyn Error + Send + Sync>;

pub(super) type Body = UnsyncBoxBody<Bytes, NoAnswer>;

fn boxed(body: impl HttpBody<Data = Bytes, Error = Infallible> + Send + 'static) -> Body {
    body.map_err(|never| match never {}).boxed_unsync()
}

fn whole(reply: Reply) -> Response<Body> {
    let body = Full::new(reply.body.clone());
    head_of(&reply, boxed(body))
}

/// The head of `reply`, which promises all of its body, before another body.
fn head_of(reply: &Reply, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers.clone();
    if reply.status != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
    }
    response
}

fn without_body(response: Response<Body>) -> Response<Body> {
    response.map(|_| boxed(Full::default()))
}

fn in_pieces(reply: Reply, duration: Duration) -> Response<Body> {
    let (mut sender, body) = Channel::new(1);
    let response = head_of(&reply, boxed(body));
    tokio::spawn(async move {
        let piece_bytes = reply.body.len().div_ceil(PIECES).max(1);
        let pauses = reply.body.len().div_ceil(piece_bytes).saturating_sub(1);
        let pause = duration / u32::try_from(pauses.max(1)).unwrap_or(u32::MAX);
        let mut rest = reply.body;
        let first = rest.split_to(piece_bytes.min(rest.len()));
        // Sending fails when the client is gone.
        let mut is_read = sender.send_data(first).await.is_ok();
        while is_read && !rest.is_empty() {
            tokio::time::sleep(pause).await;
            let piece = rest.split_to(piece_bytes.min(rest.len()));
            is_read = sender.send_data(piece).await.is_ok();
        }
    });
    response
}

fn cut_midway(reply: Reply, orders: UnboundedSender<Order>) -> Response<Body> {
    let (mut sender, body) = Channel::new(1);
    let response = head_of(&reply, boxed(body));
    tokio::spawn(async move {
        let half = reply.body.slice(..reply.body.len() / 2);
        let _ = sender.send_data(half).await;
        tokio::time::sleep(SETTLE).await;
        let _ = orders.send(Order::Cut);
    });
    response
}

fn megabytes(count: usize) -> Response<Body> {
    let (mut sender, body) = Channel::new(1);
    let mut response = Response::new(boxed(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED_V2));
    tokio::spawn(async move {
        let empty = aggregated_list(Vec::new());
        let opened = format!("{},\"filler\":\"", empty.strip_suffix('}').unwrap_or_default());
        let filler = Bytes::from(vec![b'x'; MEGABYTE / FILLERS_PER_MEGABYTE]);
        let fillers = std::iter::repeat_n(filler, count * FILLERS_PER_MEGABYTE);
        let closed = std::iter::once(Bytes::from_static(b"\"}"));
        for piece in std::iter::once(Bytes::from(opened)).chain(fillers).chain(closed) {
            if sender.send_data(piece).await.is_err() {
                return;
            }
        }
    });
    response
}

fn groups(count: usize) -> Reply {
    let group = |number| single_group(&format!("group-{number}.example.com"), "things");
    let body = aggregated_list((0..count).map(group).collect());
    Reply::new(StatusCode::OK).body(AGGREGATED_V2, body)
}

/// The same each time: neither text nor compressible, and no JSON from its first byte.
fn garbage() -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 | 0x80
    };
    std::iter::repeat_with(next).take(GARBAGE_BYTES).collect()
}

fn refused() -> NoAnswer {
    h2::Error::from(h2::Reason::REFUSED_STREAM).into()
}

/// What was written before a cut is on its way after this time.
const SETTLE: Duration = Duration::from_millis(20);
/// Above the 60 kB that tests send as a path.
const MAX_HEAD_BYTES: usize = 1 << 20;
/// Enough to be seen arriving bit by bit.
const PIECES: usize = 10;
const GARBAGE_BYTES: usize = 4096;
const MEGABYTE: usize = 1 << 20;
const FILLERS_PER_MEGABYTE: usize = 16;
