//! The certificates: whole, odd, and made to be taken for somebody else.

use anyhow::Result;
use peerway_harness::control_plane::{ADMIN_TOKEN, NOBODY_TOKEN};
use peerway_harness::pki::{Attribute, Authority, Identity, Pki, Tag};
use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, date_time_ymd,
};

use super::certificates::Came;

/// A certificate, what is sent beside it, and what is to come.
pub(super) struct Row {
    pub(super) what: String,
    pub(super) identity: Identity,
    pub(super) headers: Vec<(&'static str, String)>,
    /// What comes through Peerway instead of what comes directly, where the two cannot be the same.
    pub(super) but: Option<Came>,
    /// Whether what comes directly is what this row is about.
    pub(super) is_usual: fn(&Came) -> bool,
}

const CN: &str = "2.5.4.3";
const O: &str = "2.5.4.10";
const UID: &str = "1.3.6.1.4.1.57683.2";
/// No Kubernetes server knows it.
const TITLE: &str = "2.5.4.12";

type Part = (&'static str, Tag, Vec<u8>);

fn utf8(oid: &'static str, value: &str) -> Part {
    (oid, Tag::Utf8String, value.as_bytes().to_vec())
}

fn is_caller(came: &Came) -> bool {
    matches!(came, Came::Caller(_))
}

fn is_refused(came: &Came) -> bool {
    matches!(came, Came::Refusal(401 | 403, _))
}

fn is_no_connection(came: &Came) -> bool {
    matches!(came, Came::NoConnection)
}

/// Signed by the users' authority, and good for a client.
fn usual() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

/// The same, but for something.
fn unusual(
    pki: &Pki,
    subject: &[Vec<Attribute>],
    change: fn(&mut CertificateParams),
) -> Result<Identity> {
    let mut params = usual();
    change(&mut params);
    pki.user_authority.craft(params, subject)
}

fn row(what: &str, identity: Identity, is_usual: fn(&Came) -> bool) -> Row {
    Row { what: what.to_owned(), identity, headers: Vec::new(), but: None, is_usual }
}

impl Row {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self.what = format!("{}, with {name}: {value}", self.what);
        self
    }

    fn with_token(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    fn but(mut self, came: Came) -> Self {
        self.but = Some(came);
        self
    }
}

fn attributes(parts: Vec<Part>) -> Vec<Attribute> {
    let attribute = |(oid, tag, value)| Attribute { oid, tag, value };
    parts.into_iter().map(attribute).collect()
}

/// A certificate with an RDN for each part.
fn of(pki: &Pki, parts: Vec<Part>) -> Result<Identity> {
    let subject: Vec<_> = parts.into_iter().map(|part| attributes(vec![part])).collect();
    pki.user_authority.craft(usual(), &subject)
}

fn cannot_pass() -> Came {
    Came::Refusal(401, "Peerway cannot pass on your client certifi".chars().take(40).collect())
}

pub(super) fn rows(pki: &Pki) -> Result<Vec<Row>> {
    let mut rows = subjects(pki)?;
    rows.extend(strings(pki)?);
    rows.extend(unsayable(pki)?);
    rows.extend(validity(pki)?);
    rows.extend(keys(pki)?);
    rows.extend(combinations(pki)?);
    Ok(rows)
}

/// What servers make a caller of, or nobody.
fn subjects(pki: &Pki) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let groups: Vec<String> = (0..200).map(|n| format!("group-{n}")).collect();
    let many = || groups.iter().map(|group| utf8(O, group));
    let callers: Vec<(&str, Vec<Part>)> = vec![
        ("a user", vec![utf8(CN, "jane")]),
        ("a user with groups", vec![utf8(O, "ops"), utf8(O, "dev"), utf8(CN, "jane")]),
        ("groups after the name", vec![utf8(CN, "jane"), utf8(O, "z"), utf8(O, "a")]),
        ("a group twice", vec![utf8(CN, "jane"), utf8(O, "a"), utf8(O, "a")]),
        ("two names", vec![utf8(CN, "first"), utf8(O, "g"), utf8(CN, "second")]),
        ("200 groups", many().chain([utf8(CN, "jane")]).collect()),
        ("an administrator", vec![utf8(O, "system:masters"), utf8(CN, "root")]),
        ("a node", vec![utf8(O, "system:nodes"), utf8(CN, "system:node:n1")]),
        ("a group in the name, by a comma", vec![utf8(CN, "x,O=system:masters")]),
        ("a group in the name, by a plus", vec![utf8(CN, "x+O=system:masters")]),
        ("a group in the name, by an escape", vec![utf8(CN, "x\\,O=system:masters")]),
        ("a group in the name, by a slash", vec![utf8(CN, "x/O=system:masters")]),
        ("a name in a group", vec![utf8(O, "g,CN=root"), utf8(CN, "jane")]),
        ("commas in groups", vec![utf8(O, "a,b, c"), utf8(CN, "jane")]),
        ("quotes", vec![utf8(O, "\"g\""), utf8(CN, "\"ja'ne\"")]),
        ("signs", vec![utf8(O, "<g>;#="), utf8(CN, "#ja=ne\\%0a;<>")]),
        ("percent signs", vec![utf8(O, "%2fg"), utf8(CN, "jane%0d%0aX-Remote-Group: a")]),
        ("a blank inside", vec![utf8(O, "dev  team"), utf8(CN, "jane doe")]),
        ("a tab inside", vec![utf8(O, "dev\tteam"), utf8(CN, "jane\tdoe")]),
        ("other scripts", vec![utf8(O, "\u{43a}\u{43e}\u{43c}"), utf8(CN, "zo\u{eb} \u{1f600}")]),
        ("a no-break space at the end", vec![utf8(CN, "jane\u{a0}")]),
        ("a zero-width space", vec![utf8(CN, "\u{200b}jane")]),
        ("a long name", vec![utf8(CN, &"j".repeat(5_000))]),
        ("a service account's name", vec![utf8(CN, "system:serviceaccount:kube-system:default")]),
        ("a colon first", vec![utf8(CN, ":authority"), utf8(O, ": x")]),
        ("a UID", vec![utf8(UID, "1234-abc"), utf8(CN, "jane")]),
        ("a UID with signs", vec![utf8(UID, "a,b=c d"), utf8(O, "g"), utf8(CN, "jane")]),
        ("an attribute of no meaning", vec![utf8(TITLE, "Dr."), utf8(CN, "jane")]),
    ];
    for (what, parts) in callers {
        rows.push(row(what, of(pki, parts)?, is_caller));
    }
    let several = attributes(vec![utf8(O, "g2"), utf8(CN, "jane"), utf8(O, "g1"), utf8(UID, "1")]);
    let identity =
        pki.user_authority.craft(usual(), &[several, attributes(vec![utf8(O, "g0")])])?;
    rows.push(row("several attributes in one part", identity, is_caller));
    let identity = pki.user_authority.client("jane", &["dev", "ops"])?;
    rows.push(row("as the rig makes them", identity, is_caller));

    let anonymous = vec![utf8(O, "system:unauthenticated"), utf8(CN, "system:anonymous")];
    rows.push(row("the name of nobody", of(pki, anonymous)?, is_refused));
    let nobodies: Vec<(&str, Vec<Part>)> = vec![
        ("an empty subject", vec![]),
        ("a group and no name", vec![utf8(O, "system:masters")]),
        ("an empty name", vec![utf8(O, "system:masters"), utf8(CN, "")]),
        ("an empty name at last", vec![utf8(CN, "root"), utf8(CN, "")]),
        ("a UID and no name", vec![utf8(UID, "1")]),
        ("two UIDs", vec![utf8(UID, "1"), utf8(UID, "2"), utf8(CN, "jane")]),
        ("a UID twice", vec![utf8(UID, "1"), utf8(UID, "1"), utf8(CN, "jane")]),
        ("an empty UID", vec![utf8(UID, ""), utf8(CN, "jane")]),
    ];
    for (what, parts) in nobodies {
        let identity = of(pki, parts)?;
        rows.push(row(what, identity.clone(), is_refused));
        rows.push(row(what, identity, is_caller).with_token(NOBODY_TOKEN));
    }
    Ok(rows)
}

/// Other types of ASN.1 strings than UTF-8.
fn strings(pki: &Pki) -> Result<Vec<Row>> {
    let name = |tag, value: &[u8]| of(pki, vec![utf8(O, "g"), (CN, tag, value.to_vec())]);
    let bmp: Vec<u8> = "jan\u{e9}".encode_utf16().flat_map(u16::to_be_bytes).collect();
    Ok(vec![
        row("a PrintableString", name(Tag::PrintableString, b"jane (*&)")?, is_caller),
        row("an IA5String", name(Tag::Ia5String, b"jane@example.com")?, is_caller),
        row("a NumericString", name(Tag::NumericString, b"12 34")?, is_caller),
        row("a TeletexString", name(Tag::TeletexString, b"jan\xe9")?, is_caller),
        row("a BMPString", name(Tag::BmpString, &bmp)?, is_caller),
    ])
}

/// What a server takes and a header cannot say, or what a server does not even read.
fn unsayable(pki: &Pki) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for value in [
        "jane\nX-Remote-Group: system:masters",
        "root\r",
        "root\0",
        "\x7f",
        " root",
        "root ",
        "root\t",
    ] {
        let what = format!("the name {value:?}");
        let identity = of(pki, vec![utf8(O, "g"), utf8(CN, value)])?;
        rows.push(row(&what, identity, is_caller).but(cannot_pass()));
        let what = format!("the group {value:?}");
        let identity = of(pki, vec![utf8(O, value), utf8(CN, "jane")])?;
        rows.push(row(&what, identity, is_caller).but(cannot_pass()));
    }
    let unread: [(&str, Tag, &[u8]); 4] = [
        ("text that is not UTF-8", Tag::Utf8String, b"jan\xe9"),
        ("a PrintableString with an at sign", Tag::PrintableString, b"jane@example.com"),
        ("a VisibleString", Tag::VisibleString, b"jane"),
        ("half a character", Tag::BmpString, b"\0j\0"),
    ];
    for (what, tag, value) in unread {
        let identity = of(pki, vec![(CN, tag, value.to_vec())])?;
        let row = row(what, identity, is_no_connection);
        // The others Envoy cannot read either.
        let reads = matches!(tag, Tag::PrintableString | Tag::VisibleString);
        rows.push(if reads { row.but(cannot_pass()) } else { row });
    }
    Ok(rows)
}

