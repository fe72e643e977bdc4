//! The example agent of the protocol's own TypeScript library.

use hitchline::backend::config::{Acp, Config};

use super::example_agent;
use super::peer::Peer;
use super::program::program;

/// Makes its pauses short.
const QUICK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/quick.cjs");

/// A backend over the example agent; without Node, the package or Python, none. Whatever it is told, it says and asks the same.
pub(super) fn peer() -> Option<Peer> {
    program("python3")?;
    let agent = example_agent::script()?;
    let command = ["node", "--require", QUICK, &agent.to_string_lossy()].map(ToOwned::to_owned).to_vec();
    let peer = Peer::of(&Config::Acp(Acp { command, ..Acp::default() }));
    Some(Peer { crowd: 5, ..peer })
}
