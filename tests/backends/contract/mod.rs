//! The suite that every backend passes, over every backend.
//!
//! Each of its rows is a test that comes to a verdict for a kind of agent: it keeps the row, keeps it in part, or can't, for a reason that the
//! test has seen as far as it can be seen. The verdicts are the table in the README. Whatever one kind of agent does not do by itself it is made
//! to do: streams have a `meddler` in between, servers a `proxy`.
//!
//! | file         | rows                                                                                                       |
//! |--------------|------------------------------------------------------------------------------------------------------------|
//! | `starts`     | 1 starts at once; 2 starts that hang                                                                       |
//! | `turns`      | 3 a turn; 4 order; 5 busy; 6 many at once                                                                  |
//! | `cancels`    | 7 cancel; 8 one that is ignored; 20 silence (how long it may last: `sessions`, `f_50_…`)                   |
//! | `decisions`  | 9 decisions (what nobody decides expires: `sessions`, `f_55_…`); 10 requests that nobody knows             |
//! | `endings`    | 11 the end (across a restart too: `sessions`, `ended_stays_ended…`); 12 during a turn; 13 processes        |
//! | `crashes`    | 14 crashes; 15 sessions that are brought back (lost ones: `sessions`, `f_57_…`)                            |
//! | `failures`   | 16 what is unknown; 17 what passes; 18 nothing twice; 19 sign-in; 24 versions                              |
//! | `floods`     | 21 nonsense; 22 a reader that stalls                                                                       |
//! | `shutdowns`  | 23 a stop (turns that may finish, and the numbers: `sessions::shutdown`)                                   |
//! | `orders`     | 25 any order                                                                                               |
//! | `more`       | options, lists, releases, readers that go away: the same for every kind, no rows                           |

mod cancels;
mod crashes;
mod decisions;
mod echo_agent;
mod endings;
mod failures;
mod floods;
mod more;
mod orders;
mod shutdowns;
mod starts;
mod turns;

use std::fs;

use crate::table;

/// What comes of a row for a kind of agent.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    /// It keeps it.
    Kept,
    /// It keeps it, except for this.
    KeptBut(&'static str),
    /// It can't be asked, because of this.
    Cannot(&'static str),
}

use Verdict::{Cannot, Kept, KeptBut};

/// Forgets the verdict of an earlier run.
fn forget(row: usize, column: &str) {
    drop(fs::remove_file(table::note(row, column)));
}

/// Keeps a verdict for the table; variants of a kind of agent have no column there.
fn keep(row: usize, column: &str, verdict: Verdict) {
    if !table::COLUMNS.contains(&column) {
        return;
    }
    let text = match verdict {
        Kept => "kept".to_owned(),
        KeptBut(what) => format!("kept but\n{what}"),
        Cannot(why) => format!("cannot\n{why}"),
    };
    let note = table::note(row, column);
    assert!(row <= table::ROWS.len(), "the table has no row {row}");
    fs::create_dir_all(note.parent().unwrap()).unwrap();
    fs::write(note, text).unwrap();
}

macro_rules! contract {
    ($($peer:ident $rows:tt: $make:expr;)*) => { $(mod $peer {
        use crate::peer::Peer;

        async fn make() -> Option<Peer> {
            $make
        }

        contract!(@$rows $peer);
    })* };
    (@all $peer:ident) => {
        contract!(@rows $peer:
            2 starts::row_02_a_start_that_hangs_leaves_nothing,
            4 turns::row_04_events_keep_their_order,
            8 cancels::row_08_a_cancel_that_is_ignored_ends_the_turn,
            10 decisions::row_10_an_unknown_request_is_answered,
            11 endings::row_11_what_has_ended_stays_ended,
            13 endings::row_13_no_process_is_left,
            14 crashes::row_14_a_crash_is_told_and_survived,
            16 failures::row_16_the_unknown_is_told_from_what_fails,
            17 failures::row_17_what_passes_keeps_the_session,
            18 failures::row_18_nothing_is_sent_twice,
            19 failures::row_19_a_missing_sign_in_ends_nothing,
            21 floods::row_21_nonsense_is_survived,
            22 floods::row_22_a_reader_that_stalls_costs_no_memory,
            24 failures::row_24_another_version_is_refused,
        );
        contract!(@some $peer);
    };
    // Those of a variant that are not the same as those of its kind.
    (@some $peer:ident) => {
        contract!(@rows $peer:
            1 starts::row_01_twenty_starts_at_once_are_independent,
            3 turns::row_03_a_turn_says_something_and_ends_once,
            5 turns::row_05_a_second_prompt_is_busy,
            6 turns::row_06_sessions_do_not_mix,
            7 cancels::row_07_a_cancelled_turn_ends_as_cancelled,
            9 decisions::row_09_a_decision_is_applied_once,
            12 endings::row_12_an_end_ends_its_turn,
            15 crashes::row_15_a_session_is_brought_back_without_repeating,
            20 cancels::row_20_a_silent_turn_can_be_ended,
            23 shutdowns::row_23_a_stop_keeps_its_deadline,
            25 orders::row_25_any_order_keeps_the_rules,
        );
        contract!(@more
            a_released_session_can_be_brought_back, a_reader_that_goes_away_frees_the_session,
            an_option_is_set_and_what_is_not_offered_is_rejected, an_option_can_be_set_again_after_a_restore,
            a_list_has_what_is_open_and_not_what_has_ended,
        );
    };
    (@rows $peer:ident: $($number:literal $file:ident::$row:ident,)*) => { $(
        #[tokio::test]
        async fn $row() {
            super::forget($number, stringify!($peer));
            if let Some(peer) = make().await {
                let verdict = super::$file::$row(&peer).await;
                super::keep($number, stringify!($peer), verdict);
            }
        }
    )* };
    (@more $($name:ident,)*) => { $(
        #[tokio::test]
        async fn $name() {
            if let Some(peer) = make().await {
                super::more::$name(&peer).await;
            }
        }
    )* };
}

contract! {
    echo all: Some(Peer::echo());
    acp all: Peer::fake();
    example all: crate::npm::peer();
    amplifierd all: Some(crate::amplifierd::peer().await);
    opencode all: crate::opencode::peer().await;
    tmux all: Peer::tmux();
    // Variants of `acp`: what it does when it says nothing, and when its sessions share a process.
    silent some: Peer::fake().map(|peer| Peer { wait: "silent", crowd: 2, ..peer });
    shared some: Peer::fake_as(&[], |config| config.process = hitchline::backend::config::Process::Shared);
}
