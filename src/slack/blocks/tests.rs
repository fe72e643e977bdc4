use proptest::prelude::*;

use super::*;
use crate::domain::ids::{ApprovalId, SessionId};
use crate::domain::outgoing::{List, ListButton, ListRow};

fn card(state: ApprovalState) -> ApprovalCard {
    ApprovalCard {
        id: ApprovalId::parse("0b1e2c3d4e5f60718293a4b5c6d7e8f9").unwrap(),
        requester: "U1".into(),
        title: "Run <rm>".into(),
        detail: Some("rm -rf \u{202e}x ``` <!here>".into()),
        options: vec![
            ("Allow".into(), OptionKind::AllowOnce),
            ("Always".into(), OptionKind::AllowAlways),
            ("Reject".into(), OptionKind::RejectOnce),
        ],
        attached: false,
        state,
    }
}

#[test]
fn a_command_that_is_too_long_is_cut_visibly_and_its_file_is_named_with_its_hash() {
    let open = card(ApprovalState::Open { expires_after_s: 600 });
    assert!(shows_whole(&open));
    let detail = format!("echo {}\u{202e}", "x".repeat(3_000));
    let long = ApprovalCard { detail: Some(detail.clone()), ..open };
    assert!(!shows_whole(&long));
    assert!(
        !shows_whole(&ApprovalCard { detail: None, title: detail, ..long.clone() }),
        "where the title is the command"
    );
    let (_, alone) = content(&Body::Approval(long.clone()));
    assert!(alone[1]["text"]["text"].as_str().unwrap().contains("… cut: the rest is too long"), "{alone}");
    let (_, blocks) = content(&Body::Approval(ApprovalCard { attached: true, ..long.clone() }));
    assert!(
        blocks[1]["text"]["text"].as_str().unwrap().ends_with("in the file below. Allow only what you have read._")
    );
    let named = blocks[2]["elements"][0]["text"].as_str().unwrap();
    assert_eq!(named, format!("All of it: `{}`, SHA-256 `{}`", long.file_name(), long.hash()));
    assert_eq!((long.hash().len(), long.file_name()), (64, format!("command-{}.txt", &long.hash()[..8])));
}

#[test]
fn an_open_request_shows_the_exact_command_and_a_button_for_each_option() {
    let (text, blocks) = content(&Body::Approval(card(ApprovalState::Open { expires_after_s: 600 })));
    assert_eq!(text, "The agent asks for permission: Run &lt;rm&gt;");
    assert_eq!(code_of(&blocks[1]), Some("rm -rf \\u{202E}x ``` <!here>"), "as data, which can't end its own block");
    let buttons = blocks[3]["elements"].as_array().unwrap();
    let styles: Vec<_> = buttons.iter().map(|button| button["style"].as_str()).collect();
    assert_eq!(styles, [Some("primary"), None, Some("danger")]);
    assert_eq!(buttons[2]["value"], "0b1e2c3d4e5f60718293a4b5c6d7e8f9:2");
    assert!(buttons[1]["confirm"].is_object() && buttons[0]["confirm"].is_null());
}

#[test]
fn a_title_that_is_the_command_is_shown_as_exactly() {
    let title = "rm *.__tmp__ `x` :eyes:\u{202e}";
    let only = ApprovalCard { detail: None, title: title.into(), ..card(ApprovalState::Expired) };
    let (_, blocks) = content(&Body::Approval(only));
    assert_eq!(blocks[0]["text"]["text"], "The agent asked for permission and got no answer");
    assert_eq!(blocks[1]["text"]["text"], "```\nrm *.__tmp__ `x` :eyes:\\u{202E}\n```");
}

#[test]
fn a_settled_request_has_no_buttons_and_says_what_became_of_it() {
    for (state, says) in [
        (ApprovalState::Decided { by: "U2".into(), option: 2 }, "<@U2> chose: Reject"),
        (ApprovalState::Expired, "rejected"),
        (ApprovalState::Withdrawn, "Nobody needs to decide"),
        (ApprovalState::CutOff, "Expired: Hitchline was restarted"),
    ] {
        let (_, blocks) = content(&Body::Approval(card(state)));
        let all = blocks.to_string();
        assert!(all.contains(says) && !all.contains("\"actions\""), "{all}");
    }
}

