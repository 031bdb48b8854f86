//! A TCP relay before a server: by it a network goes bad, without the server's knowing and without
//! root's rights. It can swallow what passes, so that packets go nowhere, and lead elsewhere.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::process::free_port;
use crate::simulated::BlackHole;

/// A relay on a port of its own. All connections through it end when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    road: watch::Sender<Road>,
    /// Of connections that were made before, to be closed.
    cut: watch::Sender<u64>,
    door: AsyncMutex<Door>,
    connections: Arc<Mutex<JoinSet<()>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Road {
    target: SocketAddr,
    is_open: bool,
}

#[derive(Debug)]
enum Door {
    Open(JoinHandle<()>),
    Gone(#[expect(dead_code, reason = "held, not asked")] BlackHole),
    Nowhere,
}

impl Relay {
    /// To `target`, from a free port of 127.0.0.1.
    pub async fn to(target: SocketAddr) -> Result<Self> {
        let relay = Self {
            address: SocketAddr::from(([127, 0, 0, 1], free_port()?)),
            road: watch::Sender::new(Road { target, is_open: true }),
            cut: watch::Sender::new(0),
            door: AsyncMutex::new(Door::Nowhere),
            connections: Arc::default(),
        };
        relay.open(&mut *relay.door.lock().await)?;
        Ok(relay)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on no byte passes, in neither direction, and new connections are neither made nor
    /// refused, as when the machine behind it lost its network.
    pub async fn swallow(&self) -> Result<()> {
        let mut door = self.door.lock().await;
        self.road.send_modify(|road| road.is_open = false);
        if let Door::Open(accepting) = std::mem::replace(&mut *door, Door::Nowhere) {
            accepting.abort();
            // Its end closes the port.
            let _ = accepting.await;
        }
        *door = Door::Gone(BlackHole::on_port(self.address.port()).await?);
        Ok(())
    }

    /// Everything passes again, also what was swallowed: the network would send it once more.
    pub async fn pass(&self) -> Result<()> {
        let mut door = self.door.lock().await;
        if let Door::Gone(_) = *door {
            *door = Door::Nowhere;
            self.open(&mut door)?;
        }
        self.road.send_modify(|road| road.is_open = true);
        Ok(())
    }

    /// Ends all connections and leads those to come to another server, in the same moment.
    pub fn lead_to(&self, target: SocketAddr) {
        self.road.send_modify(|road| road.target = target);
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    fn open(&self, door: &mut Door) -> Result<()> {
        let listen = || {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(self.address)?;
            socket.listen(BACKLOG)
        };
        let listener = listen().with_context(|| format!("cannot relay from {}", self.address))?;
        let (road, cut) = (self.road.subscribe(), self.cut.subscribe());
        let connections = Arc::clone(&self.connections);
        *door = Door::Open(tokio::spawn(accept(listener, road, cut, connections)));
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Door::Open(accepting) = self.door.get_mut() {
            accepting.abort();
        }
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

async fn accept(
    listener: TcpListener,
    road: watch::Receiver<Road>,
    cut: watch::Receiver<u64>,
    connections: Arc<Mutex<JoinSet<()>>>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (road, mut cut) = (road.clone(), cut.clone());
        cut.mark_unchanged();
        let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            tokio::select! {
                _ = relay(stream, road) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn relay(near: TcpStream, road: watch::Receiver<Road>) -> Result<()> {
    let target = road.borrow().target;
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let there = carry(near_read, far_write, road.clone());
    let back = carry(far_read, near_write, road);
    tokio::try_join!(there, back)?;
    Ok(())
}

/// What was read and cannot pass waits here. An end, too, is news that does not pass.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut road: watch::Receiver<Road>,
) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await;
        road.wait_for(|road| road.is_open).await?;
        match read? {
            0 => return Ok(to.shutdown().await?),
            length => to.write_all(buffer.get(..length).unwrap_or_default()).await?,
        }
    }
}

/// More than any balancer opens at once.
const BACKLOG: u32 = 1024;
const BUFFER_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Answers each byte with its own name.
    async fn server(name: u8) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while stream.read_u8().await.is_ok() && stream.write_u8(name).await.is_ok() {}
                });
            }
        });
        address
    }

    async fn ask(stream: &mut TcpStream) -> std::io::Result<u8> {
        stream.write_u8(0).await?;
        stream.read_u8().await
    }

    async fn hangs<T>(work: impl Future<Output = T>) -> bool {
        tokio::time::timeout(Duration::from_millis(300), work).await.is_err()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_swallowed_comes_late_and_another_road_ends_the_old_one() {
        let relay = Relay::to(server(b'a').await).await.unwrap();
        let mut old = TcpStream::connect(relay.address()).await.unwrap();
        assert_eq!(ask(&mut old).await.unwrap(), b'a');

        relay.swallow().await.unwrap();
        old.write_u8(0).await.unwrap();
        assert!(hangs(old.read_u8()).await);
        assert!(hangs(TcpStream::connect(relay.address())).await);
        relay.pass().await.unwrap();
        assert_eq!(old.read_u8().await.unwrap(), b'a');

        relay.lead_to(server(b'b').await);
        assert!(ask(&mut old).await.is_err());
        let mut new = TcpStream::connect(relay.address()).await.unwrap();
        assert_eq!(ask(&mut new).await.unwrap(), b'b');
    }
}
