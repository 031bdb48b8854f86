//! Method and request target -> the path and query in it, or that this is no HTTP request.
//!
//! Mirrors `readRequest` of Go's `net/http` and `parse` of its `net/url` (Go 1.26) for HTTP/1.1.

use std::net::Ipv6Addr;

/// Whether `method` can stand in a request line: a token.
pub(super) fn is_method(method: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !method.is_empty() && method.bytes().all(is_token)
}

/// Path and query of a request target, still encoded: without scheme and host of the absolute
/// form, and empty where there is no path. `None` for what no server accepts as a target.
pub fn origin_form<'a>(method: &str, target: &'a [u8]) -> Option<&'a [u8]> {
    if target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return None;
    }
    match target {
        [b'/', ..] => Some(target),
        _ if method == "CONNECT" => behind_authority(Scheme::Web, target),
        b"*" => Some(target),
        _ => {
            let colon = target.iter().position(|byte| *byte == b':')?;
            let (scheme, rest) = (target.get(..colon)?, target.get(colon + 1..)?);
            let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
                && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
            match rest {
                _ if !is_scheme => None,
                [b'/', b'/', rest @ ..] => behind_authority(Scheme::of(scheme), rest),
                [b'/', ..] => Some(rest),
                // An opaque URL (`mailto:x`): no path, whatever follows.
                _ => Some(b""),
            }
        }
    }
}

/// Of a URL; only with web schemes a second colon in the host is wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Web,
    Other,
}

impl Scheme {
    fn of(name: &[u8]) -> Self {
        let is_web = name.eq_ignore_ascii_case(b"http") || name.eq_ignore_ascii_case(b"https");
        if is_web { Self::Web } else { Self::Other }
    }
}

fn behind_authority(scheme: Scheme, rest: &[u8]) -> Option<&[u8]> {
    let query = rest.iter().position(|byte| *byte == b'?').unwrap_or(rest.len());
    let (before_query, _) = rest.split_at_checked(query)?;
    let end = before_query.iter().position(|byte| *byte == b'/').unwrap_or(query);
    let (authority, origin) = rest.split_at_checked(end)?;
    let (user, host) = match authority.iter().rposition(|byte| *byte == b'@') {
        Some(at) => (authority.get(..at)?, authority.get(at + 1..)?),
        None => (b"".as_slice(), authority),
    };
    (is_user(user) && is_host(scheme, host)).then_some(origin)
}

fn is_user(user: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte);
    user.iter().all(allowed) && escapes(user).all(|escape| escape.is_some())
}

fn is_host(scheme: Scheme, host: &[u8]) -> bool {
    match host.iter().rposition(|byte| *byte == b'[') {
        Some(0) => {
            let Some(end) = host.iter().rposition(|byte| *byte == b']') else { return false };
            let (inside, after) = (host.get(1..end), host.get(end + 1..));
            inside.is_some_and(is_ipv6) && after.is_some_and(is_port)
        }
        Some(_) => false,
        None => {
            let colon = match scheme {
                Scheme::Web => host.iter().position(|byte| *byte == b':'),
                Scheme::Other => host.iter().rposition(|byte| *byte == b':'),
            };
            let port = colon.and_then(|colon| host.get(colon..)).unwrap_or_default();
            is_port(port) && is_name(host)
        }
    }
}

fn is_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn is_ipv6(inside: &[u8]) -> bool {
    let zone = inside.windows(3).position(|window| window == b"%25");
    let address = zone.map_or(inside, |at| inside.get(..at).unwrap_or_default());
    let zone_is_fine = zone.is_none_or(|at| inside.len() > at + 3);
    let parsed = std::str::from_utf8(address).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
    parsed.is_some() && zone_is_fine && escapes(inside).all(|escape| escape.is_some())
}

/// A host may only escape what is not ASCII, and the percent sign.
fn is_name(host: &[u8]) -> bool {
    let allowed = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || !byte.is_ascii()
            || b"-._~!$&'()*+,;=:[]<>\"%".contains(byte)
    };
    let escape_allowed =
        |escape: Option<u8>| escape.is_some_and(|byte| byte >= 0x80 || byte == b'%');
    host.iter().all(allowed) && escapes(host).all(escape_allowed)
}

/// What each `%` stands for, `None` where it is no escape.
fn escapes(bytes: &[u8]) -> impl Iterator<Item = Option<u8>> {
    let percents = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    percents.map(|(at, _)| {
        let hex = std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok()?;
        hex.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
        u8::from_str_radix(hex, 16).ok()
    })
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn only_the_path_of_an_absolute_target_counts() {
        for (target, expected) in [
            ("/a?b", Some("/a?b")),
            ("//h/a", Some("//h/a")),
            ("*", Some("*")),
            ("http://h:80/a?b", Some("/a?b")),
            ("HTTPS://u:p@h/a", Some("/a")),
            ("http://h?b", Some("?b")),
            ("http://h?b/c", Some("?b/c")),
            ("http:/a", Some("/a")),
            ("http:a", Some("")),
            ("http://[::1]:80/a", Some("/a")),
            ("http://[::1%25lo]/a", Some("/a")),
            ("http://[127.0.0.1]/a", None),
            ("http://[::1/a", None),
            ("http://h:x/a", None),
            ("http://h:1:2/a", None),
            ("x://h:1:2/a", Some("/a")),
            ("http://h%41/a", None),
            ("http://h^/a", None),
            (":/a", None),
            ("1http://h/a", None),
            ("a", None),
            ("", None),
            ("?a", None),
            ("/a\tb", None),
            ("/a\x7f", None),
        ] {
            let found = origin_form("GET", target.as_bytes());
            assert_eq!(found, expected.map(str::as_bytes), "{target}");
        }
    }

    #[test]
    fn a_tunnel_has_a_host_and_no_path() {
        assert_eq!(origin_form("CONNECT", b"h:443"), Some(b"".as_slice()));
        assert_eq!(origin_form("CONNECT", b"*"), Some(b"".as_slice()));
        assert_eq!(origin_form("CONNECT", b"h:x"), None);
        assert_eq!(origin_form("CONNECT", b"/a"), Some(b"/a".as_slice()));
    }
}
