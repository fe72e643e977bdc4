//! The `hitchline` binary: it reads the process's arguments and environment once, and decides how the process ends.

use std::num::NonZero;
use std::process::ExitCode;
use std::time::Duration;

use hitchline::cli;
use hitchline::settings::Environment;
use hitchline::telemetry;
use tokio::runtime::{Builder, Runtime};

/// The work is waiting: more threads than this only cost memory. One core is left to the store, which writes on a thread of its own.
const MOST_WORKERS: usize = 4;
/// How long the dropping of what did not end by itself may take.
const LAST_MOMENT: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return ExitCode::from(cli::cannot_start(&error).code()),
    };
    let exit = runtime.block_on(cli::run(std::env::args_os(), environment()));
    // What still runs now was told to end and did not; what it owns, processes above all, goes with it.
    runtime.shutdown_timeout(LAST_MOMENT);
    // Whoever reads it may be slow, but not for long.
    let _all_written = telemetry::flush();
    ExitCode::from(exit.code())
}

fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread().worker_threads((cores - 1).clamp(1, MOST_WORKERS)).enable_all().build()
}

/// Text that is not UTF-8 is kept as far as it can be read, so that what checks it can name its key.
fn environment() -> Environment {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}
