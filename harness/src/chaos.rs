//! Servers, and what is between, come and go under a load of real clients; what the clients saw is
//! held against what etcd says happened.
//!
//! `Stage` is a control plane with a balancer before it, `Scenario` what is done to it, `load` who
//! asks it meanwhile, `Recorder` what they were answered, `history` etcd's own account, `check` the
//! two compared, `report` all of it for people.

mod between;
mod bounds;
mod check;
mod history;
mod load;
mod play;
mod record;
pub mod report;
mod scenario;
mod servers_of;
mod stage;
mod timeline;

pub use between::Before;
pub use check::Damage;
pub use load::{Load, Traffic};
pub use record::{Class, Condition, Kind, Mark, Recorder, Seen};
pub use scenario::{Manner, NEW, OLD, Role, SCENARIOS, Scenario, Step, Trouble};
pub use stage::{Outcome, Plan, Stage, Way};
