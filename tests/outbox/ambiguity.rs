//! Slack that answers badly: each message is there, and there once.

use std::collections::BTreeMap;
use std::sync::Arc;

use hitchline::domain::outgoing::{Body, Op, Owed};

use super::process::{conversation, owed, run};
use super::size::{seed, sized};
use super::workspace::{Manners, Workspace};

/// What stands there in the end: how many of the posts are missing, and how many are there too often; each thread in order.
fn posted(manners: Manners, threads: usize, each: usize, seed: u64) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Arc::new(Workspace::new(manners, seed));
    let row = |thread, n: usize| owed(&conversation(thread), Op::Post(Body::Text(format!("{n:04}"))));
    let rows: Vec<Owed> = (0..threads).flat_map(|thread| (0..each).map(move |n| row(thread, n))).collect();
    run(dir.path(), &workspace, 1_000_000, &rows, None);
    let mut texts: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for message in workspace.messages() {
        texts.entry(message.thread).or_default().push(message.text);
    }
    assert!(texts.values().all(|texts| texts.is_sorted()), "the order of a conversation, seed {seed}");
    let all: usize = texts.values().map(Vec::len).sum();
    texts.values_mut().for_each(Vec::dedup);
    let distinct: usize = texts.values().map(Vec::len).sum();
    (rows.len() - distinct, all - distinct)
}

// R9
#[test]
fn of_ten_thousand_posts_none_is_missing_and_none_is_there_twice() {
    let manners = Manners { lost: 30, failed: 5, busy: 3, lag_ms: 3_000, closed: false };
    assert_eq!(posted(manners, sized(200), 50, seed()), (0, 0));
}

#[test]
fn f_30_a_message_that_is_listed_late_is_found_within_three_seconds_and_never_missing() {
    let late = |lag_ms| Manners { lost: 50, lag_ms, ..Manners::default() };
    for lag_ms in [0, 1_000, 3_000] {
        assert_eq!(posted(late(lag_ms), 20, 10, 7), (0, 0), "{lag_ms} ms");
    }
    let (missing, twice) = posted(late(10_000), 20, 10, 7);
    assert!(missing == 0 && (1..100).contains(&twice), "{missing} missing, {twice} too many");
}

#[test]
fn f_29_a_post_that_slack_calls_failed_is_repeated_where_it_is_not_there_and_only_there() {
    let stored = Manners { lost: 50, ..Manners::default() };
    let not_stored = Manners { failed: 50, ..Manners::default() };
    for manners in [stored, not_stored] {
        assert_eq!(posted(manners, 20, 10, 3), (0, 0), "{manners:?}");
    }
}
