//! An address at which nobody ever answers: connections to it are neither made nor refused, as when
//! the machine behind it lost its power.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A port whose queue of waiting connections is full, so that Linux drops every further SYN. It is
/// an ordinary port again when this is dropped.
#[derive(Debug)]
pub struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    /// On a free port of 127.0.0.1.
    pub async fn new() -> Result<Self> {
        Self::on_port(0).await
    }

    /// On this port of 127.0.0.1, which nobody may listen on.
    pub async fn on_port(port: u16) -> Result<Self> {
        let socket = TcpSocket::new_v4().context("cannot make a socket")?;
        socket.set_reuseaddr(true).context("cannot set SO_REUSEADDR")?;
        socket
            .bind(SocketAddr::from(([127, 0, 0, 1], port)))
            .with_context(|| format!("black hole: cannot bind port {port}"))?;
        let listener = socket.listen(0).context("black hole: cannot listen")?;
        let address = listener.local_addr().context("black hole: no address")?;
        let mut waiting = Vec::new();
        while waiting.len() < FULL_FOR_SURE {
            match tokio::time::timeout(UNANSWERED, TcpStream::connect(address)).await {
                Ok(connected) => waiting.push(connected.context("black hole: cannot fill")?),
                Err(_) => {
                    return Ok(Self { address, _listener: listener, _waiting: waiting });
                }
            }
        }
        bail!("black hole: {address} still takes connections after {FULL_FOR_SURE}")
    }

    /// The address to send somebody to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// On loopback a connection is made at once or not at all.
const UNANSWERED: Duration = Duration::from_millis(250);
/// Linux lets one more connection wait than the backlog says.
const FULL_FOR_SURE: usize = 8;
