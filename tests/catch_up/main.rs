//! What was said while nobody listened: whole daemons in process, on a clock turned by hand, beside the simulator.

#[cfg(test)]
mod daemon;
#[cfg(test)]
mod gaps;
#[cfg(test)]
mod house;
#[cfg(test)]
mod offers;
#[cfg(test)]
mod policy;
#[cfg(test)]
#[path = "../tools/size.rs"]
mod size;
