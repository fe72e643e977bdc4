//! The outbox before a Slack that loses answers, lists its messages late and is too busy, and in processes that are killed.

#[cfg(test)]
mod ambiguity;
#[cfg(test)]
mod cuts;
mod process;
#[cfg(test)]
#[path = "../tools/seed.rs"]
mod seed;
#[cfg(test)]
#[path = "../tools/size.rs"]
mod size;
mod workspace;
