//! Versions and ciphers of TLS, towards clients and towards servers, from the first bytes of the
//! handshake: no library would still offer what must be refused.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use peerway_harness::balancer::{Balancer, Builder};
use peerway_harness::client::{Protocol, Request};
use peerway_harness::control_plane::{ADMIN_TOKEN, ControlPlane};
use peerway_harness::pki::Pki;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::rig::SOON;

const TLS_1_1: u16 = 0x0302;
const TLS_1_2: u16 = 0x0303;
const TLS_1_3: u16 = 0x0304;
/// Suites of TLS 1.3, and of those before it the ones with forward secrecy whose cipher
/// authenticates what it encrypts. The rig's certificates are for ECDSA.
const GOOD_1_3: [u16; 3] = [0x1301, 0x1302, 0x1303];
const GOOD_ECDSA: [u16; 3] = [0xc02b, 0xc02c, 0xcca9];
const GOOD_RSA: [u16; 3] = [0xc02f, 0xc030, 0xcca8];
/// `ECDHE-ECDSA-AES128-SHA` and `AES128-GCM-SHA256`: CBC, and no forward secrecy.
const BAD: [u16; 2] = [0xc009, 0x009c];

/// Signatures by keys of the kinds that a kube-apiserver may have: P-256, P-384, P-521, RSA, Ed25519.
const ALL_KEYS: [u16; 5] = [0x0403, 0x0503, 0x0603, 0x0804, 0x0807];

const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const SUPPORTED_VERSIONS: u16 = 43;
const SERVER_HELLO: u8 = 2;
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;

/// What a server makes of a first message.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Speaks { version: u16, suite: u16 },
    Alert(u8),
}

/// Who is resumed is not verified again. The client is one that would be, and so is Envoy.
async fn sessions_are_never_resumed(balancer: &mut Balancer) -> Result<()> {
    let client = balancer.client(ADMIN_TOKEN, Protocol::Http1)?;
    for _ in 0..3 {
        let request = Request::get("/api/v1/namespaces").header("connection", "close");
        ensure!(client.send(request).await?.status == 200);
    }
    let stats = balancer.envoy().stats("").await?;
    let named = |begin: &str, end: &str| -> Vec<u64> {
        let named = stats.iter().filter(|(name, _)| name.starts_with(begin) && name.ends_with(end));
        named.map(|(_, count)| *count).collect()
    };
    ensure!(named("listener.", ".ssl.handshake").iter().sum::<u64>() >= 3);
    for side in ["listener.", "cluster."] {
        let resumed = named(side, ".ssl.session_reused");
        ensure!(!resumed.is_empty() && resumed.iter().all(|count| *count == 0), "{side}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_1_2_or_1_3_with_ciphers_of_today_on_both_sides() {
    let plane = ControlPlane::builder().server("only", "1.37.2").start().await.unwrap();
    let pki = plane.pki();
    let mut balancer = Builder::before(&plane).identity(pki).start().await.unwrap();
    balancer.all_confirmed().await.unwrap();

    let listener = balancer.address();
    let offered = [&GOOD_1_3[..], &GOOD_ECDSA, &BAD].concat();
    let old = said(listener, TLS_1_1, &[], &offered).await.unwrap();
    assert_eq!(old, Said::Alert(PROTOCOL_VERSION));
    for version in [TLS_1_2, TLS_1_3] {
        let said = said(listener, TLS_1_2, &[version], &offered).await.unwrap();
        let Said::Speaks { version: spoken, suite } = said else { panic!("{said:?}") };
        assert_eq!(spoken, version);
        assert!(!BAD.contains(&suite), "{suite:#06x}");
    }
    for bad in BAD {
        let said = said(listener, TLS_1_2, &[TLS_1_2], &[bad]).await.unwrap();
        assert_eq!(said, Said::Alert(HANDSHAKE_FAILURE), "{bad:#06x}");
    }

    let client = balancer.client(ADMIN_TOKEN, Protocol::Http2).unwrap();
    assert_eq!(client.get("/api/v1/namespaces").await.unwrap().status, 200);
    for cluster in ["fetch", "direct_pool"] {
        let prefix = format!("cluster.{cluster}.ssl.versions.");
        let versions = balancer.envoy().stats(&prefix).await.unwrap();
        let spoken = versions.iter().filter(|(_, count)| **count > 0);
        let spoken: Vec<_> = spoken.map(|(name, _)| name.replacen(&prefix, "", 1)).collect();
        assert_eq!(spoken, ["TLSv1.3"], "{cluster}");
    }

    sessions_are_never_resumed(&mut balancer).await.unwrap();

    let Offer { versions, suites, signatures } = offered_to_servers(pki).await.unwrap();
    assert_eq!(versions, BTreeSet::from([TLS_1_2, TLS_1_3]));
    let good = [GOOD_1_3, GOOD_ECDSA, GOOD_RSA].concat();
    assert!(suites.iter().all(|suite| good.contains(suite)), "{suites:#06x?}");
    assert!(ALL_KEYS.iter().all(|key| signatures.contains(key)), "{signatures:#06x?}");
}

/// The beginning of a handshake.
struct Offer {
    versions: BTreeSet<u16>,
    suites: Vec<u16>,
    signatures: Vec<u16>,
}

/// What Envoy offers to a server.
async fn offered_to_servers(pki: &Pki) -> Result<Offer> {
    let server = TcpListener::bind("127.0.0.1:0").await?;
    let servers = vec![("only".to_owned(), server.local_addr()?.to_string())];
    let _balancer = Builder::of(servers, pki).start().await?;
    let (mut stream, _) = timeout(SOON, server.accept()).await.context("nobody comes")??;
    let hello = message(&mut stream).await?.1;
    let mut rest = Bytes(&hello);
    rest.take(4 + 2 + 32)?;
    let session = usize::from(rest.byte()?);
    rest.take(session)?;
    let length = usize::from(rest.short()?);
    // GREASE and the like are no suites: 0x?a?a, and the mark of a fallback.
    let suites = shorts(rest.take(length)?).filter(|suite| suite & 0x0f0f != 0x0a0a);
    let suites = suites.filter(|suite| *suite != 0x5600 && *suite != 0x00ff).collect();
    let compressions = usize::from(rest.byte()?);
    rest.take(compressions)?;
    let versions = extension(rest, SUPPORTED_VERSIONS)?.context("only old versions")?;
    let versions = versions.get(1..).context("no versions")?;
    let versions = shorts(versions).filter(|version| version & 0x0f0f != 0x0a0a).collect();
    let signatures = extension(rest, SIGNATURE_ALGORITHMS)?.context("no signatures")?;
    let signatures = shorts(signatures.get(2..).context("no signatures")?).collect();
    Ok(Offer { versions, suites, signatures })
}

/// Offers these versions, which TLS before 1.3 tells by `legacy` alone, and these suites.
async fn said(server: SocketAddr, legacy: u16, versions: &[u16], suites: &[u16]) -> Result<Said> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&client_hello(legacy, versions, suites)).await?;
    let (kind, body) = message(&mut stream).await?;
    if kind == 21 {
        return Ok(Said::Alert(*body.get(1).context("half an alert")?));
    }
    let mut rest = Bytes(&body);
    if kind != 22 || rest.byte()? != SERVER_HELLO {
        bail!("neither an alert nor a hello: {body:?}");
    }
    rest.take(3)?;
    let legacy = rest.short()?;
    rest.take(32)?;
    let session = usize::from(rest.byte()?);
    rest.take(session)?;
    let suite = rest.short()?;
    rest.byte()?;
    let version = extension(rest, SUPPORTED_VERSIONS)?.and_then(|data| shorts(data).next());
    Ok(Said::Speaks { version: version.unwrap_or(legacy), suite })
}

