//! Envoy in front of servers, as users run it: a control-plane file through `peerway render` into a
//! real Envoy with the real module; or the same configuration with Peerway taken out, to compare.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Client, Protocol};
use crate::control_plane::{ControlPlane, FETCHER_TOKEN};
use crate::envoy::Envoy;
use crate::module::Module;
use crate::pki::{Identity, IdentityFiles, Pki};
use crate::process::{free_port, log_tail, wait_until};

mod hosts;
mod plain;
mod rival;

/// What a balancer shall be.
#[derive(Debug, Clone)]
pub struct Builder {
    servers: Vec<(String, String)>,
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
    folder: Option<PathBuf>,
    module: Module,
    plain: bool,
    filter: Option<Value>,
    token: String,
    workers: u32,
    /// Whose certificates clients may show, and the front proxy's own.
    clients: Option<(PathBuf, IdentityFiles)>,
    settings: Value,
    fetcher_settings: Value,
    replaceable: bool,
    /// Texts in `envoy.yaml`, and what is to stand there instead.
    replaced: Vec<(&'static str, &'static str)>,
}

/// A running Envoy before some servers. It ends when this is dropped.
#[derive(Debug)]
pub struct Balancer {
    envoy: Envoy,
    listen: SocketAddr,
    fetcher: SocketAddr,
    admin: SocketAddr,
    trusted_pem: String,
    folder: PathBuf,
    builder: Builder,
    /// Removed with the balancer.
    _temporary: Option<TempDir>,
}

impl Builder {
    /// Peerway before the servers of a control plane, with everything as `peerway render` defaults it
    /// but `affinity` and `debug`.
    pub fn before(plane: &ControlPlane) -> Self {
        let servers = plane.servers();
        let owned = |(name, address): (&str, &str)| (name.to_owned(), address.to_owned());
        Self::of(servers.into_iter().map(owned).collect(), plane.pki())
    }

    /// Peerway before servers (name, address) whose certificates come from `pki`.
    pub fn of(servers: Vec<(String, String)>, pki: &Pki) -> Self {
        Self {
            servers,
            certificate: pki.server.certificate.clone(),
            key: pki.server.key.clone(),
            ca: pki.serving_ca.clone(),
            folder: None,
            module: Module::Shipped,
            plain: false,
            filter: None,
            token: FETCHER_TOKEN.to_owned(),
            workers: 2,
            clients: None,
            // In turns, so that one client of a test meets every server.
            settings: json!({"debug": true, "affinity": "none"}),
            fetcher_settings: json!({}),
            replaceable: false,
            replaced: Vec::new(),
        }
    }

    /// Keeps all files in `folder`. Else they lie in a temporary one.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// The same configuration with Peerway taken out: plain round robin.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Plain, and this HTTP filter where Peerway's would be: what another filter costs.
    #[must_use]
    pub fn plain_with(mut self, filter: Value) -> Self {
        self.filter = Some(filter);
        self.plain()
    }

    /// Runs this build of the module.
    #[must_use]
    pub fn module(mut self, module: Module) -> Self {
        self.module = module;
        self
    }

    /// Number of Envoy's workers; 2 when unset.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// The fetcher's token. With one that no server knows there is never a map.
    #[must_use]
    pub fn fetcher_token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    /// Sets a field of the control-plane file, such as `staleAfter`; null takes it out.
    #[must_use]
    pub fn setting(mut self, field: &str, value: Value) -> Self {
        if let Some(fields) = self.settings.as_object_mut() {
            fields.insert(field.to_owned(), value);
        }
        self
    }

