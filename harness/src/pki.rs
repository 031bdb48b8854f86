//! The certificates and keys of one control plane, made anew for each rig and written as PEM files.
//!
//! Three authorities, because a kube-apiserver must not trust one for two things: one signs what
//! servers show, one signs users' client certificates, and one signs the front proxy's, whose
//! bearer may speak for any user. Nothing here outlives the rig's directory.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SigningKey, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, BitString, ObjectIdentifier, SetOfVec, Utf8StringRef};
use x509_cert::der::{Decode, Encode, EncodePem};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};

pub use x509_cert::der::Tag;

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority with a key of its own.
    pub fn new(common_name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("cannot make a key")?;
        let issuer = CertifiedIssuer::self_signed(params, key)
            .with_context(|| format!("cannot make the authority {common_name}"))?;
        Ok(Self { issuer })
    }

    /// The authority's own certificate, what others have to trust.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The same in DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// A certificate for a server known by `names` (DNS names or IP addresses).
    pub fn serving(&self, common_name: &str, names: &[&str]) -> Result<Identity> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let params = CertificateParams::new(names)
            .with_context(|| format!("certificate of {common_name}: bad name in its list"))?;
        let (certificate, key) =
            self.sign(params, common_name, ExtendedKeyUsagePurpose::ServerAuth)?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// A certificate for a server that was valid once.
    pub fn expired_serving(&self, common_name: &str, names: &[&str]) -> Result<Identity> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)
            .with_context(|| format!("certificate of {common_name}: bad name in its list"))?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        let (certificate, key) =
            self.sign(params, common_name, ExtendedKeyUsagePurpose::ServerAuth)?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// A client certificate. To Kubernetes the common name is the user and each organization a
    /// group.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Identity> {
        let (certificate, key) =
            self.sign(CertificateParams::default(), user, ExtendedKeyUsagePurpose::ClientAuth)?;
        let certificate_pem = self
            .sign_again_with_groups(&certificate, groups)
            .with_context(|| format!("cannot write the groups of {user} into a certificate"))?;
        Ok(Identity { certificate_pem, key_pem: key.serialize_pem() })
    }

    /// A client certificate with any subject and with any properties: `params` says the rest, and
    /// its own name does not count. For certificates that no well-meaning authority makes.
    pub fn craft(&self, params: CertificateParams, subject: &[Vec<Attribute>]) -> Result<Identity> {
        self.craft_for(KeyPair::generate().context("cannot make a key")?, params, subject)
    }

    /// The same for this key.
    pub fn craft_for(
        &self,
        key: KeyPair,
        params: CertificateParams,
        subject: &[Vec<Attribute>],
    ) -> Result<Identity> {
        let signed = params.signed_by(&key, &self.issuer).context("cannot sign")?;
        let mut name = RdnSequence::default();
        for part in subject {
            let attributes = part.iter().map(Attribute::encoded).collect::<Result<Vec<_>>>()?;
            name.0.push(RelativeDistinguishedName(SetOfVec::try_from(attributes)?));
        }
        let certificate_pem = self.sign_again(&signed, |subject| {
            *subject = name;
            Ok(())
        })?;
        Ok(Identity { certificate_pem, key_pem: key.serialize_pem() })
    }

    /// An authority below this one, and its certificate.
    pub fn intermediate(&self, common_name: &str) -> Result<(Self, String)> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().context("cannot make a key")?;
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer)
            .with_context(|| format!("cannot make the authority {common_name}"))?;
        let pem = issuer.pem();
        Ok((Self { issuer }, pem))
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        common_name: &str,
        purpose: ExtendedKeyUsagePurpose,
    ) -> Result<(rcgen::Certificate, KeyPair)> {
        params.distinguished_name = named(common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().context("cannot make a key")?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("cannot sign a certificate for {common_name}"))?;
        Ok((certificate, key))
    }

    /// rcgen's names hold one organization, so the others are added to what it made.
    fn sign_again_with_groups(
        &self,
        certificate: &rcgen::Certificate,
        groups: &[&str],
    ) -> Result<String> {
        self.sign_again(certificate, |subject| {
            for &group in groups {
                let value = Any::from(Utf8StringRef::new(group)?);
                let organization = AttributeTypeAndValue { oid: ORGANIZATION, value };
                subject.0.push(RelativeDistinguishedName(SetOfVec::try_from(vec![organization])?));
            }
            Ok(())
        })
    }

    fn sign_again(
        &self,
        certificate: &rcgen::Certificate,
        change: impl FnOnce(&mut RdnSequence) -> Result<()>,
    ) -> Result<String> {
        let mut certificate = x509_cert::Certificate::from_der(certificate.der())?;
        change(&mut certificate.tbs_certificate.subject)?;
        let signature = self.issuer.key().sign(&certificate.tbs_certificate.to_der()?)?;
        certificate.signature = BitString::from_bytes(&signature)?;
        Ok(certificate.to_pem(Default::default())?)
    }
}

