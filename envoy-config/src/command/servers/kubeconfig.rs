//! A kubeconfig -> the server of its current context, as kubectl would reach it.
//!
//! Knows tokens and client certificates, given as files or in the file; not the plugins and
//! password prompts of `exec` and the like.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::tls::RootCerts;

use super::live::{self, Live, Tls};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    contexts: Vec<Entry<Context>>,
    #[serde(default)]
    clusters: Vec<Entry<Cluster>>,
    #[serde(default)]
    users: Vec<Entry<User>>,
}

/// In each list, the value stands under a key of its own: `cluster`, `context`, `user`.
#[derive(Deserialize)]
struct Entry<T> {
    name: String,
    #[serde(alias = "cluster", alias = "context", alias = "user")]
    value: T,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    tls_server_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    exec: Option<serde_json::Value>,
    auth_provider: Option<serde_json::Value>,
    username: Option<String>,
}

/// For a server that is asked by hand.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The server of the current context. An error names the file and the place in it.
pub(crate) fn read(file: &Path) -> Result<Live, String> {
    let failed = |what: String| format!("{}: {what}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let parsed: File = serde_yaml_ng::from_str(&text)
        .map_err(|error| failed(format!("no kubeconfig: {error}")))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    parsed.current(folder).map_err(failed)
}

impl File {
    fn current(&self, folder: &Path) -> Result<Live, String> {
        if self.current_context.is_empty() {
            return Err("no current-context; `kubectl config use-context` sets it".to_owned());
        }
        let context = find(&self.contexts, &self.current_context, "contexts")?;
        let cluster = find(&self.clusters, &context.cluster, "clusters")?;
        let nobody = User::default();
        let user = match context.user.as_str() {
            "" => &nobody,
            name => find(&self.users, name, "users")?,
        };
        if user.exec.is_some() || user.auth_provider.is_some() || user.username.is_some() {
            return Err(format!(
                "users: {}: only a token or a client certificate can be used here",
                context.user
            ));
        }
        if cluster.tls_server_name.is_some() {
            return Err(format!(
                "clusters: {}: tls-server-name cannot be used here; a control-plane file can",
                context.cluster
            ));
        }
        Ok(Live {
            name: context.cluster.clone(),
            address: cluster.server.clone(),
            base: cluster.server.trim_end_matches('/').to_owned(),
            token: user.token(folder)?,
            agent: live::agent(cluster.tls(user, folder)?, TIMEOUT, None),
        })
    }
}

impl Cluster {
    fn tls(&self, user: &User, folder: &Path) -> Result<Tls, String> {
        let ca = bytes(
            ["certificate-authority", "certificate-authority-data"],
            [&self.certificate_authority, &self.certificate_authority_data],
            folder,
        )?;
        let roots = match ca {
            Some(pem) => live::roots(&pem, "certificate-authority")?,
            None => RootCerts::WebPki,
        };
        Ok(Tls { roots, own: user.certificate(folder)?, insecure: self.insecure_skip_tls_verify })
    }
}

impl User {
    fn token(&self, folder: &Path) -> Result<Option<String>, String> {
        match &self.token_file {
            Some(file) => live::read_token(&inside(folder, file).display().to_string()).map(Some),
            None => Ok(self.token.clone()),
        }
    }

    fn certificate(&self, folder: &Path) -> Result<Option<ureq::tls::ClientCert>, String> {
        let certificate = bytes(
            ["client-certificate", "client-certificate-data"],
            [&self.client_certificate, &self.client_certificate_data],
            folder,
        )?;
        let key = bytes(
            ["client-key", "client-key-data"],
            [&self.client_key, &self.client_key_data],
            folder,
        )?;
        match (certificate, key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                live::client_certificate(&certificate, &key, "client-certificate").map(Some)
            }
            _ => Err("client-certificate and client-key: one of them is missing".to_owned()),
        }
    }
}

fn find<'a, T>(entries: &'a [Entry<T>], name: &str, list: &str) -> Result<&'a T, String> {
    let found = entries.iter().find(|entry| entry.name == name);
    found.map(|entry| &entry.value).ok_or_else(|| format!("{list}: no {name:?} there"))
}

/// Of a file, or given as base64, which counts first.
fn bytes(
    names: [&str; 2],
    [path, data]: [&Option<String>; 2],
    folder: &Path,
) -> Result<Option<Vec<u8>>, String> {
    let [_, data_name] = names;
    match (path, data) {
        (_, Some(data)) => STANDARD
            .decode(data.trim())
            .map(Some)
            .map_err(|error| format!("{data_name}: not base64: {error}")),
        (Some(path), None) => live::read(&inside(folder, path).display().to_string()).map(Some),
        (None, None) => Ok(None),
    }
}

/// Relative paths start at the kubeconfig.
fn inside(folder: &Path, path: &str) -> PathBuf {
    folder.join(path)
}
