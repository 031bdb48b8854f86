//! The odd requests, and where Peerway's answer to them is not a server's own.

use anyhow::Result;
use hyper::Method;
use peerway_harness::client::Protocol::{self, Http1, Http2};
use peerway_harness::client::Request;
use peerway_harness::control_plane::ADMIN_TOKEN;

use super::{Came, MAPS};

/// Only 1.37 has it.
const THE_NEW_ONES: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles";

/// One odd request.
pub(super) struct Row {
    pub(super) what: String,
    pub(super) request: Request,
    /// On which it can be written at all.
    pub(super) protocols: Protocols,
    pub(super) differences: Differences,
}

type Protocols = &'static [Protocol];
/// On which protocol something else comes than the server's own answer, what, and why.
type Differences = &'static [(Protocol, Came, &'static str)];

const BOTH: Protocols = &[Http1, Http2];
const SAME: Differences = &[];

/// A server answers 400 on HTTP/1.1. On HTTP/2, which Envoy speaks to it, it resets the stream.
const BAD_ESCAPE: Differences = &[
    (Http1, Came::Status(502), "the server resets the stream"),
    (Http2, Came::Status(502), "the server resets the stream"),
];
const NO_TARGET: Differences = &[(Http1, Came::Status(400), "Envoy: not a request target")];
const NO_STAR: Differences = &[
    (Http1, Came::Status(400), "Envoy: not a request target"),
    (Http2, Came::Nothing, "Envoy: not a :path"),
];
const NO_METHOD: Differences = &[(Http1, Came::Status(400), "Envoy: not a registered method")];
const JOINED: Differences = &[
    (Http1, Came::Status(401), "Envoy joins two Authorization headers, a server takes the first"),
    (Http2, Came::Status(401), "Envoy joins two Authorization headers, a server takes the first"),
];
const NOMINATED: Differences =
    &[(Http1, Came::Status(403), "Envoy removes what Connection names: the caller is anonymous")];
const NOT_IMPERSONATED: Differences =
    &[(Http1, Came::Status(200), "Envoy removes what Connection names: the caller is itself")];
const TWO_HOSTS: Differences = &[(Http1, Came::Status(200), "Envoy does not mind")];
const TWO_LENGTHS: Differences = &[(Http1, Came::Status(400), "Envoy: could be smuggling")];
const BAD_LENGTH: Differences = &[(Http2, Came::Nothing, "Envoy: not the length of the body")];
const NO_EXPECTATION: Differences = &[(Http1, Came::Status(200), "Envoy sees to Expect itself")];
const LONG_VALUE: Differences =
    &[(Http2, Came::Nothing, "Envoy ends a connection for one header of more than 64 KiB")];
const TOO_LARGE: Differences = &[
    (Http1, Came::Status(431), "Envoy: more than max_request_headers_kb"),
    (Http2, Came::Nothing, "Envoy resets the stream: more than max_request_headers_kb"),
];

/// The server's own answer comes on both protocols.
const TARGETS: [&str; 42] = [
    "/",
    "//",
    "//api/v1/pods",
    "/api//v1/pods",
    "/api/v1//pods",
    "/api/v1/pods//",
    "/api/v1/namespaces//pods",
    "/apis//",
    "/..",
    "/../api/v1/pods",
    "/api/v1/../v1/pods",
    "/api/v1/./pods",
    "/api/v1/%2e%2e/pods",
    "/api/v1/namespaces/%2E%2E/pods",
    "/openapi/v3/../x",
    "/apis/certificates.k8s.io/v1/clustertrustbundles/..",
    "/apis/certificates.k8s.io/v1//clustertrustbundles",
    "/apis/certificates.k8s.io/v1/%63lustertrustbundles",
    "/apis%2Fapps%2Fv1/deployments",
    "/apis/apps%2Fv1/deployments",
    "/api/v1/pods%2F",
    "/api/v1/namespaces/default/pods/%2F",
    "/api/v1/namespaces/default/pods/a%2Fb",
    "/api/v1/namespaces/default/pods/a/b/c/d/e",
    "/api/v1/namespaces/default/services/a:b:c/proxy/..%2F..",
    "/%00",
    "/api/%00/pods",
    "/apis/%00/v1/things",
    "/api/v1/namespaces/default/pods/%00",
    "/api/v1/namespaces/default/pods/%ff%fe",
    "/api/v1/watch",
    "/api/v1/watch/",
    "/api/v1/watch/watch",
    "/apis/apps/v1/proxy",
    "/api/v1/pods?x=%zz",
    "/api/v1/pods??",
    "/api/v1/pods?limit=%00",
    "/api/v1/pods?limit=abc",
    "/api/v1/pods;v=1",
    "/APIS/Apps",
    "/apis/./apps",
    "/:authority",
];

