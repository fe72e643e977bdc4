//! What every backend owes its callers, over every backend; and what an ACP agent may do to us.
//!
//! The agents are real processes: one of ours that misbehaves on request, and one from the registry that somebody else wrote.

#[cfg(test)]
mod acp;
#[cfg(test)]
mod amplifierd;
#[cfg(test)]
mod amplifierd_server;
#[cfg(test)]
mod attachments;
#[cfg(test)]
mod contract;
#[cfg(test)]
#[path = "../tools/example_agent.rs"]
mod example_agent;
#[cfg(test)]
mod faults;
#[cfg(test)]
#[path = "../tools/logs.rs"]
mod logs;
#[cfg(test)]
mod npm;
#[cfg(test)]
mod opencode;
#[cfg(test)]
mod opencode_server;
#[cfg(test)]
#[path = "../tools/npm.rs"]
mod package;
#[cfg(test)]
mod peer;
#[cfg(test)]
#[path = "../tools/program.rs"]
mod program;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod replays;
#[cfg(test)]
mod server;
#[cfg(test)]
mod shared;
#[cfg(test)]
#[path = "../tools/size.rs"]
mod size;
#[cfg(test)]
#[path = "../tools/contract.rs"]
mod table;
#[cfg(test)]
mod tmux;