fn client_hello(legacy: u16, versions: &[u16], suites: &[u16]) -> Vec<u8> {
    let list = |shorts: &[u16]| shorts.iter().flat_map(|short| short.to_be_bytes()).collect();
    let sized = |bytes: Vec<u8>| [(bytes.len() as u16).to_be_bytes().to_vec(), bytes].concat();
    let extension = |kind: u16, data| [kind.to_be_bytes().to_vec(), sized(data)].concat();
    let mut extensions = extension(SUPPORTED_GROUPS, sized(list(&[0x001d, 0x0017])));
    let algorithms = [0x0403, 0x0503, 0x0804, 0x0401, 0x0203, 0x0201];
    extensions.extend(extension(SIGNATURE_ALGORITHMS, sized(list(&algorithms))));
    if !versions.is_empty() {
        let versions: Vec<u8> = list(versions);
        extensions
            .extend(extension(SUPPORTED_VERSIONS, [vec![versions.len() as u8], versions].concat()));
        // An empty list of keys: the server asks for one, in a hello that tells the version.
        extensions.extend(extension(51, sized(Vec::new())));
    }
    let mut body = [legacy.to_be_bytes().to_vec(), vec![7; 32], vec![0]].concat();
    body.extend(sized(list(suites)));
    body.extend([1, 0]);
    body.extend(sized(extensions));
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1, length[1], length[2], length[3]], &body[..]].concat();
    [vec![22, 3, 1], sized(message)].concat()
}

/// The first record: its type and what is in it.
async fn message(stream: &mut TcpStream) -> Result<(u8, Vec<u8>)> {
    let read = async {
        let mut head = [0; 5];
        stream.read_exact(&mut head).await?;
        let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut body).await?;
        anyhow::Ok((head[0], body))
    };
    timeout(SOON, read).await.context("nothing comes")?
}

/// What is left of a message.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("the message ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn short(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into()?))
    }
}

/// The data of an extension, if it is there.
fn extension(mut rest: Bytes<'_>, wanted: u16) -> Result<Option<&[u8]>> {
    if rest.0.is_empty() {
        return Ok(None);
    }
    rest.short()?;
    while !rest.0.is_empty() {
        let (kind, length) = (rest.short()?, usize::from(rest.short()?));
        let data = rest.take(length)?;
        if kind == wanted {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn shorts(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}
