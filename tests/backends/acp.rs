//! What our side of ACP does, seen by an agent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hitchline::backend::error::{BackendError, Kind, Phase};
use hitchline::backend::{Outcome, Session, TurnEvent};
use hitchline::clock::Clock;
use hitchline::domain::agent::{AgentEvent, OptionCategory, OptionKind, PlanEntry, Progress};
use hitchline::domain::session::BackendRef;

use super::peer::{Peer, hear, prompt, soon, turn, until};

/// Runs a turn of our own agent, started with `arguments`.
async fn run(arguments: &[&str], text: &str) -> Option<super::peer::Heard> {
    let peer = Peer::fake_with(arguments)?;
    let session = peer.start().await;
    let heard = turn(&session, text, OptionKind::AllowOnce).await;
    peer.finish(&session).await;
    Some(heard)
}

#[tokio::test]
async fn events_keep_their_order_and_meaning() {
    let Some(heard) = run(&[], "everything").await else { return };
    let expected = [
        AgentEvent::Thought("hm".to_owned()),
        AgentEvent::Plan(vec![PlanEntry { text: "one".to_owned(), status: Progress::Running }]),
        AgentEvent::Tool(hitchline::domain::agent::ToolCall {
            id: "t9".to_owned(),
            title: Some("Look".to_owned()),
            status: Some(Progress::Running),
        }),
        AgentEvent::Notice("Careful".to_owned()),
        AgentEvent::Text { message: Some("m1".to_owned()), delta: "one".to_owned() },
    ];
    assert_eq!(heard.events, expected);
    let Some(heard) = run(&[], "chunks 500").await else { return };
    let expected: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    assert_eq!(heard.text.split_whitespace().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_request_shows_the_exact_command_and_its_id_comes_back_as_it_was() {
    for arguments in [&[][..], &["--string-ids"]] {
        let Some(heard) = run(arguments, "ask").await else { return };
        let request = &heard.asked[0];
        assert_eq!((request.title.as_str(), request.detail.as_deref()), ("Remove a file", Some("rm file")));
        assert_eq!(heard.text, r#"before {"outcome": {"outcome": "selected", "optionId": "yes"}}"#);
    }
}

#[tokio::test]
async fn a_cancelled_request_is_answered_as_cancelled() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    let mut stream = session.prompt(prompt("ask")).await.unwrap();
    super::peer::asked(&mut stream).await;
    session.cancel().await.unwrap();
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    assert_eq!((heard.text.as_str(), heard.outcome), (r#"{"outcome": {"outcome": "cancelled"}}"#, Outcome::Cancelled));
    peer.finish(&session).await;
}

#[tokio::test]
async fn a_request_that_comes_after_a_cancellation_is_answered_once_as_cancelled() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    let mut stream = session.prompt(prompt("ask-late")).await.unwrap();
    assert!(matches!(soon(stream.next()).await, Some(TurnEvent::Agent(AgentEvent::Text { .. }))));
    session.cancel().await.unwrap();
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    assert_eq!(
        (heard.text.as_str(), heard.outcome),
        (r#"[{"outcome": {"outcome": "cancelled"}}]"#, Outcome::Cancelled)
    );
    assert_eq!(heard.asked, []);
    peer.finish(&session).await;
}

#[tokio::test]
async fn a_request_that_comes_after_a_turn_is_answered_once_as_cancelled() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    let heard = turn(&session, "ask-after", OptionKind::AllowOnce).await;
    assert_eq!((heard.asked, heard.outcome), (vec![], Outcome::Completed));
    let answers = peer.dir.path().join("answers");
    until("it was answered", || answers.exists()).await;
    assert_eq!(std::fs::read_to_string(answers).unwrap(), r#"[{"outcome": {"outcome": "cancelled"}}]"#);
    peer.finish(&session).await;
}

#[tokio::test]
async fn a_request_that_offers_no_clear_choice_is_rejected_and_the_turn_goes_on() {
    let offers = [
        "[]",
        r#"{"optionId": "yes"}"#,
        r#"[{"name": "Yes", "kind": "allow_once"}]"#,
        r#"[{"optionId": "a", "name": "Yes", "kind": "allow_once"}, {"optionId": "a", "name": "No", "kind": "reject_once"}]"#,
    ];
    for offer in offers {
        let Some(heard) = run(&[], &format!("ask-offering {offer}")).await else { return };
        let answered = (heard.text.as_str(), heard.outcome);
        assert_eq!(answered, (r#"{"outcome": {"outcome": "cancelled"}}"#, Outcome::Completed), "{offer}");
        assert_eq!(heard.asked, [], "{offer}");
    }
}

#[tokio::test]
async fn a_request_that_the_agent_takes_back_is_withdrawn() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    let mut stream = session.prompt(prompt("withdraw")).await.unwrap();
    let request = super::peer::asked(&mut stream).await;
    let next = soon(stream.next()).await;
    assert_eq!(next, Some(TurnEvent::Agent(AgentEvent::PermissionWithdrawn(request.id))));
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    assert_eq!((heard.text.as_str(), heard.outcome), (r#"{"outcome": {"outcome": "cancelled"}}"#, Outcome::Completed));
    peer.finish(&session).await;
}

#[tokio::test]
async fn an_agent_gets_its_own_group_and_directory_and_only_the_listed_variables() {
    let Some(peer) = Peer::fake_as(&[], |config| {
        config.env = BTreeMap::from([("MODEL".to_owned(), "small".to_owned())]);
        config.env_pass = vec!["CARGO_PKG_NAME".to_owned()];
    }) else {
        return;
    };
    let session = peer.start().await;
    let heard = turn(&session, "env", OptionKind::AllowOnce).await;
    let seen: serde_json::Value = serde_json::from_str(&heard.text).unwrap();
    assert_eq!(seen["group"], true);
    assert_eq!(seen["cwd"].as_str(), peer.dir.path().canonicalize().unwrap().to_str());
    let env = seen["env"].as_object().unwrap();
    assert_eq!((env["MODEL"].as_str(), env["HITCHLINE_RUN_ID"].as_str()), (Some("small"), Some(&*peer.run_id)));
    assert_eq!(env["CARGO_PKG_NAME"], "hitchline");
    assert!(!env.contains_key("CARGO_MANIFEST_DIR"), "it was passed although nobody asked for it");
    peer.finish(&session).await;
}

#[tokio::test]
async fn a_session_is_brought_back_without_repeating_its_history() {
    for (offered, method) in [("resume,load", "resume"), ("load", "load"), ("resume", "resume")] {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let Some(peer) = Peer::fake_with(&["--caps", offered, "--log", log.to_str().unwrap()]) else { return };
        let session = peer.restore(&BackendRef("s-old".to_owned())).await.unwrap();
        assert_eq!(session.backend_ref(), BackendRef("s-old".to_owned()));
        let heard = turn(&session, "hello", OptionKind::AllowOnce).await;
        assert_eq!((heard.text.as_str(), heard.events.len()), ("you said: hello; before: 1", 1), "{offered}");
        peer.finish(&session).await;
        assert_eq!(methods(&log), ["initialize", &format!("session/{method}"), "session/prompt"], "{offered}");
    }
    let Some(peer) = Peer::fake_with(&["--caps", ""]) else { return };
    let error = peer.restore(&BackendRef("s-old".to_owned())).await.unwrap_err();
    assert!(matches!(error, BackendError::Unsupported(_)));
    soon(peer.scope.wait()).await;
}

#[tokio::test]
async fn a_missing_sign_in_names_the_ways_and_a_named_one_is_used() {
    let Some(peer) = Peer::fake_with(&["--auth"]) else { return };
    let error = peer.try_start().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(matches!(&error, BackendError::Auth(text) if text.contains("key")), "{error}");
    soon(peer.scope.wait()).await;
    let Some(peer) = Peer::fake_as(&["--auth"], |config| config.auth_method = Some("key".to_owned())) else { return };
    let session = peer.start().await;
    peer.finish(&session).await;
}

#[tokio::test]
async fn an_agent_that_does_not_start_says_why() {
    let Some(peer) = Peer::fake_with(&["--exit", "7"]) else { return };
    let error = peer.try_start().await.unwrap_err();
    assert_eq!(
        error,
        BackendError::Crashed { exit: "exit code 7".to_owned(), stderr: "it would not start".to_owned() }
    );
    soon(peer.scope.wait()).await;
}

#[tokio::test]
async fn what_an_agent_offers_is_known_before_the_first_prompt_and_follows_its_updates() {
    for (offers, option, categories) in
        [("options", "llm", OptionCategory::Model), ("modes", "mode", OptionCategory::Mode)]
    {
        let Some(peer) = Peer::fake_with(&["--offers", offers]) else { return };
        let session = peer.start().await;
        until("the commands are there", || names(&session) == ["web"]).await;
        let known = session.offers().options;
        assert_eq!(
            known.iter().map(|known| (known.id.as_str(), known.category)).collect::<Vec<_>>(),
            [(option, categories)]
        );
        let heard = turn(&session, "announce one two", OptionKind::AllowOnce).await;
        assert_eq!((heard.events, heard.outcome), (vec![], Outcome::Completed), "that is no part of the answer");
        assert_eq!(names(&session), ["one", "two"]);
        let expected = if offers == "modes" { "plan" } else { "small" };
        assert_eq!(session.offers().options[0].current, expected);
        peer.finish(&session).await;
    }
}

#[tokio::test]
async fn updates_between_turns_are_taken_and_hold_nobody_up() {
    let Some(peer) = Peer::fake() else { return };
    let session = peer.start().await;
    turn(&session, "announce-after", OptionKind::AllowOnce).await;
    until("all is told", || session.offers().options[0].current == "large").await;
    assert_eq!(names(&session), ["command-199"]);
    let heard = turn(&session, "hello", OptionKind::AllowOnce).await;
    assert_eq!((heard.text.as_str(), heard.outcome), ("you said: hello; before: 1", Outcome::Completed));
    peer.finish(&session).await;
}

#[tokio::test]
async fn what_is_chosen_reaches_the_agent() {
    for (offers, option, value, expected) in
        [("options", "llm", "large", "large code"), ("modes", "mode", "plan", "small plan")]
    {
        let Some(peer) = Peer::fake_with(&["--offers", offers]) else { return };
        let session = peer.start().await;
        soon(session.set_option(option, value)).await.unwrap();
        assert_eq!(turn(&session, "chosen", OptionKind::AllowOnce).await.text, expected);
        peer.finish(&session).await;
    }
}

#[tokio::test]
async fn an_option_that_is_never_set_is_given_up() {
    let (clock, hand) = Clock::manual(0);
    let Some(peer) = Peer::fake_at(clock, &["--silent", "session/set_config_option"]) else { return };
    let session = peer.start().await;
    let mut setting = session.set_option("llm", "large");
    assert!(futures_util::poll!(&mut setting).is_pending());
    hand.advance(Duration::from_secs(31));
    let late = soon(setting).await.unwrap_err();
    assert!(matches!(late, BackendError::Timeout { phase: Phase::Option, .. }), "{late}");
    assert_eq!(session.offers().options[0].current, "small");
    peer.finish(&session).await;
}

#[tokio::test]
async fn a_list_is_read_page_by_page_up_to_its_limit_and_leaves_nothing_running() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let Some(peer) = Peer::fake_with(&["--children", "--log", log.to_str().unwrap()]) else { return };
    std::fs::write(peer.dir.path().join("sessions"), "a b c d e").unwrap();
    for (limit, pages, expected) in [(9, 3, "e d c b a"), (3, 2, "e d c"), (2, 1, "e d")] {
        std::fs::write(&log, "").unwrap();
        let listed = peer.list(limit).await.unwrap();
        let ids: Vec<_> = listed.iter().map(|listed| listed.backend_ref.0.as_str()).collect();
        assert_eq!(ids.join(" "), expected);
        assert_eq!(peer.processes(), Vec::<String>::new());
        assert_eq!(methods(&log), [&["initialize"][..], &vec!["session/list"; pages]].concat());
        assert_eq!((listed[0].title.is_some(), listed.last().unwrap().updated_ms.is_some()), (true, true));
    }
    soon(peer.scope.wait()).await;
}

#[tokio::test]
async fn an_agent_that_has_no_list_or_does_not_give_it_is_gone_before_that_is_said() {
    let Some(peer) = Peer::fake_with(&["--caps", "load"]) else { return };
    assert!(matches!(peer.list(9).await.unwrap_err(), BackendError::Unsupported(_)));
    assert_eq!(peer.processes(), Vec::<String>::new());
    let (clock, hand) = Clock::manual(0);
    let Some(peer) = Peer::fake_at(clock, &["--children", "--silent", "session/list"]) else { return };
    let all_run = async {
        until("the agent and its children run", || peer.processes().len() == 4).await;
        hand.advance(Duration::from_mins(2));
    };
    let (listed, ()) = tokio::join!(peer.list(9), all_run);
    assert!(matches!(listed, Err(BackendError::Timeout { phase: Phase::List, .. })), "{listed:?}");
    assert_eq!(peer.processes(), Vec::<String>::new());
    soon(peer.scope.wait()).await;
}

/// The names of the commands that are offered.
fn names(session: &Arc<dyn Session>) -> Vec<String> {
    session.offers().commands.into_iter().map(|command| command.name).collect()
}

/// What the agent was asked, in order.
fn methods(log: &Path) -> Vec<String> {
    let asked =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["method"].as_str().map(str::to_owned);
    std::fs::read_to_string(log).unwrap().lines().filter_map(asked).collect()
}
