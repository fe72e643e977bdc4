//! Slack that answers badly: each message is there, and there once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hitchline::domain::outgoing::{Body, Op, Owed};

use super::process::{conversation, owed, run};
use super::seed::seed;
use super::size::sized;
use super::workspace::{Manners, Message, Workspace};

/// How long a message may be missing from what is read back, in milliseconds, and is still found before it is posted again.
const FOUND_WITHIN_MS: i64 = 3_000;

/// What stands there in the end: how many of the posts are missing, and how many are there too often; each thread in order. A post is
/// there again only where the one before it was listed too late to be found.
fn posted(manners: Manners, threads: usize, each: usize, seed: u64) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Arc::new(Workspace::new(manners, seed));
    let row = |thread, n: usize| owed(&conversation(thread), Op::Post(Body::Text(format!("{n:04}"))));
    let rows: Vec<Owed> = (0..threads).flat_map(|thread| (0..each).map(move |n| row(thread, n))).collect();
    run(dir.path(), &workspace, 1_000_000, &rows, None);
    let mut by_thread: BTreeMap<_, Vec<Message>> = BTreeMap::new();
    for message in workspace.messages() {
        by_thread.entry(message.thread.clone()).or_default().push(message);
    }
    let (mut there, mut twice) = (0, 0);
    for messages in by_thread.values() {
        assert!(messages.is_sorted_by_key(|message| &message.text), "the order of a conversation, seed {seed}");
        there += messages.iter().map(|message| &message.text).collect::<BTreeSet<_>>().len();
        for again in messages.windows(2).filter(|pair| pair[0].text == pair[1].text) {
            assert!(again[0].lag_ms > FOUND_WITHIN_MS, "{again:?}, seed {seed}");
            twice += 1;
        }
    }
    (rows.len() - there, twice)
}

// R9
#[test]
fn of_ten_thousand_posts_none_is_missing_and_none_is_there_twice() {
    let manners = Manners { lost: 30, failed: 5, busy: 3, lag_ms: FOUND_WITHIN_MS, closed: false };
    assert_eq!(posted(manners, sized(200), 50, seed()), (0, 0));
}

// R9
#[test]
fn of_ten_thousand_posts_that_are_listed_very_late_none_is_missing_and_only_what_is_not_found_is_there_twice() {
    let manners = Manners { lost: 30, failed: 5, busy: 3, lag_ms: 10_000, closed: false };
    let (missing, twice) = posted(manners, sized(200), 50, seed());
    assert_eq!(missing, 0);
    assert!(twice > 0, "the lag is longer than what is waited for");
}

#[test]
fn f_30_a_message_that_is_listed_late_is_found_within_three_seconds_and_never_missing() {
    let late = |lag_ms| Manners { lost: 50, lag_ms, ..Manners::default() };
    for lag_ms in [0, 1_000, FOUND_WITHIN_MS] {
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