#[test]
fn a_question_is_plain_text_with_a_button_for_each_choice() {
    let question = |state| ApprovalCard {
        title: "Which *one*\n<!here>?".into(),
        detail: None,
        options: vec![("Left".into(), OptionKind::Choice), ("Right".into(), OptionKind::Choice)],
        ..card(state)
    };
    let (text, blocks) = content(&Body::Approval(question(ApprovalState::Open { expires_after_s: 600 })));
    assert_eq!(text, "The agent asks: Which *one*\n&lt;!here&gt;?");
    assert_eq!(
        blocks[1]["text"],
        json!({"type": "plain_text", "text": "Which *one*\n<!here>?", "emoji": false}),
        "no markup of the agent's, and no mention"
    );
    let labels: Vec<_> =
        blocks[3]["elements"].as_array().unwrap().iter().map(|button| &button["text"]["text"]).collect();
    assert_eq!(labels, ["Left", "Right"]);
    let long = ApprovalCard { title: "x".repeat(2_900), ..question(ApprovalState::Expired) };
    assert!(shows_whole(&question(ApprovalState::Expired)) && !shows_whole(&long));
    let (_, blocks) = content(&Body::Approval(ApprovalCard { attached: true, ..long.clone() }));
    assert!(blocks[1]["text"]["text"].as_str().unwrap().ends_with(CUT) && blocks[2].to_string().contains(&long.hash()));
    for (state, says) in [
        (ApprovalState::Decided { by: "U2".into(), option: 1 }, "<@U2> chose: Right"),
        (ApprovalState::Expired, "Nobody answered in time"),
        (ApprovalState::Withdrawn, "Nobody needs to answer"),
        (ApprovalState::CutOff, "restarted"),
    ] {
        let all = content(&Body::Approval(question(state))).1.to_string();
        assert!(all.contains(says) && !all.contains("\"actions\"") && !all.contains("permission"), "{all}");
    }
}

#[test]
fn a_text_stands_in_one_section_that_shows_all_of_it() {
    let (text, blocks) = content(&Body::Text("*hi*".into()));
    assert_eq!(text, "*hi*");
    assert_eq!(
        blocks,
        json!([{"type": "section", "expand": true, "text": {"type": "mrkdwn", "verbatim": true, "text": "*hi*"}}])
    );
}

#[test]
fn code_that_markup_can_not_hold_is_sent_as_data() {
    let (_, blocks) = content(&Body::Text("a\n\n````\n```sh\nls &lt;x&gt;\n```\n````\n\nb".into()));
    assert_eq!((&blocks[0], &blocks[2]), (&section("a"), &section("b")));
    assert_eq!(code_of(&blocks[1]), Some("```sh\nls <x>\n```"));
}

fn connect(session: SessionId) -> Button {
    Button::Connect { session, thread: Some("1.0".into()) }
}

fn listed(text: &str, button: Option<Button>) -> ListRow {
    let button = button.map(|button| ListButton { label: "Connect".into(), button, danger: false });
    ListRow { text: text.into(), button }
}

#[test]
fn each_row_of_a_list_has_its_button_beside_it() {
    let session = SessionId::new();
    let mut rows =
        vec![listed("*one*", Some(connect(session))), listed("two", None), listed(" ", Some(connect(session)))];
    rows[2].button.as_mut().unwrap().danger = true;
    let (text, blocks) = content(&Body::List(List { text: "Your sessions".into(), rows }));
    assert_eq!(text, "Your sessions\n*one*\ntwo");
    assert_eq!((&blocks[0], &blocks[2]), (&section("Your sessions"), &section("two")));
    let accessory = &blocks[1]["accessory"];
    let read = button::decode(accessory["action_id"].as_str().unwrap(), accessory["value"].as_str().unwrap());
    assert_eq!((read, &accessory["style"]), (Some(connect(session)), &Value::Null));
    assert_eq!((&blocks[3]["text"]["text"], &blocks[3]["accessory"]["style"]), (&json!("?"), &json!("danger")));
    assert_eq!(blocks.as_array().unwrap().len(), 4);
}

