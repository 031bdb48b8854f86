//! The configured servers, and sets of them.

use std::fmt;

/// Most servers of one control plane: a set of them is one machine word.
pub const MAX_SERVERS: usize = 64;

/// One configured kube-apiserver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name for people: in `/map`, in logs.
    pub name: String,
    /// `ip:port`, as Envoy knows the endpoint.
    pub address: String,
}

/// A server by its place in the configuration, below [`MAX_SERVERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerId(u8);

impl ServerId {
    /// The place in the list of configured servers.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of configured servers.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerSet(u64);

impl ServerSet {
    /// No server.
    pub const EMPTY: Self = Self(0);

    /// The first `count` servers; more than [`MAX_SERVERS`] count as that many.
    pub fn first(count: usize) -> Self {
        match u32::try_from(count) {
            Ok(count) if count < u64::BITS => Self((1 << count) - 1),
            _ => Self(u64::MAX),
        }
    }

    /// From the word that [`Self::to_bits`] gave.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// One bit a server, the first configured one lowest.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Adds the server at `index`; beyond [`MAX_SERVERS`] nothing happens.
    pub fn insert(&mut self, index: usize) {
        if index < MAX_SERVERS {
            self.0 |= 1 << index;
        }
    }

    /// Whether the server at `index` is in.
    pub fn contains(self, index: usize) -> bool {
        index < MAX_SERVERS && self.0 & (1 << index) != 0
    }

    /// Whether none is in.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many are in.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Those in both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in either.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those in `self` and not in `other`.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Members in configured order.
    pub fn iter(self) -> impl Iterator<Item = ServerId> {
        (0..MAX_SERVERS as u8).map(ServerId).filter(move |id| self.contains(id.index()))
    }
}

impl FromIterator<usize> for ServerSet {
    fn from_iter<I: IntoIterator<Item = usize>>(indexes: I) -> Self {
        let mut set = Self::EMPTY;
        indexes.into_iter().for_each(|index| set.insert(index));
        set
    }
}

impl fmt::Debug for ServerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(ServerId::index)).finish()
    }
}
