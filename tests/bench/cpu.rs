//! CPU time, as the system counts it.

use std::time::Duration;

use anyhow::{Context, Result};

/// Clock ticks in a second, as `/proc` counts them: 100 on every Linux.
const TICKS: u64 = 100;

/// What all threads of process `id` have used so far.
pub(crate) fn used(id: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The command's name, in parentheses, may hold spaces; user and system time are the 14th and 15th fields.
    let fields = stat.rsplit_once(')').context("an odd stat line")?.1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    Ok(Duration::from_millis(ticks * 1_000 / TICKS))
}