#[test]
fn a_list_that_is_too_long_says_how_much_is_missing() {
    let of = |rows: Vec<ListRow>| content(&Body::List(List { text: "All".into(), rows })).1;
    let many = of((0..60).map(|n| listed(&n.to_string(), Some(connect(SessionId::new())))).collect());
    let last = many.as_array().unwrap().last().unwrap();
    assert_eq!(
        (many.as_array().unwrap().len(), &last["elements"][0]["text"]),
        (47, &json!("… cut: 15 more can't be shown here."))
    );
    let long = of((0..10).map(|_| listed(&"x".repeat(4_000), None)).collect());
    assert_eq!(long.as_array().unwrap().len(), 1 + 3 + 1, "all blocks together have their limit too");
}

#[test]
fn what_a_button_can_not_carry_is_shown_without_it() {
    let adopt = |length| Button::Adopt { backend: "b".into(), backend_ref: "x".repeat(length), thread: None };
    for (length, carried) in [(1_900, true), (2_000, false)] {
        let list = List { text: String::new(), rows: vec![listed("row", Some(adopt(length)))] };
        let (text, blocks) = content(&Body::List(list));
        assert_eq!((text.as_str(), blocks[0]["accessory"].is_object()), ("row", carried));
    }
}

#[test]
fn markup_is_not_cut_within_a_mention_or_an_entity() {
    for token in ["<@U0123456789>", "&amp;&amp;", "<https://x.example/y|z>"] {
        let text = format!("{}{token}{}", "x".repeat(2_990), "y".repeat(50));
        let (_, blocks) = content(&Body::List(List { text, rows: Vec::new() }));
        let shown = blocks[0]["text"]["text"].as_str().unwrap();
        let kept = shown.strip_suffix(CUT).unwrap().trim_start_matches('x');
        assert!(token.contains("amp") || kept.is_empty(), "{kept}");
        assert!(shown.chars().count() <= SECTION && kept.matches('&').count() == kept.matches(';').count(), "{kept}");
    }
}

/// The code of a block that is shown as data.
fn code_of(block: &Value) -> Option<&str> {
    block["elements"][0]["elements"][0]["text"].as_str()
}

/// A title, a detail or a label: short, long, or nothing but what grows when it is escaped, hidden or kept apart.
fn hostile(longest: usize) -> impl Strategy<Value = String> {
    let piece = prop_oneof!["[a-z ]{1,40}", "[<>&*`]{1,40}", "\\PC{1,8}", Just("\u{e0001}\u{202e}\n".to_owned())];
    (piece, 0..longest).prop_map(|(piece, times)| piece.repeat(times))
}

fn state() -> impl Strategy<Value = ApprovalState> {
    prop_oneof![
        any::<u64>().prop_map(|expires_after_s| ApprovalState::Open { expires_after_s }),
        (0usize..40).prop_map(|option| ApprovalState::Decided { by: "U2".into(), option }),
        Just(ApprovalState::Expired),
        Just(ApprovalState::Withdrawn),
        Just(ApprovalState::CutOff),
    ]
}

fn length(value: &Value) -> usize {
    value.as_str().unwrap().chars().count()
}

fn of_type<'a>(blocks: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    blocks.as_array().unwrap().iter().filter(move |block| block["type"] == kind)
}

