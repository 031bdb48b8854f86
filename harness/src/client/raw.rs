//! Requests whose target no URL can hold: bad escapes, `..`, spaces, bytes that are not text.
//!
//! Each takes a connection of its own. On HTTP/1.1 the head is written by hand, so anything goes
//! out; on HTTP/2 what `http::Uri` takes goes out unchanged (escapes good and bad, `..`, `//`), the
//! rest is an error.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Answer, Client, Protocol, Request, within};

impl Client {
    /// Sends exactly this target and these headers, and reads the whole answer.
    ///
    /// Added are only: the client's token, as always; `Host` or `:authority` unless `host` is
    /// given; the length of a body; on HTTP/1.1, `Connection: close` unless `connection` is given
    /// (the server must close by itself then).
    pub async fn raw(&self, mut request: Request) -> Result<Answer> {
        if let Some(token) = &self.token
            && !request.has(AUTHORIZATION.as_str())
        {
            request = request.header(AUTHORIZATION.as_str(), format!("Bearer {token}"));
        }
        let what = self.what(&request);
        let exchange = async {
            let wire = self.connect().await?;
            match self.protocol {
                Protocol::Http1 => http1(wire, request, &self.address.to_string()).await,
                Protocol::Http2 => http2(wire, request, &self.address.to_string()).await,
            }
        };
        within(self.deadline, exchange).await.context(what)
    }

    async fn connect(&self) -> Result<Box<dyn Wire>> {
        let tcp = TcpStream::connect(self.address).await.context("cannot connect")?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(tcp));
        };
        let name = ServerName::from(self.address.ip());
        let tls = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
        Ok(Box::new(tls.context("no TLS")?))
    }
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

async fn http1(mut wire: Box<dyn Wire>, mut request: Request, authority: &str) -> Result<Answer> {
    let length = request.body.len().to_string();
    let added = [("host", authority), ("connection", "close"), ("content-length", &length)];
    for (name, value) in added {
        if !request.has(name) && (name != "content-length" || !request.body.is_empty()) {
            request = request.header(name, value);
        }
    }
    let method = request.method.as_str().as_bytes();
    let mut sent = [method, b" ", &request.target, b" HTTP/1.1\r\n"].concat();
    for (name, value) in &request.headers {
        sent.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    sent.extend(b"\r\n");
    sent.extend(&request.body);
    wire.write_all(&sent).await.context("cannot send")?;
    let mut answer = Vec::new();
    let end = wire.read_to_end(&mut answer).await;
    // Not every server ends TLS before it ends the connection; the answer tells whether it is
    // whole.
    parse(&answer, &request.method).with_context(|| match end {
        Ok(_) => "the connection ended".to_owned(),
        Err(error) => format!("the connection broke: {error}"),
    })
}

async fn http2(wire: Box<dyn Wire>, request: Request, authority: &str) -> Result<Answer> {
    let mut headers = request.header_map()?;
    let host = headers.remove(HOST);
    let uri = Uri::builder()
        .scheme("https")
        .authority(host.as_ref().map_or(authority.as_bytes(), HeaderValue::as_bytes))
        .path_and_query(request.target)
        .build()
        .context("a target or host that can only go out on HTTP/1.1")?;
    let mut outgoing = hyper::Request::new(Full::new(request.body));
    *outgoing.method_mut() = request.method;
    *outgoing.uri_mut() = uri;
    *outgoing.headers_mut() = headers;
    let io = TokioIo::new(wire);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = handshake.context("no HTTP/2")?;
    // Ends with the sender; how, the exchange tells better.
    tokio::spawn(connection);
    let (head, body) = sender.send_request(outgoing).await.context("no answer")?.into_parts();
    let body = body.collect().await.context("the body broke off")?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// Reads an HTTP/1.1 answer from a connection that ended after it.
fn parse(bytes: &[u8], method: &Method) -> Result<Answer> {
    let (head, body) = split_at(bytes, b"\r\n\r\n").context("no whole head of an answer")?;
    let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.next().unwrap_or_default();
    let code = first.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    let status = StatusCode::from_bytes(code)
        .with_context(|| format!("odd first line \"{}\"", first.escape_ascii()))?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = split_at(line, b":").context("a header without a colon")?;
        let name = HeaderName::from_bytes(name).context("header name")?;
        headers.append(name, HeaderValue::from_bytes(value.trim_ascii()).context("header value")?);
    }
    let is_chunked = headers.get("transfer-encoding").is_some_and(|value| value == "chunked");
    let body: Bytes = if is_chunked { unchunked(body)?.into() } else { body.to_vec().into() };
    let length = headers.get(CONTENT_LENGTH).filter(|_| method != Method::HEAD);
    let is_whole =
        length.is_none_or(|length| length.as_bytes() == body.len().to_string().as_bytes());
    ensure!(is_whole, "the body broke off after {} bytes", body.len());
    Ok(Answer { status, headers, body })
}

fn unchunked(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let (size, tail) = split_at(rest, b"\r\n").context("the body broke off")?;
        let size = usize::from_str_radix(&String::from_utf8_lossy(size), 16);
        let size = size.context("odd length of a chunk")?;
        if size == 0 {
            return Ok(body);
        }
        body.extend(tail.get(..size).context("the body broke off")?);
        rest = tail.get(size + 2..).context("the body broke off")?;
    }
}

fn split_at<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + separator.len()..)?))
}
