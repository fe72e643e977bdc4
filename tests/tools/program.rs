//! Programs that a test needs beside the ones that build it.
//!
//! Without one a test is not run: where `CI` is set that is a failure, else it is noted, and the last of the test targets says in one
//! line which tests did not run.

use std::fs;
use std::path::{Path, PathBuf};

/// The path of a program, looked for in the tests' own environment of Python tools and in `PATH`. Without it the running test is noted
/// as not run.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let found = find(name);
    match &found {
        Some(_) => note().map_or((), |note| drop(fs::remove_file(note))),
        None => not_run(&format!("`{name}` is missing")),
    }
    found
}

/// Notes that the running test is not run, or fails where every test must run.
pub(crate) fn not_run(why: &str) {
    let test = test();
    assert!(std::env::var_os("CI").is_none(), "{test} can't be run: {why}; `.ci/run tools` installs what tests need");
    if let Some(note) = note() {
        // A note that can't be written costs a line, not a test.
        drop(note.parent().map(fs::create_dir_all));
        drop(fs::write(note, format!("{test} ({why})")));
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/venv/bin");
    let search = std::env::var_os("PATH").unwrap_or_default();
    [own].into_iter().chain(std::env::split_paths(&search)).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// The file in which it stands that the running test did not run.
fn note() -> Option<PathBuf> {
    let dir = Path::new(option_env!("CARGO_TARGET_TMPDIR")?).join("not-run");
    Some(dir.join(test().replace("::", ".")))
}

fn test() -> String {
    let thread = std::thread::current();
    format!("{}::{}", env!("CARGO_CRATE_NAME"), thread.name().unwrap_or("a test"))
}
