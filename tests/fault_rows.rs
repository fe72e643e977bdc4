//! Every fault that one node must stand has a test that is named after it: `f_27_…` for row 27.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// How a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    /// A test tells its story.
    Tested,
    /// It can't be told before this exists.
    Waits(&'static str),
}

use Row::{Tested, Waits};

/// What goes wrong, by number. Rows of several nodes (70 to 75) are not among them.
const ROWS: &[(u8, &str, Row)] = &[
    (1, "the connection is reset", Tested),
    (2, "the connection is half open", Tested),
    (3, "no greeting comes", Tested),
    (4, "Slack asks for a refresh", Tested),
    (5, "Slack warns, and closes a second later", Tested),
    (6, "too many connections", Tested),
    (7, "Socket Mode is switched off", Tested),
    (8, "no address for a connection: 429, 5xx, HTML, silence", Tested),
    (9, "names are unknown for ten minutes", Tested),
    (10, "a certificate that is not valid", Tested),
    (11, "every pooled connection is dead", Tested),
    (12, "a storm of resets", Tested),
    (13, "frames that are no frames", Tested),
    (14, "an acknowledgement is lost after its commit", Tested),
    (15, "an event is delivered again, across a restart too", Tested),
    (16, "app_mention and message of one mention, in both orders", Tested),
    (17, "the same gesture under another time stamp", Tested),
    (18, "a shared channel's event comes twice, from two workspaces", Tested),
    (19, "an event comes again with an empty text", Tested),
    (20, "messages come out of order", Tested),
    (21, "a message is edited while it waits, runs, or is answered", Tested),
    (22, "a message is deleted while it waits or runs", Tested),
    (23, "Slack limits our events", Tested),
    (24, "the bot is removed, or the channel archived", Tested),
    (25, "the bot's token is revoked during a turn", Tested),
    (26, "the app's token is rotated", Waits("the reload of the configuration")),
    (27, "429 on a post", Tested),
    (28, "a post is taken and its answer lost", Tested),
    (29, "a post fails with 500 and stands there, or not", Tested),
    (30, "what was just posted is not in the history yet", Tested),
    (31, "the history may not be read", Tested),
    (32, "Slack refuses a message's form", Tested),
    (33, "an upload is cut off", Waits("uploads as rows of the outbox")),
    (34, "kill -9, anywhere", Tested),
    (35, "the process is stopped for a while", Tested),
    (36, "the machine sleeps", Tested),
    (37, "the clock jumps", Tested),
    (38, "the disk is full when an event comes", Tested),
    (39, "the disk is full when an answer comes", Tested),
    (40, "an I/O error at a commit", Tested),
    (41, "the disk becomes read-only", Tested),
    (42, "the disk is slow", Tested),
    (43, "the database is damaged", Tested),
    (44, "a second daemon in the same directory", Tested),
    (45, "the state directory is on a network", Tested),
    (46, "a newer schema", Tested),
    (47, "somebody else locks the database", Tested),
    (48, "the power fails", Tested),
    (49, "the agent dies before, in and after a prompt", Tested),
    (50, "the agent hangs", Tested),
    (51, "the agent ignores its cancellation and SIGTERM", Tested),
    (52, "the agent forks twice and leaves children", Tested),
    (53, "the agent floods its output", Tested),
    (54, "the agent speaks no JSON-RPC", Tested),
    (55, "nobody answers the agent's question", Tested),
    (56, "an approval is pressed twice, by two, too late, after a restart", Tested),
    (57, "the agent can't load its session", Tested),
    (58, "an HTTP agent's stream is cut", Tested),
    (59, "an HTTP agent does not know the session", Tested),
    (60, "an HTTP agent is busy", Tested),
    (61, "an HTTP agent is down for ten minutes", Tested),
    (62, "tmux is killed, or its session renamed", Tested),
    (63, "a session takes too long to be made", Tested),
    (64, "two hundred conversations at once", Tested),
    (65, "a message whose handling crashes", Tested),
    (66, "each task crashes", Tested),
    (67, "the executor stands still", Tested),
    (68, "no file descriptors are left", Tested),
    (69, "memory runs out", Waits("limits on agents' memory")),
    (76, "SIGTERM during start, migration, catching up", Tested),
    (77, "SIGTERM twice, three times, SIGHUP while stopping", Tested),
    (78, "a reload of a wrong configuration", Waits("the reload of the configuration")),
    (79, "nobody reads the log", Tested),
    (80, "clients that trickle, and a thousand of them", Waits("limits on the operator's listener")),
    (81, "a file's download goes astray", Tested),
    (82, "the history has no end", Tested),
    (83, "thousands of old messages", Tested),
    (84, "an older version meets a newer store", Tested),
];