/// One attribute of a subject, as raw as a certificate can hold it.
#[derive(Debug, Clone)]
pub struct Attribute {
    /// Its kind, such as `2.5.4.3`.
    pub oid: &'static str,
    /// The ASN.1 type of its value, such as `Utf8String`.
    pub tag: Tag,
    /// Its value.
    pub value: Vec<u8>,
}

impl Attribute {
    fn encoded(&self) -> Result<AttributeTypeAndValue> {
        let value = Any::new(self.tag, self.value.as_slice())?;
        Ok(AttributeTypeAndValue { oid: ObjectIdentifier::new(self.oid)?, value })
    }
}

/// A certificate and its private key, as PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate alone, without the authority's.
    pub certificate_pem: String,
    /// The private key, PKCS#8.
    pub key_pem: String,
}

impl Identity {
    /// Writes `<stem>.crt` and `<stem>.key` into `folder`.
    pub fn write(&self, folder: &Path, stem: &str) -> Result<IdentityFiles> {
        Ok(IdentityFiles {
            certificate: write(folder, &format!("{stem}.crt"), &self.certificate_pem)?,
            key: write(folder, &format!("{stem}.key"), &self.key_pem)?,
        })
    }
}

/// Where a certificate and its key lie.
#[derive(Debug, Clone)]
pub struct IdentityFiles {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// All of one control plane's certificates, in files, with the authorities to make more.
#[derive(Debug)]
pub struct Pki {
    /// Signs what servers show; also for a balancer in front of them.
    pub serving_authority: Authority,
    /// Its certificate (`serving-ca.crt`): what clients trust.
    pub serving_ca: PathBuf,
    /// Signs users' certificates, and what kube-controller-manager signs.
    pub user_authority: Authority,
    /// Its certificate and key (`user-ca.crt`, `user-ca.key`).
    pub user_ca: IdentityFiles,
    /// Signs the front proxy's certificate.
    pub front_proxy_authority: Authority,
    /// Its certificate (`front-proxy-ca.crt`).
    pub front_proxy_ca: PathBuf,
    /// The front proxy's client certificate, common name `front-proxy-client`.
    pub front_proxy: IdentityFiles,
    /// What every server shows; its names are `SERVER_NAMES`.
    pub server: IdentityFiles,
    /// The private key that signs service account tokens.
    pub service_account_key: PathBuf,
    /// The public key that verifies them.
    pub service_account_public_key: PathBuf,
}

impl Pki {
    /// Makes everything anew and writes it into `folder`, which is made when it is not there.
    pub fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let serving_authority = Authority::new("serving-ca")?;
        let user_authority = Authority::new("user-ca")?;
        let front_proxy_authority = Authority::new("front-proxy-ca")?;
        let front_proxy = front_proxy_authority.client("front-proxy-client", &[])?;
        let server = serving_authority.serving("kube-apiserver", &SERVER_NAMES)?;
        let service_account = KeyPair::generate().context("cannot make a key")?;
        let user_ca = Identity {
            certificate_pem: user_authority.pem(),
            key_pem: user_authority.issuer.key().serialize_pem(),
        };
        Ok(Self {
            serving_ca: write(folder, "serving-ca.crt", &serving_authority.pem())?,
            user_ca: user_ca.write(folder, "user-ca")?,
            front_proxy_ca: write(folder, "front-proxy-ca.crt", &front_proxy_authority.pem())?,
            front_proxy: front_proxy.write(folder, "front-proxy-client")?,
            server: server.write(folder, "server")?,
            service_account_key: write(
                folder,
                "service-account.key",
                &service_account.serialize_pem(),
            )?,
            service_account_public_key: write(
                folder,
                "service-account.pub",
                &service_account.public_key_pem(),
            )?,
            serving_authority,
            user_authority,
            front_proxy_authority,
        })
    }
}

/// The names by which a server of the rig, or a balancer in front of it, can be called.
pub const SERVER_NAMES: [&str; 4] =
    ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc"];

const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use x509_cert::der::DecodePem;

    use super::*;

    #[test]
    fn user_certificate_holds_every_group_in_order() {
        let authority = Authority::new("ca").unwrap();
        let user = authority.client("jane", &["dev", "ops", "system:nodes"]).unwrap();
        let certificate = x509_cert::Certificate::from_pem(&user.certificate_pem).unwrap();
        let subject = certificate.tbs_certificate.subject.to_string();
        assert_eq!(subject, "O=system:nodes,O=ops,O=dev,CN=jane");
    }
}