proptest! {
    #[test]
    fn whatever_an_agent_asks_for_is_within_slacks_limits_and_what_is_cut_says_so(
        title in hostile(200),
        detail in proptest::option::of(hostile(400)),
        labels in proptest::collection::vec(hostile(6), 0..40),
        state in state(),
    ) {
        let options: Vec<_> = labels.into_iter().map(|label| (label, OptionKind::AllowAlways)).collect();
        let card = ApprovalCard { title: title.clone(), detail: detail.clone(), options: options.clone(), ..card(state) };
        let open = matches!(card.state, ApprovalState::Open { .. });
        let (text, blocks) = content(&Body::Approval(card));
        prop_assert!((1..=3_000).contains(&text.chars().count()));
        prop_assert!(blocks.as_array().unwrap().len() <= 50);
        let sections: Vec<_> = of_type(&blocks, "section").map(|section| &section["text"]["text"]).collect();
        prop_assert!(sections.iter().all(|text| (1..=3_000).contains(&length(text))));
        let contexts: Vec<_> = of_type(&blocks, "context").map(|context| &context["elements"][0]["text"]).collect();
        prop_assert!(contexts.iter().all(|text| (1..=3_000).contains(&length(text))));

        let whole = |shown: &Value, text: &str| {
            let shown = shown.as_str().unwrap();
            shown.contains(text) || shown.contains("… cut")
        };
        prop_assert!(detail.is_none() || whole(sections[0], &escape(&visible(&title).replace('*', "∗"))));
        let shown = visible(detail.as_ref().unwrap_or(&title));
        if shown.contains("```") {
            let code = code_of(&blocks[1]).unwrap();
            let rest = if code == shown { "" } else { "… cut" };
            prop_assert!(shown.starts_with(code) && sections.last().unwrap().as_str().unwrap().contains(rest));
        } else {
            prop_assert!(whole(sections[1], &code_block(&shown)));
            prop_assert_eq!(sections[1].as_str().unwrap().matches("```").count(), 2, "it can't end its own block");
        }
        let buttons: Vec<_> = of_type(&blocks, "actions").flat_map(|actions| actions["elements"].as_array().unwrap()).collect();
        prop_assert_eq!(buttons.len(), if open { options.len().min(25) } else { 0 });
        prop_assert!(!open || options.len() <= 25 || whole(contexts.last().unwrap(), "… cut"));
        for (button, (label, _)) in buttons.iter().zip(&options) {
            prop_assert!((1..=75).contains(&length(&button["text"]["text"])));
            prop_assert!(length(&button["value"]) <= 2_000 && length(&button["action_id"]) <= 255);
            prop_assert!(label.trim().is_empty() || whole(&button["text"]["text"], &visible(label)));
        }
        prop_assert!(of_type(&blocks, "actions").all(|actions| !actions["elements"].as_array().unwrap().is_empty()));
    }

    #[test]
    fn whatever_a_list_holds_is_within_slacks_limits_and_what_is_cut_says_so(
        text in hostile(200),
        rows in proptest::collection::vec((hostile(100), proptest::option::of((hostile(6), 0usize..2_500))), 0..60),
    ) {
        let row = |(text, button): (String, Option<(String, usize)>)| {
            let adopt = |length| Button::Adopt { backend: "b".into(), backend_ref: "\"".repeat(length), thread: None };
            let button = button.map(|(label, length)| ListButton { label, button: adopt(length), danger: true });
            ListRow { text, button }
        };
        let list = List { text, rows: rows.into_iter().map(row).collect() };
        let (text, blocks) = content(&Body::List(list.clone()));
        prop_assert!(text.chars().count() <= 3_000);
        prop_assert!(blocks.as_array().unwrap().len() <= 50);
        let sections: Vec<_> = of_type(&blocks, "section").collect();
        prop_assert!(sections.iter().all(|section| (1..=3_000).contains(&length(&section["text"]["text"]))));
        let shown = sections.len() - usize::from(!list.text.trim().is_empty());
        prop_assert_eq!(of_type(&blocks, "context").count() == 1, shown < list.rows.len());
        let mut all = sections.iter().map(|section| length(&section["text"]["text"])).sum::<usize>();
        for button in sections.iter().map(|section| &section["accessory"]).filter(|button| button.is_object()) {
            prop_assert!((1..=75).contains(&length(&button["text"]["text"])) && length(&button["value"]) <= 2_000);
            all += length(&button["text"]["text"]) + length(&button["value"]);
        }
        prop_assert!(all <= 13_000, "{}", all);
    }
}
