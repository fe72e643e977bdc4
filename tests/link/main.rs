//! The Socket Mode link over real sockets that are really cut, against the simulator and against a server that a test plays by hand.
//!
//! Time is turned by hand, so that minutes of silence and back-off pass in milliseconds; the network is real.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod inbox;
#[cfg(test)]
#[path = "../tools/logs.rs"]
mod logs;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod overlap;
#[cfg(test)]
#[path = "../tools/program.rs"]
mod program;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod reconnects;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod server;
#[cfg(test)]
mod subject;
