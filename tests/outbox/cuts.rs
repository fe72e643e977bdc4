//! Processes that are killed: what the next one finds is brought to its end, whatever the last call was.

use std::sync::Arc;

use hitchline::domain::ids::OwedId;
use hitchline::domain::outgoing::{Body, Op, Owed};
use proptest::prelude::*;

use super::process::{conversation, owed, run};
use super::size::sized;
use super::workspace::{Cut, Manners, Workspace};

/// How many cases each property is tried with.
const CASES: usize = 32;

/// What a row does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Post,
    Finish,
    /// Of a message that somebody has deleted meanwhile.
    FinishGone,
    Delete,
    /// Of the last post.
    Revise,
}

const KINDS: [Kind; 5] = [Kind::Post, Kind::Finish, Kind::FinishGone, Kind::Delete, Kind::Revise];

/// A conversation's rows, and the texts that stand there when all are done, sorted.
struct Story {
    rows: Vec<Owed>,
    texts: Vec<String>,
}

impl Story {
    fn of(kinds: &[Kind], workspace: &Workspace) -> Self {
        let key = conversation(1);
        let (mut rows, mut texts) = (Vec::new(), Vec::new());
        let mut last_post: Option<(OwedId, usize)> = None;
        for (n, kind) in kinds.iter().enumerate() {
            let text = format!("{n}");
            let body = Body::Text(text.clone());
            let op = match (kind, last_post) {
                (Kind::Revise, Some((of, place))) => {
                    texts[place] = text;
                    Op::Revise { of, body }
                }
                (Kind::Delete, _) => Op::Delete { ts: workspace.grown(&key.thread, "draft") },
                (Kind::Finish | Kind::FinishGone, _) => {
                    let ts = workspace.grown(&key.thread, "draft");
                    if *kind == Kind::FinishGone {
                        workspace.vanish(&ts);
                    }
                    texts.push(text);
                    Op::Finish { ts, body }
                }
                (Kind::Post | Kind::Revise, _) => {
                    texts.push(text);
                    Op::Post(body)
                }
            };
            let row = owed(&key, op);
            if matches!(row.op, Op::Post(_)) {
                last_post = Some((row.id, texts.len() - 1));
            }
            rows.push(row);
        }
        texts.sort();
        Self { rows, texts }
    }
}

/// The texts that stand there, sorted, after processes that were cut and one that was not.
fn after(kinds: &[Kind], cuts: &[Cut], manners: Manners) -> (Vec<String>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Arc::new(Workspace::new(manners, 1));
    let story = Story::of(kinds, &workspace);
    let mut now_ms = 1_000_000;
    let mut new = story.rows.as_slice();
    for cut in cuts {
        now_ms = run(dir.path(), &workspace, now_ms, new, Some(*cut));
        new = &[];
    }
    run(dir.path(), &workspace, now_ms, new, None);
    let mut texts: Vec<String> = workspace.messages().into_iter().map(|message| message.text).collect();
    texts.sort();
    (texts, story.texts)
}

fn cut() -> impl Strategy<Value = Cut> {
    (0usize..9, any::<bool>()).prop_map(|(calls, behind)| Cut { calls, behind })
}

fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(u32::try_from(sized(CASES)).unwrap())
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    proptest::collection::vec((0..KINDS.len()).prop_map(|kind| KINDS[kind]), 1..6)
}

#[test]
fn a_kill_at_each_call_of_an_answer_leaves_each_of_its_messages_once() {
    let kinds = [Kind::Finish, Kind::Post, Kind::Revise, Kind::FinishGone, Kind::Delete, Kind::Post];
    for calls in 0..12 {
        for behind in [false, true] {
            let (texts, expected) = after(&kinds, &[Cut { calls, behind }], Manners::default());
            assert_eq!(texts, expected, "{calls} {behind}");
        }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_missing_or_there_twice_after_any_kills(
        kinds in kinds(), cuts in proptest::collection::vec(cut(), 0..4), lost in 0u32..40, lag_ms in 0i64..3_000,
    ) {
        let manners = Manners { lost, failed: lost / 4, busy: lost / 4, lag_ms, closed: false };
        let (texts, expected) = after(&kinds, &cuts, manners);
        prop_assert_eq!(texts, expected);
    }

    #[test]
    fn f_31_where_nobody_may_read_each_kill_doubles_one_message_at_the_most(
        kinds in kinds(), cuts in proptest::collection::vec(cut(), 0..4),
    ) {
        let manners = Manners { closed: true, ..Manners::default() };
        let (texts, expected) = after(&kinds, &cuts, manners);
        prop_assert!(expected.iter().all(|text| texts.contains(text)), "{:?} of {:?}", texts, expected);
        prop_assert!(texts.len() <= expected.len() + cuts.len(), "{:?} of {:?}", texts, expected);
    }
}
