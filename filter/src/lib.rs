//! The proxy-wasm module: one `.wasm`, three roles told apart by configuration.
//!
//! ```text
//! router    on the traffic listener: path -> peerway_core::decide -> header edits
//! witness   on the `peers` clusters, each attempt: small 404 -> peerway_core::testimony -> pass or ask the next
//! fetcher   on a loopback listener: tick, answers -> peerway_core::poll -> questions, shared data
//! ```
//!
//! Shims only: what is decided is decided in `peerway_core`; `host` is the one file that calls the
//! host. A panic here resets every stream of its VM, so nothing unwraps.

mod fetcher;
mod host;
mod replaced;
mod router;
mod shared;
mod test_switch;
mod witness;

use std::rc::Rc;

use peerway_core::config::Config;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

/// Private, since the SDK's macro writes an exported function without a doc comment.
mod entry {
    use super::{Plugin, Role};

    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(Plugin(Role::Unconfigured)));
    }}
}

/// A plugin of the module, in the role that its configuration gave it.
struct Plugin(Role);

enum Role {
    Unconfigured,
    Router(Rc<router::Router>),
    Witness(Rc<witness::Witness>),
    Fetcher(Box<fetcher::Fetcher>),
}

impl Context for Plugin {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_bytes: usize, _: usize) {
        if let Role::Fetcher(fetcher) = &mut self.0 {
            fetcher.on_answer(token, headers > 0, body_bytes);
        }
    }
}

impl RootContext for Plugin {
    /// Refuses a configuration that cannot be read: Envoy then keeps the plugin that it has.
    fn on_configure(&mut self, _: usize) -> bool {
        let bytes = host::plugin_configuration().unwrap_or_default();
        self.0 = match Config::from_json(&bytes) {
            Ok(Config::Router(config)) => Role::Router(Rc::new(router::Router::new(config))),
            Ok(Config::Witness) => Role::Witness(Rc::new(witness::Witness::new())),
            Ok(Config::Fetcher(config)) => Role::Fetcher(Box::new(fetcher::Fetcher::new(config))),
            Err(error) => {
                host::log(host::Level::Error, &error.to_string());
                return false;
            }
        };
        true
    }

    fn on_tick(&mut self) {
        match &mut self.0 {
            Role::Router(router) => router.on_tick(),
            Role::Fetcher(fetcher) => fetcher.on_tick(),
            Role::Unconfigured | Role::Witness(_) => {}
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        match &self.0 {
            Role::Unconfigured => None,
            Role::Router(router) => Some(Box::new(router::Request::new(Rc::clone(router)))),
            Role::Witness(witness) => Some(Box::new(witness::Attempt::new(Rc::clone(witness)))),
            Role::Fetcher(fetcher) => Some(Box::new(fetcher.question())),
        }
    }
}
