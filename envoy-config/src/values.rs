//! The texts of a control-plane file → values that Envoy and the module take: addresses, paths, names,
//! durations. Each refusal quotes the text and says what would be right.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// What a server's certificate is verified against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerName {
    /// A DNS name, which is also sent as SNI.
    Dns(String),
    /// An address; SNI cannot carry one.
    Ip(IpAddr),
}

/// Which server takes a request that any of them may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affinity {
    /// The one that the connection it came over has been given.
    Connection,
    /// The next.
    None,
}

impl Affinity {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::None => "none",
        }
    }
}

/// Where access log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AccessLog {
    Stdout,
    File(String),
}

/// `ip:port`. No host names: the module and Envoy compare servers by this very text.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let parsed: Result<SocketAddr, _> = text.parse();
    match parsed {
        Ok(SocketAddr::V6(address)) if address.scope_id() != 0 => {
            Err(format!("{text:?} has a zone, which Envoy does not take"))
        }
        Ok(address) if address.port() != 0 => Ok(address),
        Ok(_) => Err(format!("{text:?} has port 0: a fixed port is needed")),
        Err(_) => Err(format!("{text:?} is not ip:port, such as 10.0.0.11:6443 or [fd00::1]:6443")),
    }
}

/// An address that only this machine can reach.
pub(crate) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = address(text)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!("{text:?} is not a loopback address: whoever reaches it needs no credentials"))
}

/// An address that can be connected to.
pub(crate) fn remote(text: &str) -> Result<SocketAddr, String> {
    let address = address(text)?;
    if !address.ip().is_unspecified() {
        return Ok(address);
    }
    Err(format!("{text:?} is where servers listen, not where one can be reached"))
}

/// A path as it is given. Relative ones start where Envoy is started.
pub(crate) fn path(text: &str) -> Result<String, String> {
    match text {
        "" => Err("empty: a path is needed".to_owned()),
        text if text.chars().any(char::is_control) => {
            Err(format!("{text:?} has a control character in it"))
        }
        // Envoy never loads a file that it is to watch when its path has no directory in it.
        text if !text.contains('/') => Ok(format!("./{text}")),
        text => Ok(text.to_owned()),
    }
}

pub(crate) fn affinity(text: &str) -> Result<Affinity, String> {
    let all = [Affinity::Connection, Affinity::None];
    let named = all.into_iter().find(|affinity| affinity.name() == text);
    named.ok_or_else(|| format!("{text:?} is neither connection nor none"))
}

pub(crate) fn access_log(text: &str) -> Result<AccessLog, String> {
    if text == "stdout" { Ok(AccessLog::Stdout) } else { path(text).map(AccessLog::File) }
}

/// A server's name: it goes into metrics, logs and headers.
pub(crate) fn name(text: &str) -> Result<String, String> {
    if is_word(text, 63, b"-._") {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is not 1 to 63 letters, digits, '-', '.' or '_'"))
}

pub(crate) fn server_name(text: &str) -> Result<ServerName, String> {
    if let Ok(ip) = text.parse() {
        return Ok(ServerName::Ip(ip));
    }
    if is_word(text, 253, b"-.") {
        return Ok(ServerName::Dns(text.to_owned()));
    }
    Err(format!("{text:?} is neither a DNS name nor an IP address"))
}

fn is_word(text: &str, most_bytes: usize, others: &[u8]) -> bool {
    (1..=most_bytes).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u64);

impl Millis {
    /// As Envoy takes durations: `0.250s`.
    pub(crate) fn for_envoy(self) -> String {
        format!("{}.{:03}s", self.0 / 1000, self.0 % 1000)
    }
}

/// As it is read.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms % 60_000 == 0 && ms > 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// A duration within bounds: a whole number and `ms`, `s` or `m`.
pub(crate) fn duration(bounds: RangeInclusive<u64>) -> impl FnOnce(&str) -> Result<Millis, String> {
    move |text| {
        let ms = milliseconds(text)
            .ok_or_else(|| format!("{text:?} is not a duration, such as 250ms, 1s or 2m"))?;
        if bounds.contains(&ms) {
            return Ok(Millis(ms));
        }
        let [least, most] = [bounds.start(), bounds.end()].map(|ms| Millis(*ms));
        Err(format!("{text:?} is out of bounds, {least} to {most} are possible"))
    }
}

fn milliseconds(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(unit_at)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_a_unit() {
        let read = |text| duration(1..=600_000)(text).map(|ms| ms.0).ok();
        assert_eq!(["250ms", "1s", "2m"].map(read), [Some(250), Some(1000), Some(120_000)]);
        for bad in ["", "1", "s", "1.5s", "-1s", "1h", "1 s", "0s", "11m", "99999999999999999999s"]
        {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert_eq!(Millis(1_250).for_envoy(), "1.250s");
    }

    #[test]
    fn addresses_are_ip_and_port() {
        for good in ["10.0.0.11:6443", "[fd00::1]:6443"] {
            assert_eq!(address(good).map(|address| address.to_string()), Ok(good.to_owned()));
        }
        for bad in
            ["", "10.0.0.11", "cp-1:6443", "10.0.0.11:0", "[fe80::1%2]:6443", "1.2.3.4:65536"]
        {
            assert!(address(bad).is_err(), "{bad:?}");
        }
        assert!(loopback("127.0.0.1:1").is_ok() && loopback("[::1]:1").is_ok());
        assert!(loopback("0.0.0.0:1").is_err() && loopback("10.0.0.1:1").is_err());
        assert!(remote("0.0.0.0:1").is_err() && remote("[::]:1").is_err());
    }

    #[test]
    fn a_path_is_taken_as_it_is_given() {
        for given in ["/etc/peerway/tls.crt", "pki/ca.crt", "./a b", "/\u{fc}\"{{x}}"] {
            assert_eq!(path(given), Ok(given.to_owned()));
        }
        assert_eq!(path("ca.crt"), Ok("./ca.crt".to_owned()));
        assert!(path("").is_err() && path("a\nb").is_err() && path("a\0").is_err());
    }

    #[test]
    fn an_ip_address_is_verified_as_one() {
        assert_eq!(server_name("10.0.0.1"), Ok(ServerName::Ip([10, 0, 0, 1].into())));
        assert_eq!(server_name("kube.example"), Ok(ServerName::Dns("kube.example".into())));
        assert!(server_name("*.example").is_err() && server_name("").is_err());
    }
}