/// Those of which more does not exist yet than their row.
const MAY_WAIT: [u8; 6] = [26, 33, 67, 69, 78, 80];

#[test]
fn every_fault_has_a_test_of_its_name() {
    let tests = named_after_rows().unwrap();
    for (number, what, row) in ROWS {
        match row {
            Tested => assert!(tests.contains(number), "no test is called f_{number:02}_…: {what}"),
            Waits(what_for) => {
                assert!(!tests.contains(number), "f_{number:02}_… is there and need not wait for {what_for}: {what}");
            }
        }
    }
    let rows: BTreeSet<u8> = ROWS.iter().map(|(number, ..)| *number).collect();
    assert_eq!(tests.difference(&rows).collect::<Vec<_>>(), [&0; 0], "tests that are named after no row");
}

#[test]
fn only_what_can_not_be_told_yet_waits() {
    let waiting = ROWS.iter().filter(|(_, _, row)| matches!(row, Waits(_))).map(|(number, ..)| *number);
    let too_many: Vec<u8> = waiting.filter(|number| !MAY_WAIT.contains(number)).collect();
    assert_eq!(too_many, [0; 0]);
    let all: Vec<u8> = ROWS.iter().map(|(number, ..)| *number).collect();
    let expected: Vec<u8> = (1..=69).chain(76..=84).collect();
    assert_eq!(all, expected, "each row once, in order");
}

#[test]
fn only_what_runs_as_a_test_counts() {
    let source = "
        fn f_01_a_helper() {}

        #[test]
        fn f_02_a_test() {}

        // holds: T-6
        #[tokio::test]
        #[ignore = \"a reason\"]
        async fn f_03_one_that_is_never_run() {}

        #[tokio::test(flavor = \"multi_thread\")]
        /// What it is about.
        async fn f_04_another() {
            fn f_05_within_it() {}
        }
        #[test] // The attribute of the next one.
        #[expect(clippy::unwrap_used, reason = \"a test\")]
        fn f_06_with_more_attributes() {}
        #[cfg(test)]
        fn f_07_not_by_any_attribute() {}";
    assert_eq!(numbers_in(source), [2, 4, 6]);
}

/// The numbers of the rows after which a test function is named.
fn named_after_rows() -> io::Result<BTreeSet<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut numbers = BTreeSet::new();
    let mut open = vec![root.join("src"), root.join("tests")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
            open.extend(entries.collect::<io::Result<Vec<_>>>()?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            numbers.extend(numbers_in(&fs::read_to_string(path)?));
        }
    }
    Ok(numbers)
}

/// The numbers in the names of tests that are called like a row: of functions with an attribute that makes a test of them, here or
/// in a macro such as `proptest!`, and with none that leaves it out.
fn numbers_in(source: &str) -> Vec<u8> {
    let (mut numbers, mut is_test, mut is_left_out) = (Vec::new(), false, false);
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            is_test |= ["#[test]", "#[tokio::test]", "#[tokio::test("].iter().any(|test| line.starts_with(test));
            is_left_out |= line.starts_with("#[ignore");
        } else if !line.starts_with("//") {
            if is_test && !is_left_out {
                numbers.extend(number_of(line));
            }
            (is_test, is_left_out) = (false, false);
        }
    }
    numbers
}

/// The number in the name of a function that is called like a row.
fn number_of(line: &str) -> Option<u8> {
    let name = line.strip_prefix("async fn f_").or_else(|| line.strip_prefix("fn f_"))?;
    name.split_once('_')?.0.parse().ok()
}
