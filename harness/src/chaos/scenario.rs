//! What is done to servers, and to what is between, as data.

use super::between::Before;
use super::stage::Way;

/// One thing that is done, or a time in which nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing, for so many shares of the scenario's time.
    Pause(u32),
    /// Nothing, for so many seconds.
    Seconds(u64),
    /// The server is ended as an operator would, and one of this version takes its place.
    Replace(&'static str, &'static str),
    /// `kill -9`, of a server or of etcd.
    Kill(&'static str),
    /// What was killed comes back.
    Start(&'static str),
    /// Stopped in its tracks (SIGSTOP).
    Freeze(&'static str),
    /// Goes on.
    Thaw(&'static str),
    /// Packets to and from it go nowhere.
    Vanish(&'static str),
    /// They pass again.
    Return(&'static str),
    /// From one moment to the next another server answers at its address.
    LeadTo(&'static str, &'static str),
    /// Something is wrong with it.
    Fault(&'static str, Trouble),
    /// Nothing is wrong with it any more.
    Heal(&'static str),
    /// From here on discovery may leave the new API out: it is that of a server of which the map says
    /// more than it says itself, or its only server does not list it. Those who go by discovery leave
    /// the API alone, as soon as they have finished what they have begun.
    Hide,
    /// From the next poll on it does not.
    Show,
    /// No server knows the fetcher's token any more.
    RefuseFetcher,
    /// They do again.
    AcceptFetcher,
    /// Envoy is given another configuration, by a hot restart.
    Reconfigure,
    /// A VM of the module panics, in each worker once.
    Panic(Role),
}

/// What can be wrong with a server that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// `/readyz` answers 503.
    NotReady,
    /// The fetcher is told 429.
    TooManyRequests,
    /// The fetcher is told 401.
    Unauthorized,
    /// Discovery takes three seconds.
    SlowDiscovery,
    /// It tells everybody that it has what another has.
    Lies,
    /// The fetcher is told that it has nothing.
    Shrinks,
    /// The fetcher is told what it had before it was upgraded.
    BackInTime,
}

/// Which of the module's roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads the servers.
    Fetcher,
    /// Decides for a request.
    Router,
    /// Weighs a server's 404.
    Witness,
}

/// What may be asked of a balancer meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Whoever is there goes on, and ends in order: nobody may notice.
    Graceful,
    /// A server, or the way to it, is suddenly gone: what it had in hand may be lost, reads are
    /// asked of another.
    Abrupt,
    /// The balancer itself stumbles: what it had in hand is lost.
    Stumble,
    /// No server can do anything. What they answer themselves is passed on.
    Outage,
}

/// A scenario.
#[derive(Debug)]
pub struct Scenario {
    /// For a command line.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Names and versions at its beginning.
    pub servers: [(&'static str, &'static str); 3],
    /// How it happens.
    pub manner: Manner,
    /// What is done, in order. It ends with everything as well as it will be.
    pub steps: &'static [Step],
}

/// The version without the new APIs.
pub const OLD: &str = "1.36.3";
/// The version with them.
pub const NEW: &str = "1.37.2";

const ALL_OLD: [(&str, &str); 3] = [("a", OLD), ("b", OLD), ("c", OLD)];
const ONE_NEW: [(&str, &str); 3] = [("a", OLD), ("b", OLD), ("c", NEW)];

use Manner::{Abrupt, Graceful, Outage, Stumble};
use Step::{
    AcceptFetcher, Fault, Freeze, Heal, Hide, Kill, LeadTo, Panic, Pause, Reconfigure,
    RefuseFetcher, Replace, Return, Seconds, Show, Start, Thaw, Vanish,
};

const fn scenario(
    name: &'static str,
    title: &'static str,
    servers: [(&'static str, &'static str); 3],
    manner: Manner,
    steps: &'static [Step],
) -> Scenario {
    Scenario { name, title, servers, manner, steps }
}

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    scenario(
        "upgrade",
        "rolling upgrade, one server after the other",
        ALL_OLD,
        Graceful,
        &[
            Pause(1),
            Replace("a", NEW),
            Pause(1),
            Replace("b", NEW),
            Pause(1),
            Replace("c", NEW),
            Pause(1),
        ],
    ),
    scenario(
        "roll-back",
        "an upgrade is rolled back half way",
        ALL_OLD,
        Graceful,
        &[
            Pause(1),
            Replace("a", NEW),
            Pause(1),
            Replace("b", NEW),
            Pause(1),
            Replace("b", OLD),
            Pause(1),
            Replace("a", OLD),
            Pause(1),
        ],
    ),
    scenario(
        "kill-only",
        "kill -9 of the server that alone has an API",
        ONE_NEW,
        Abrupt,
        &[Pause(1), Kill("c"), Pause(2), Start("c"), Pause(1)],
    ),
    scenario(
        "kill-other",
        "kill -9 of a server that has no API of its own",
        ONE_NEW,
        Abrupt,
        &[Pause(1), Kill("a"), Pause(2), Start("a"), Pause(1)],
    ),
    scenario(
        "freeze-only",
        "the server that alone has an API freezes",
        ONE_NEW,
        Abrupt,
        &[Pause(1), Freeze("c"), Pause(2), Thaw("c"), Pause(1)],
    ),
    scenario(
        "freeze-other",
        "a server that has no API of its own freezes",
        ONE_NEW,
        Abrupt,
        &[Pause(1), Freeze("b"), Pause(2), Thaw("b"), Pause(1)],
    ),
    scenario(
        "black-hole",
        "packets to a server go nowhere",
        ONE_NEW,
        Abrupt,
        &[Pause(1), Vanish("a"), Pause(2), Return("a"), Pause(1)],
    ),
    scenario(
        "gone",
        "a server is gone for good",
        ONE_NEW,
        Abrupt,
        &[Pause(1), Kill("b"), Pause(3)],
    ),
    scenario(
        "exchanged",
        "another version at the same address",
        ONE_NEW,
        Abrupt,
        &[
            Pause(1),
            LeadTo("a", "c"),
            Pause(1),
            Hide,
            LeadTo("c", "b"),
            Show,
            Pause(1),
            LeadTo("c", "c"),
            Pause(1),
            Hide,
            LeadTo("a", "a"),
            Show,
            Pause(1),
        ],
    ),
    scenario(
        "not-ready",
        "a server is up and not ready",
        ONE_NEW,
        Graceful,
        &[
            Pause(1),
            Fault("c", Trouble::NotReady),
            Pause(1),
            Heal("c"),
            Fault("a", Trouble::NotReady),
            Pause(1),
            Heal("a"),
            Pause(1),
        ],
    ),
    scenario(
        "refused",
        "a server refuses the fetcher alone",
        ONE_NEW,
        Graceful,
        &[
            Pause(1),
            Fault("c", Trouble::TooManyRequests),
            Pause(1),
            Fault("c", Trouble::Unauthorized),
            Pause(1),
            Heal("c"),
            Pause(1),
        ],
    ),
    scenario(
        "discovery",
        "discovery is slow, lies, shrinks, goes back in time",
        ONE_NEW,
        Graceful,
        &[
            Pause(1),
            Fault("a", Trouble::SlowDiscovery),
            Pause(1),
            Fault("a", Trouble::Lies),
            Pause(1),
            Hide,
            Heal("a"),
            Show,
            Fault("c", Trouble::Shrinks),
            Pause(1),
            Hide,
            Fault("c", Trouble::BackInTime),
            Pause(1),
            Heal("c"),
            Show,
            Pause(1),
        ],
    ),
    scenario(
        "credential",
        "no server knows the fetcher's token any more",
        ONE_NEW,
        Graceful,
        &[Pause(1), RefuseFetcher, Pause(2), AcceptFetcher, Pause(1)],
    ),
    scenario(
        "etcd",
        "etcd is away for 10 s",
        ONE_NEW,
        Outage,
        &[Pause(1), Kill("etcd"), Seconds(10), Start("etcd"), Pause(1)],
    ),
    scenario(
        "configuration",
        "Envoy is given another configuration",
        ONE_NEW,
        Graceful,
        &[Pause(1), Reconfigure, Pause(1)],
    ),
    scenario(
        "panic-fetcher",
        "the fetcher panics",
        ONE_NEW,
        Graceful,
        &[Pause(1), Panic(Role::Fetcher), Pause(1)],
    ),
    scenario(
        "panic-traffic",
        "routers and witnesses panic",
        ONE_NEW,
        Stumble,
        &[Pause(1), Panic(Role::Router), Pause(1), Panic(Role::Witness), Pause(1)],
    ),
];

impl Scenario {
    /// The scenario of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// What must stand between balancer and servers.
    pub fn before(&self) -> Before {
        let needs = |step: &Step| match step {
            Vanish(_) | Return(_) | LeadTo(..) => Some(Before::Relays),
            Fault(..) | Heal(_) => Some(Before::Fronts),
            _ => None,
        };
        self.steps.iter().find_map(needs).unwrap_or(Before::Nothing)
    }

    /// Whether it is about something that a balancer has: Peerway's own parts only Peerway has, and
    /// the built-in proxy stands where servers come and go as they are.
    pub fn concerns(&self, way: Way) -> bool {
        let of_peerway = |step: &Step| matches!(step, Panic(_) | RefuseFetcher | Fault(..));
        match way {
            Way::Peerway => true,
            Way::Plain => !self.steps.iter().any(of_peerway),
            Way::BuiltIn => self.before() == Before::Nothing && !self.steps.iter().any(of_peerway),
        }
    }

    /// Whether it needs a module that can be made to panic.
    pub fn panics(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Panic(_)))
    }

    /// How many shares its time has.
    pub(super) fn shares(&self) -> u32 {
        let shares = self.steps.iter().map(|step| match step {
            Pause(shares) => *shares,
            _ => 0,
        });
        shares.sum()
    }
}
