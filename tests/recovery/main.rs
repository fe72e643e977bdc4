//! Nothing acknowledged is lost, and nothing is answered twice: the built binary is killed, again and again, and a checker that knows
//! only what was seen from outside (by the simulator, by the agent, on the disk) says what became of each message.
//!
//! `HITCHLINE_LONG=1` makes every suite ten times as long, `HITCHLINE_SHORT=1` ten times as short; `HITCHLINE_SEED` repeats a run whose seed was printed.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod checker;
#[cfg(test)]
mod history;
#[cfg(test)]
mod http;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod marks;
#[cfg(test)]
mod order;
#[cfg(test)]
mod people;
#[cfg(test)]
mod points;
#[cfg(test)]
mod power;
#[path = "../tools/process.rs"]
mod process;
#[cfg(test)]
#[path = "../tools/program.rs"]
mod program;
#[cfg(test)]
mod run;
#[cfg(test)]
#[path = "../tools/seed.rs"]
mod seed;
#[cfg(test)]
#[path = "../tools/size.rs"]
mod size;
#[cfg(test)]
mod slack;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod subject;
#[cfg(test)]
mod trace;
