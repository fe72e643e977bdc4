//! The last of the test targets: says in one line which tests did not run for want of a tool.

use std::fs;
use std::io::{Write, stderr};
use std::path::Path;

#[test]
fn which_tests_did_not_run() {
    let notes = fs::read_dir(Path::new(env!("CARGO_TARGET_TMPDIR")).join("not-run"));
    let notes = notes.into_iter().flatten().flatten().filter_map(|note| fs::read_to_string(note.path()).ok());
    let mut tests: Vec<String> = notes.collect();
    tests.sort();
    if !tests.is_empty() {
        // Straight to the terminal: what goes through `eprintln!` is kept from it when a test passes.
        writeln!(stderr(), "NOT RUN, `.ci/run tools` installs what they need: {}", tests.join(", ")).unwrap();
    }
    assert!(std::env::var_os("CI").is_none() || tests.is_empty(), "not run: {tests:?}");
}