const OTHER_TARGETS: [(&[u8], Protocols, Differences); 21] = [
    (b"/%", BOTH, BAD_ESCAPE),
    (b"/apis/%", BOTH, BAD_ESCAPE),
    (b"/apis/%f", BOTH, BAD_ESCAPE),
    (b"/apis/%zz", BOTH, BAD_ESCAPE),
    (b"/api/v1/pods/%E0%A4%A", BOTH, BAD_ESCAPE),
    (b"/apis/certificates.k8s.io/v1/clustertrustbundles/%zz", BOTH, BAD_ESCAPE),
    (b"*", BOTH, NO_STAR),
    (b"/api/v1/pods#fragment", &[Http1], NO_TARGET),
    (b"/api/v1/pods?a#fragment", &[Http1], NO_TARGET),
    (b"/\xff", &[Http1], NO_TARGET),
    (b"/api/v1/\xff\xfe", &[Http1], NO_TARGET),
    (b"/apis/\xc3\xa4/v1/x", &[Http1], NO_TARGET),
    (b"", &[Http1], SAME),
    (b"?x", &[Http1], SAME),
    (b"api/v1/pods", &[Http1], SAME),
    (b"/api/v1/po ds", &[Http1], SAME),
    (b"/api/v1/po\tds", &[Http1], SAME),
    (b"/api/v1/po\0ds", &[Http1], SAME),
    (b"/api/v1/po\x7fds", &[Http1], SAME),
    (b"http://other/api/v1/pods", &[Http1], SAME),
    (b"/apis/\"<>^`{|}\\x", &[Http1], SAME),
];

/// All but those of [`unknown_callers`].
pub(super) fn rows() -> Result<Vec<Row>> {
    let targets = TARGETS.map(|target| (target.as_bytes(), BOTH, SAME));
    let targets = targets.into_iter().chain(OTHER_TARGETS);
    let mut rows: Vec<_> = targets.map(|(target, on, but)| to_target(target, on, but)).collect();
    rows.extend(long_targets().iter().map(|target| to_target(target.as_bytes(), BOTH, SAME)));
    for path in [MAPS, THE_NEW_ONES] {
        for method in ["HEAD", "OPTIONS", "TRACE", "PROPFIND", "PUT", "PATCH", "POST"] {
            rows.push(by_method(method.parse()?, path, BOTH, SAME));
        }
        for method in ["FOO", "get", "M-SEARCH"] {
            rows.push(by_method(method.parse()?, path, BOTH, NO_METHOD));
        }
        rows.push(by_method(Method::CONNECT, path, &[Http1], NO_METHOD));
        rows.extend(one_header(path));
        rows.extend(several_headers(path));
        rows.extend(many_headers(path));
    }
    Ok(rows)
}

/// A server closes an HTTP/2 connection after each answer to a caller that it does not know, and
/// refuses the streams that come meanwhile: these are to be sent one after the other.
pub(super) fn unknown_callers() -> [Row; 7] {
    let [good, bad] = [ADMIN_TOKEN, "nobody knows it"].map(|token| format!("Bearer {token}"));
    let one = |value: &[u8]| Request::get(MAPS).header("authorization", value);
    let two = |[one, other]: [&str; 2]| {
        Request::get(MAPS).header("authorization", one).header("authorization", other)
    };
    let nominated = Request::get(MAPS).header("connection", "close, authorization");
    let impersonating = Request::get(MAPS).header("impersonate-user", "mary");
    let impersonating = impersonating.header("connection", "close, impersonate-user");
    [
        row("a good and a bad token", two([&good, &bad]), BOTH, JOINED),
        row("a bad and a good token", two([&bad, &good]), BOTH, SAME),
        row("a token that is no text", one(b"Bearer \xff\xfe\x80"), BOTH, SAME),
        row("an empty Authorization", one(b""), BOTH, SAME),
        row("another Authorization", one(b"Basic YTpi"), BOTH, SAME),
        row("Authorization in Connection", nominated, &[Http1], NOMINATED),
        row("an impersonation in Connection", impersonating, &[Http1], NOT_IMPERSONATED),
    ]
}

fn row(what: &str, request: Request, protocols: Protocols, differences: Differences) -> Row {
    Row { what: what.to_owned(), request, protocols, differences }
}

fn to_target(target: &[u8], protocols: Protocols, differences: Differences) -> Row {
    let what: String = target.escape_ascii().map(char::from).take(EXCERPT).collect();
    row(&what, Request::get(target), protocols, differences)
}

fn by_method(method: Method, path: &str, protocols: Protocols, differences: Differences) -> Row {
    row(&format!("{method} {path}"), Request::new(method, path), protocols, differences)
}

