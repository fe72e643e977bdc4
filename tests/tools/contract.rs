//! The table of what each kind of agent keeps: its rows, and where the verdicts lie between the tests that reach them and the one that
//! compares them with the README.

use std::path::{Path, PathBuf};

/// The kinds of agents. `acp` is an agent of ours that misbehaves on request, `example` the one of the protocol's TypeScript library.
pub(crate) const COLUMNS: [&str; 6] = ["echo", "acp", "example", "amplifierd", "opencode", "tmux"];

/// What is asked, in a few words; the first is row 1.
pub(crate) const ROWS: [&str; 25] = [
    "twenty start at once, each with a name of its own",
    "a start that hangs is given up, and leaves nothing",
    "a prompt is answered, and the turn ends once",
    "events keep their order; unknown ones are ignored",
    "a second prompt is busy, and the first goes on",
    "many sessions at once do not mix",
    "cancel: while it runs, twice, when nothing runs; then the next prompt",
    "a cancel that is ignored: the turn is ended all the same",
    "decisions: by kind, once, withdrawn with the turn",
    "requests that nobody knows are answered",
    "what has ended stays ended, and hears of nothing more",
    "an end during a turn, in time",
    "no process is left",
    "a crash is told, and the next prompt goes on",
    "brought back with its history, which is not repeated",
    "a session that is unknown, told from what only fails",
    "what passes keeps the session",
    "nothing is sent twice",
    "a missing sign-in ends no session, and no secret is told",
    "a silent turn can be ended",
    "nonsense, long lines, floods",
    "a reader that stalls costs no memory",
    "a stop while a turn runs: in time, and twice",
    "another version is refused",
    "all of that in any order",
];

/// The file with the verdict of a row for a column.
pub(crate) fn note(row: usize, column: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("contract").join(format!("{row:02}.{column}"))
}