    /// As a control-plane file has it that says no more than it must: what the harness sets for its
    /// own sake, such as an access log, is taken out.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.settings = json!({"accessLog": null});
        self
    }

    /// Sets a field of its `fetcher` section, such as `pollInterval`; null takes it out.
    #[must_use]
    pub fn fetcher_setting(mut self, field: &str, value: Value) -> Self {
        if let Some(fields) = self.fetcher_settings.as_object_mut() {
            fields.insert(field.to_owned(), value);
        }
        self
    }

    /// Waits for an answer of a server longer than by default: none is taken for late because the
    /// machine is busy. For tests about servers that serve, or that are gone altogether.
    #[must_use]
    pub fn patient(self) -> Self {
        self.fetcher_setting("probeTimeout", json!("30s"))
    }

    /// Writes something else into the rendered configuration, wherever `text` stands: what takes
    /// minutes there is to take seconds in a test.
    #[must_use]
    pub fn replacing(mut self, text: &'static str, with: &'static str) -> Self {
        self.replaced.push((text, with));
        self
    }

    /// Lets it be given another configuration while it runs.
    #[must_use]
    pub fn replaceable(mut self) -> Self {
        self.replaceable = true;
        self
    }

    /// Takes clients' certificates, and tells the servers of them, by the authorities of `pki`.
    #[must_use]
    pub fn identity(mut self, pki: &Pki) -> Self {
        self.clients = Some((pki.user_ca.certificate.clone(), pki.front_proxy.clone()));
        self
    }

    /// Renders, and starts Envoy. Returns when it serves; a map may not be there yet.
    pub async fn start(self) -> Result<Balancer> {
        let temporary = match &self.folder {
            Some(folder) => {
                std::fs::create_dir_all(folder).context("cannot make the balancer's folder")?;
                None
            }
            None => Some(TempDir::with_prefix("peerway-balancer-")?),
        };
        let folder = self.folder.clone().or(temporary.as_ref().map(|dir| dir.path().to_owned()));
        let folder = folder.context("no folder for the balancer")?;
        let [listen, fetcher, admin] = [free_port()?, free_port()?, free_port()?]
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let trusted_pem = std::fs::read_to_string(&self.ca).context("cannot read the CA")?;
        self.write_token(&folder)?;
        self.render(&folder, [listen, fetcher, admin])?;
        let envoy = if self.replaceable {
            Envoy::start_replaceable(&folder, admin, self.workers).await?
        } else {
            Envoy::start(&folder, admin, self.workers).await?
        };
        Ok(Balancer {
            envoy,
            listen,
            fetcher,
            admin,
            trusted_pem,
            folder,
            builder: self,
            _temporary: temporary,
        })
    }

    fn render(&self, folder: &Path, addresses: [SocketAddr; 3]) -> Result<()> {
        let file = self.control_plane_file(folder, addresses)?;
        let control_plane = envoy_config::ControlPlane::from_yaml(&file).map_err(|problems| {
            anyhow::anyhow!("the harness wrote a wrong control-plane file: {problems}\n{file}")
        })?;
        envoy_config::render(&control_plane).write(folder)?;
        if self.plain {
            plain::without_peerway(&folder.join("envoy.yaml"))?;
        }
        for (text, with) in &self.replaced {
            let place = folder.join("envoy.yaml");
            let rendered = std::fs::read_to_string(&place).context("cannot read envoy.yaml")?;
            ensure!(rendered.contains(text), "{text:?} is not in envoy.yaml");
            std::fs::write(&place, rendered.replace(text, with)).context("cannot change it")?;
        }
        if let Some(filter) = &self.filter {
            rival::insert(&folder.join("envoy.yaml"), filter)?;
        }
        Ok(())
    }

    /// By a rename, which is what Envoy notices.
    fn write_token(&self, folder: &Path) -> Result<()> {
        let new = folder.join("fetcher-token.new");
        std::fs::write(&new, &self.token).context("cannot write the fetcher's token")?;
        let token = folder.join("fetcher-token");
        std::fs::rename(new, token).context("cannot replace the fetcher's token")
    }

    fn control_plane_file(
        &self,
        folder: &Path,
        [listen, fetcher, admin]: [SocketAddr; 3],
    ) -> Result<String> {
        let token = folder.join("fetcher-token");
        let server = |(name, address): &(String, String)| json!({"name": name, "address": address});
        let mut file = json!({
            "version": "v1alpha1",
            "listen": {
                "address": listen,
                "certificate": self.certificate,
                "key": self.key,
                "clientCa": self.clients.as_ref().map(|(ca, _)| ca),
            },
            "frontProxy": self.clients.as_ref().map(|(_, pair)| {
                json!({"certificate": pair.certificate, "key": pair.key})
            }),
            "servers": self.servers.iter().map(server).collect::<Vec<_>>(),
            "serversTls": {"ca": self.ca},
            "fetcher": {"tokenFile": token, "listen": fetcher},
            "wasm": self.module.build()?,
            "admin": admin,
            "accessLog": folder.join("access.log"),
        });
        if let (Some(file), Some(settings)) = (file.as_object_mut(), self.settings.as_object()) {
            file.extend(settings.clone());
            file.retain(|_, value| !value.is_null());
        }
        let fetcher = file.get_mut("fetcher").and_then(Value::as_object_mut);
        if let (Some(fetcher), Some(settings)) = (fetcher, self.fetcher_settings.as_object()) {
            fetcher.extend(settings.clone());
            fetcher.retain(|_, value| !value.is_null());
        }
        Ok(serde_json::to_string_pretty(&file)?)
    }
}

