//! The example agent of the protocol's own TypeScript library.

use hitchline::backend::config::{Acp, Config};

use super::example_agent;
use super::peer::Peer;

/// A backend over the example agent; without Node or the package, none.
pub(super) fn peer() -> Option<Peer> {
    let agent = example_agent::script()?;
    let command = vec!["node".to_owned(), agent.to_string_lossy().into_owned()];
    let peer = Peer::of(&Config::Acp(Acp { command, ..Acp::default() }));
    Some(Peer { crowd: 3, ..peer })
}
