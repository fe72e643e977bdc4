//! Who talks to which backend session, and for how long.
//!
//! `intake` decides in memory what an inbound means; the `manager` holds one slot for each conversation that has work or a live
//! session, and its `lines` take what waits out of the store. A `turn` runs one prompt; its one writer (`reply`) turns the agent's events into Slack operations. What a
//! message means is decided in `rules`, what people read stands in `words`.

mod approvals;
mod attempts;
mod belated;
mod channels;
mod closing;
mod closures;
mod commands;
pub mod config;
mod conversation;
mod crashes;
mod dead_letters;
mod ending;
mod files;
mod history;
mod holds;
mod intake;
mod interrupted;
mod limits;
mod lines;
mod live;
mod manager;
mod marks;
mod outlived;
pub mod policy;
mod pool;
mod reaper;
mod relocation;
mod reply;
mod roster;
mod rules;
mod slots;
mod tools;
mod turn;
mod way_in;
mod words;

pub use files::{FilePolicy, purge_files};
pub use holds::Hold;
pub use manager::{Manager, Parts};
pub use pool::Stats;
pub use roster::{Doing, OpenError, Overview};
pub use tools::{Asked, Caller, NotDone, NotShown};
