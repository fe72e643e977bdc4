//! What every backend owes its callers, over every backend; and what an ACP agent may do to us.
//!
//! The agents are real processes: one of ours that misbehaves on request, and one from the registry that somebody else wrote.

#[cfg(test)]
mod acp;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod npm;
#[cfg(test)]
mod peer;