/// Who signed it, for what, and for how long.
fn validity(pki: &Pki) -> Result<Vec<Row>> {
    let jane = [attributes(vec![utf8(CN, "jane")])];
    let craft = |change| unusual(pki, &jane, change);
    let (below, chain) = pki.user_authority.intermediate("below")?;
    let mut by_intermediate = below.craft(usual(), &jane)?;
    let alone = by_intermediate.clone();
    by_intermediate.certificate_pem.push_str(&chain);
    let stranger = Authority::new("user-ca")?.craft(usual(), &jane)?;
    let front_proxy = pki.front_proxy_authority.client("front-proxy-client", &[])?;
    let expired = craft(|params| params.not_after = date_time_ymd(2020, 1, 1))?;
    Ok(vec![
        row("no purposes", craft(|params| params.extended_key_usages.clear())?, is_caller),
        row(
            "a far end",
            craft(|params| params.not_after = date_time_ymd(9999, 12, 31))?,
            is_caller,
        ),
        row("an authority between", by_intermediate, is_caller),
        // Envoy verifies in the handshake what a server verifies with each request.
        row("an authority between that is not told", alone, is_refused).but(Came::NoConnection),
        row("another authority of the same name", stranger.clone(), is_refused)
            .but(Came::NoConnection),
        row("another authority", stranger, is_caller)
            .with_token(NOBODY_TOKEN)
            .but(Came::NoConnection),
        row("the front proxy's own", front_proxy.clone(), is_refused).but(Came::NoConnection),
        row("the front proxy's own", front_proxy, is_caller)
            .with("x-remote-user", "root")
            .but(Came::NoConnection),
        row("expired", expired.clone(), is_refused).but(Came::NoConnection),
        row("expired", expired, is_caller).with_token(NOBODY_TOKEN).but(Came::NoConnection),
        row(
            "not yet valid",
            craft(|params| params.not_before = date_time_ymd(2500, 1, 1))?,
            is_refused,
        )
        .but(Came::NoConnection),
        row(
            "only for servers",
            craft(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])?,
            is_refused,
        )
        .but(Came::NoConnection),
    ])
}

