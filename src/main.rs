//! The `hitchline` binary: it reads the process's arguments and environment once, and decides how the process ends.

use std::num::NonZero;
use std::process::ExitCode;

use hitchline::cli;
use hitchline::settings::Environment;
use tokio::runtime::{Builder, Runtime};

/// The work is waiting: more threads than this only cost memory.
const MOST_WORKERS: usize = 4;

fn main() -> ExitCode {
    let exit = match runtime() {
        Ok(runtime) => runtime.block_on(cli::run(std::env::args_os(), environment())),
        Err(error) => cli::cannot_start(&error),
    };
    ExitCode::from(exit.code())
}

fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread().worker_threads(cores.min(MOST_WORKERS)).enable_all().build()
}

/// Text that is not UTF-8 is kept as far as it can be read, so that what checks it can name its key.
fn environment() -> Environment {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}
