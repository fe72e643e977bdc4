//! The endpoint of the agents' tools as clients of each age meet it: who comes in, and what becomes of their sessions.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod house;
