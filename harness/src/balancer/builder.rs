//! What a balancer shall be -> its files, by way of the control-plane file and the renderer that users
//! have.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Balancer, plain, rival};
use crate::control_plane::{ControlPlane, FETCHER_TOKEN};
use crate::envoy::Envoy;
use crate::module::Module;
use crate::pki::{IdentityFiles, Pki};
use crate::process::free_port;

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
    pub(super) token: String,
    pub(super) workers: u32,
    /// Whose certificates clients may show, and the front proxy's own.
    clients: Option<(PathBuf, IdentityFiles)>,
    settings: Value,
    fetcher_settings: Value,
    replaceable: bool,
    /// Texts in `envoy.yaml`, and what is to stand there instead.
    replaced: Vec<(&'static str, &'static str)>,
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

    pub(super) fn render(&self, folder: &Path, addresses: [SocketAddr; 3]) -> Result<()> {
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
    pub(super) fn write_token(&self, folder: &Path) -> Result<()> {
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
