//! The session room in process: real store, inbox and outbox, a clock turned by hand, and agents that misbehave on request.

#[cfg(test)]
mod access;
#[cfg(test)]
mod agent;
#[cfg(test)]
mod approvals;
#[cfg(test)]
mod at_once;
#[cfg(test)]
mod breakout;
#[cfg(test)]
mod channels;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod crossings;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod discover;
#[cfg(test)]
mod edges;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod endpoint;
#[cfg(test)]
mod expiry;
#[cfg(test)]
mod files;
#[cfg(test)]
mod holds;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lists;
#[cfg(test)]
#[path = "../tools/logs.rs"]
mod logs;
#[cfg(test)]
mod model;
#[cfg(test)]
mod options;
#[cfg(test)]
mod order;
#[cfg(test)]
mod patience;
#[cfg(test)]
mod people;
#[cfg(test)]
mod puppet;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod replies;
#[cfg(test)]
#[path = "../tools/seed.rs"]
mod seed;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
#[path = "../tools/size.rs"]
mod size;
#[cfg(test)]
mod slack;
#[cfg(test)]
mod starts;
#[cfg(test)]
mod storms;
#[cfg(test)]
mod tickets;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod world;
