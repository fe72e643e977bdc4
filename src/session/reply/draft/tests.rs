use super::*;
use crate::clock::Clock;

fn draft() -> (Draft, Instant) {
    let now = Clock::system().now();
    (Draft::new(now), now)
}

fn failed(kind: WriteErrorKind) -> Result<Option<Ts>, WriteError> {
    Err(WriteError { kind, call: "test", code: "scripted".into() })
}

/// Takes the step that is due at `now` and lets it succeed.
fn step(draft: &mut Draft, now: Instant) -> Step {
    let Next::Step(step) = draft.next(now) else { panic!("nothing is due: {:?}", draft.next(now)) };
    let ts = matches!(step, Step::Start { .. }).then(|| Ts::from("1.1"));
    draft.came_back(step.clone(), Ok(ts), now);
    step
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn nothing_is_shown_in_the_first_moment() {
    let (mut draft, now) = draft();
    draft.push(None, "quick");
    assert_eq!(draft.next(now + 249 * MS), Next::At(now + QUIET));
    assert!(matches!(draft.next(now + QUIET), Next::Step(Step::Start { upto: 5 })));
}

#[test]
fn a_slow_agent_is_thinking_and_then_streams_what_came_meanwhile_in_one_piece() {
    let (mut draft, now) = draft();
    let mut at = now + QUIET;
    assert_eq!(step(&mut draft, at), Step::Status(words::THINKING.into()));
    assert_eq!(draft.next(at), Next::At(at + STATUS_LIFE));
    draft.push(None, "one ");
    assert_eq!(step(&mut draft, at), Step::Start { upto: 4 });
    draft.push(None, "two ");
    draft.push(None, "three");
    assert_eq!(draft.next(at + MS), Next::At(at + STREAM_PAUSE));
    at += STREAM_PAUSE;
    assert_eq!(step(&mut draft, at), Step::Append { ts: "1.1".into(), upto: 13 });
    assert_eq!(draft.next(at + STREAM_PAUSE), Next::Nothing);
}

#[test]
fn where_streams_do_not_work_a_message_is_edited() {
    let (mut draft, now) = draft();
    let at = now + QUIET;
    draft.push(None, "one");
    let Next::Step(start) = draft.next(at) else { panic!("nothing is due") };
    draft.came_back(start, failed(WriteErrorKind::StreamUnavailable), at);
    assert_eq!(step(&mut draft, at), Step::Start { upto: 3 });
    draft.push(None, "two");
    assert_eq!(draft.next(at + STREAM_PAUSE), Next::At(at + EDIT_PAUSE));
    assert_eq!(step(&mut draft, at + EDIT_PAUSE), Step::Edit { ts: "1.1".into(), upto: 6 });
}

#[test]
fn a_stream_that_ended_by_itself_is_followed_by_another() {
    let (mut draft, now) = draft();
    let at = now + QUIET;
    draft.push(None, "one");
    step(&mut draft, at);
    draft.push(None, "two");
    let at = at + STREAM_PAUSE;
    let Next::Step(append) = draft.next(at) else { panic!("nothing is due") };
    draft.came_back(append, failed(WriteErrorKind::StreamUnavailable), at);
    assert_eq!(step(&mut draft, at + STREAM_PAUSE), Step::Start { upto: 6 });
    assert_eq!(draft.live.len(), 2);
}

#[test]
fn a_long_or_old_message_is_followed_by_the_next() {
    let (mut draft, now) = draft();
    let line = "x".repeat(99) + "\n";
    draft.push(None, &line.repeat(60));
    let mut at = now + QUIET;
    let mut shown = Vec::new();
    while draft.shown < draft.text.len() {
        shown.push(step(&mut draft, at));
        at += EDIT_PAUSE;
    }
    let starts = shown.iter().filter(|step| matches!(step, Step::Start { .. })).count();
    assert_eq!((starts, draft.live.len()), (3, 3));
    // Cut at a line's end.
    assert_eq!(shown[0], Step::Start { upto: 2_500 });
    let (mut old, now) = super::tests::draft();
    old.push(None, "one");
    step(&mut old, now + QUIET);
    old.push(None, "two");
    assert_eq!(step(&mut old, now + QUIET + STREAM_LIFE), Step::Stop { ts: "1.1".into() });
}

#[test]
fn editing_a_long_answer_moves_on_to_the_next_message_too() {
    let (mut draft, now) = draft();
    draft.mode = Mode::Edit;
    let mut at = now + QUIET;
    for _ in 0..60 {
        draft.push(None, &("x".repeat(99) + "\n"));
        while let Next::Step(_) = draft.next(at) {
            step(&mut draft, at);
        }
        at += EDIT_PAUSE;
    }
    assert_eq!((draft.shown, draft.live.len()), (6_000, 3));
}

#[test]
fn a_press_of_slacks_own_stop_is_reported_and_ends_the_show() {
    let (mut draft, now) = draft();
    draft.push(None, "one");
    step(&mut draft, now + QUIET);
    draft.push(None, "two");
    let at = now + QUIET + STREAM_PAUSE;
    let Next::Step(append) = draft.next(at) else { panic!("nothing is due") };
    assert_eq!(draft.came_back(append, failed(WriteErrorKind::StoppedByUser), at), Worked::StoppedByPerson);
    assert_eq!(draft.next(at + STREAM_LIFE), Next::Nothing);
}

#[test]
fn a_slack_that_keeps_failing_is_left_alone_and_a_rate_is_waited_out() {
    let (mut draft, now) = draft();
    draft.push(None, "one");
    let mut at = now + QUIET;
    let Next::Step(start) = draft.next(at) else { panic!("nothing is due") };
    draft.came_back(start, failed(WriteErrorKind::Rate { after_ms: 9_000 }), at);
    assert_eq!((draft.next(at), draft.mode), (Next::At(at + Duration::from_secs(9)), Mode::Stream));
    for kind in [vec![WriteErrorKind::Rate { after_ms: 9_000 }; 9], vec![WriteErrorKind::Auth; 3]].concat() {
        at += Duration::from_secs(9);
        let Next::Step(start) = draft.next(at) else { panic!("nothing is due: {kind:?}") };
        draft.came_back(start, failed(kind), at);
    }
    assert_eq!(draft.next(at + STREAM_LIFE), Next::Nothing);
}

#[test]
fn a_growing_message_for_which_there_is_no_room_yet_grows_later_and_says_all() {
    let (mut draft, now) = draft();
    draft.mode = Mode::Edit;
    draft.push(None, "one");
    let no_room = || failed(WriteErrorKind::Rate { after_ms: 9_000 });
    let mut at = now + QUIET;
    for text in [" two", " three"] {
        let Next::Step(skipped) = draft.next(at) else { panic!("nothing is due") };
        draft.came_back(skipped, no_room(), at);
        draft.push(None, text);
        at += Duration::from_secs(9);
    }
    assert_eq!(step(&mut draft, at), Step::Start { upto: "one two three".len() });
    draft.push(None, " four");
    at += EDIT_PAUSE;
    let Next::Step(skipped) = draft.next(at) else { panic!("nothing is due") };
    draft.came_back(skipped, no_room(), at);
    draft.push(None, " five");
    at += Duration::from_secs(9);
    assert_eq!(step(&mut draft, at), Step::Edit { ts: "1.1".into(), upto: "one two three four five".len() });
}

#[test]
fn the_final_form_takes_the_shown_messages_first() {
    let text = |text: &str| Body::Text(text.into());
    let (parts, live) = (vec![text("a"), text("b")], vec![Ts::from("1.1")]);
    let expected = vec![Op::Finish { ts: "1.1".into(), body: text("a") }, Op::Post(text("b"))];
    assert_eq!(finals(parts, live), expected);
    let spare = finals(vec![text("a")], vec!["1.1".into(), "1.2".into()]);
    assert_eq!(spare, vec![Op::Finish { ts: "1.1".into(), body: text("a") }, Op::Delete { ts: "1.2".into() }]);
    assert!(finals(Vec::new(), Vec::new()).is_empty());
}

#[test]
fn another_message_of_the_agent_is_a_new_paragraph_and_an_endless_answer_is_cut() {
    let (mut draft, _) = draft();
    draft.push(Some("a"), "one");
    draft.push(Some("a"), " more");
    draft.push(Some("b"), "two");
    draft.push(None, "");
    assert_eq!(draft.text, "one more\n\ntwo");
    for _ in 0..600 {
        draft.push(Some("b"), &"x".repeat(1_024));
    }
    assert!(draft.text.len() < LONGEST + 200 && draft.text.ends_with(words::TOO_LONG));
}

#[test]
fn a_note_of_ours_is_a_paragraph_of_its_own() {
    let (mut draft, _) = draft();
    draft.push(Some("note"), &words::context_lost(0));
    draft.push(None, "I'll help");
    draft.push(None, " you");
    draft.push(Some("note"), words::STOPPED);
    assert_eq!(draft.text, format!("{}\n\nI'll help you\n\n{}", words::context_lost(0), words::STOPPED));
}

#[test]
fn a_start_that_was_not_answered_is_not_repeated() {
    for mode in [Mode::Stream, Mode::Edit] {
        let (mut draft, now) = draft();
        draft.mode = mode;
        draft.push(None, "one");
        let at = now + QUIET;
        let Next::Step(start) = draft.next(at) else { panic!("nothing is due") };
        draft.came_back(start, failed(WriteErrorKind::Transient { uncertain: true }), at);
        assert_eq!((draft.next(at + STREAM_LIFE), draft.lost), (Next::Nothing, true));
    }
}