fn long_targets() -> [String; 7] {
    let long = "x".repeat(LONG);
    [
        format!("/{long}"),
        format!("/apis/{long}/v1/things"),
        format!("/api/v1/namespaces/default/pods/{long}"),
        format!("{THE_NEW_ONES}?x={long}"),
        format!("/{}", "a/".repeat(LONG / 2)),
        format!("/apis/{}", "%2F".repeat(LONG / 3)),
        format!("/api/v1/pods?{}", "%".repeat(LONG)),
    ]
}

fn one_header(path: &str) -> impl Iterator<Item = Row> {
    let rows: [(&str, &[u8], Protocols, Differences); 16] = [
        ("x-empty", b"", BOTH, SAME),
        ("x_under_score", b"v", BOTH, SAME),
        ("x-odd", b"\xff\xfe\x80", BOTH, SAME),
        ("accept", b"\xff\xfe\x80", BOTH, SAME),
        ("accept", b";;;,,,/", BOTH, SAME),
        ("user-agent", b"\xff\xfe\x80", BOTH, SAME),
        ("if-none-match", b"\"\xff", BOTH, SAME),
        ("x-forwarded-for", b"\xff, 1.2.3.4", BOTH, SAME),
        ("host", b"a b", &[Http1], SAME),
        ("content-length", b"abc", &[Http1], SAME),
        ("content-length", b"abc", &[Http2], BAD_LENGTH),
        ("transfer-encoding", b"odd", &[Http1], SAME),
        ("expect", b"odd", &[Http1], NO_EXPECTATION),
        ("x-odd: 1\r\nx-injected", b"1", &[Http1], SAME),
        ("x-a b", b"v", &[Http1], SAME),
        (":path", b"/api/v1/nodes", &[Http1], SAME),
    ];
    rows.into_iter().map(move |(name, value, on, but)| {
        let what = format!("{name:?}: {} {path}", value.escape_ascii());
        row(&what, Request::get(path).header(name, value), on, but)
    })
}

/// Names and values.
type Two = [(&'static str, &'static str); 2];

fn several_headers(path: &str) -> impl Iterator<Item = Row> {
    let rows: [(Two, Protocols, Differences); 7] = [
        ([("accept", "application/json"), ("accept", "application/yaml")], BOTH, SAME),
        ([("cookie", "a=b"), ("cookie", "c=d")], BOTH, SAME),
        ([("host", "a"), ("host", "b")], &[Http1], TWO_HOSTS),
        ([("content-length", "0"), ("content-length", "1")], &[Http1], SAME),
        ([("content-length", "0"), ("content-length", "1")], &[Http2], BAD_LENGTH),
        ([("content-length", "0"), ("transfer-encoding", "chunked")], &[Http1], TWO_LENGTHS),
        ([("connection", "close, x-odd"), ("x-odd", "1")], &[Http1], SAME),
    ];
    let of = move |([one, other], on, but): (Two, _, _)| {
        let request = Request::get(path).header(one.0, one.1).header(other.0, other.1);
        // For those that promise one: no chunk at all.
        let request =
            if but == TWO_LENGTHS { request.body("text/plain", "0\r\n\r\n") } else { request };
        row(&format!("{one:?}, {other:?} {path}"), request, on, but)
    };
    rows.into_iter().map(of)
}

/// Headers by number and length of each value. A server lets 1 MiB pass and counts 32 bytes more
/// for each. Over HTTP/2 it closes the connection, with all watches on it, for what is far over
/// that.
fn many_headers(path: &str) -> impl Iterator<Item = Row> {
    let rows: [(usize, usize, Protocols, Differences); 9] = [
        (300, 1, BOTH, SAME),
        (3_000, 100, BOTH, SAME),
        (9_900, 58, BOTH, SAME),
        (9_900, 70, BOTH, TOO_LARGE),
        (9_900, 90, BOTH, TOO_LARGE),
        (5_000, 180, BOTH, TOO_LARGE),
        (1, 100_000, BOTH, LONG_VALUE),
        (1, 700_000, &[Http1], SAME),
        (1, 2_000_000, &[Http1], SAME),
    ];
    rows.into_iter().map(move |(count, value_bytes, on, but)| {
        let value = "v".repeat(value_bytes);
        let add = |all: Request, at| all.header(&format!("x-{at:06}"), value.as_str());
        let request = (0..count).fold(Request::get(path), add);
        row(&format!("{count} headers of {value_bytes} bytes, {path}"), request, on, but)
    })
}

/// Bytes of what is called long.
const LONG: usize = 60_000;
/// Enough of a long target to tell which.
const EXCERPT: usize = 80;
