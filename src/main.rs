//! The `hitchline` binary.
fn main() {}