impl Balancer {
    /// Where clients go.
    pub fn url(&self) -> String {
        format!("https://{}", self.listen)
    }

    /// The same without the scheme.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// A client of it.
    pub fn client(&self, token: &str, protocol: Protocol) -> Result<Client> {
        Ok(Client::new(self.listen, &self.trusted_pem, protocol)?.with_token(token))
    }

    /// A client of it that shows a certificate and sends no token.
    pub fn client_with(&self, identity: &Identity, protocol: Protocol) -> Result<Client> {
        Client::with_certificate(self.listen, &self.trusted_pem, protocol, identity)
    }

    /// A client of it that says nothing about itself.
    pub fn stranger(&self, protocol: Protocol) -> Result<Client> {
        Client::new(self.listen, &self.trusted_pem, protocol)
    }

    /// A client of the loopback listener.
    pub fn fetcher(&self) -> Result<Client> {
        Client::plain(self.fetcher, Protocol::Http1)
    }

    /// The process behind it.
    pub fn envoy(&mut self) -> &mut Envoy {
        &mut self.envoy
    }

    /// What certificates Envoy has, as its admin interface tells.
    pub async fn certificates(&self) -> Result<Value> {
        self.envoy.admin(Method::GET, "/certs").await?.json()
    }

    /// The folder with the rendered configuration and the logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `/map` says.
    pub async fn map(&self) -> Result<Value> {
        self.fetcher()?.get("/map").await?.json()
    }

    /// Waits until `/map` fulfils a condition.
    pub async fn wait_for_map(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Result<()> {
        let holds = async || self.map().await.is_ok_and(|map| condition(&map));
        wait_until(what, MAP_LIMIT, holds).await?;
        workers_have_the_map().await;
        Ok(())
    }

    /// Waits until every server is confirmed.
    pub async fn all_confirmed(&self) -> Result<()> {
        self.wait_for_map("every server is confirmed", |map| {
            let servers = map["servers"].as_array();
            servers.is_some_and(|servers| servers.iter().all(|s| s["state"] == "confirmed"))
        })
        .await
    }

    /// Waits until a server has a state.
    pub async fn server_is(&self, name: &str, state: &str) -> Result<()> {
        self.wait_for_map(&format!("{name} is {state}"), |map| {
            let servers = map["servers"].as_array().into_iter().flatten();
            servers.filter(|server| server["name"] == name).any(|server| server["state"] == state)
        })
        .await
    }

    /// Gives the fetcher another token.
    pub fn set_fetcher_token(&mut self, token: &str) -> Result<()> {
        token.clone_into(&mut self.builder.token);
        self.builder.write_token(&self.folder)
    }

    /// Sets a field of the control-plane file, renders again, and has another Envoy take over from
    /// the one that runs (a hot restart). Returns when that one has drained and ended. The balancer
    /// must be `replaceable`.
    pub async fn reconfigure(&mut self, field: &str, value: Value) -> Result<()> {
        self.builder = self.builder.clone().setting(field, value);
        self.builder.render(&self.folder, [self.listen, self.fetcher, self.admin])?;
        self.envoy.replace(&self.folder, self.builder.workers).await
    }

    /// Peerway's own counters, without Envoy's prefix.
    pub async fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let prefix = "wasmcustom.";
        let stats = self.envoy.stats(&format!("{prefix}peerway_")).await?;
        let bare = |(name, value): (String, u64)| (name.replacen(prefix, "", 1), value);
        Ok(stats.into_iter().map(bare).collect())
    }

    /// The file of the access log, a JSON object a line. Envoy writes it with a delay.
    pub fn access_log_file(&self) -> PathBuf {
        self.folder.join("access.log")
    }

    /// The access log so far, a JSON object a request.
    pub fn access_log(&self) -> Result<Vec<Value>> {
        let log = std::fs::read_to_string(self.access_log_file()).unwrap_or_default();
        let line = |line| serde_json::from_str(line).context("a line of the access log is no JSON");
        log.lines().map(line).collect()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Some(temporary) = &mut self._temporary {
                temporary.disable_cleanup(true);
            }
            tell(&log_tail(&self.folder.join("envoy.log")));
            tell(&format!("the balancer's files are kept in {}", self.folder.display()));
        }
    }
}

#[expect(clippy::print_stderr, reason = "what a test runner shows with the failed test alone")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// Returns when every worker decides by the map that was published last. A worker takes it on its own
/// tick, every 50 ms, and nothing shows from outside that it did.
pub async fn workers_have_the_map() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// A server that comes back is read within a poll interval and the time of its own start.
const MAP_LIMIT: Duration = Duration::from_secs(20);