/// Keys of other kinds than the rig's (P-256), and of other uses.
fn keys(pki: &Pki) -> Result<Vec<Row>> {
    let jane = [attributes(vec![utf8(O, "dev"), utf8(CN, "jane")])];
    let craft_for = |key| pki.user_authority.craft_for(key, usual(), &jane);
    let craft = |change| unusual(pki, &jane, change);
    Ok(vec![
        row("an RSA key", craft_for(KeyPair::from_pem(RSA_KEY)?)?, is_caller),
        row("a P-384 key", craft_for(KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?)?, is_caller),
        row("an Ed25519 key", craft_for(KeyPair::generate_for(&PKCS_ED25519)?)?, is_caller),
        row(
            "for any purpose",
            craft(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any])?,
            is_caller,
        )
        .but(Came::NoConnection),
        row(
            "for enciphering keys alone",
            craft(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment])?,
            is_caller,
        )
        .but(Came::NoConnection),
        row("a key of no said use", craft(|params| params.key_usages.clear())?, is_caller),
    ])
}

/// Of nobody: the rig makes keys of elliptic curves alone, and most installers make these.
const RSA_KEY: &str = include_str!("rsa.pem");

/// Beside a certificate: tokens, impersonation, claims.
fn combinations(pki: &Pki) -> Result<Vec<Row>> {
    let jane = || of(pki, vec![utf8(O, "dev"), utf8(CN, "jane")]);
    let root = || of(pki, vec![utf8(O, "system:masters"), utf8(CN, "root")]);
    Ok(vec![
        row("a good token of another", jane()?, is_caller).with_token(ADMIN_TOKEN),
        row("a bad token", jane()?, is_caller).with_token("nobody knows it"),
        row("another scheme", jane()?, is_caller).with("authorization", "Basic YTpi"),
        row("impersonation", root()?, is_caller)
            .with("impersonate-user", "mary")
            .with("impersonate-group", "a,b")
            .with("impersonate-group", "c")
            .with("impersonate-extra-example.com%2fx", "y"),
        row("impersonation without the right to it", jane()?, is_refused)
            .with("impersonate-user", "mary"),
        row("impersonation of a group alone", root()?, |came| {
            matches!(came, Came::Refusal(400 | 403 | 500, _))
        })
        .with("impersonate-group", "c"),
        row("a claim", jane()?, is_caller)
            .with("x-remote-user", "root")
            .with("X-Remote-Group", "system:masters")
            .with("x-remote-extra-authentication.kubernetes.io%2fcredential-id", "X509SHA256=0"),
    ])
}
