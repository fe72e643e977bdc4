//! Programs in tmux, as a person at the terminal and a person in Slack see them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use hitchline::backend::config::{Newlines, Tmux, TmuxOnShutdown};
use hitchline::backend::error::BackendError;
use hitchline::backend::{Outcome, Session, kill_leftovers};
use hitchline::domain::agent::OptionKind;
use hitchline::domain::session::BackendRef;
use rustix::process::{Pid, Signal, kill_process};

use super::peer::{Heard, Peer, hear, prompt, soon, turn, until};
use super::program::program;

/// How a program ended of which tmux never learns that.
const UNKNOWN: &str = "in an unknown way";

async fn say(session: &Arc<dyn Session>, text: &str) -> Heard {
    turn(session, text, OptionKind::AllowOnce).await
}

/// Runs one turn of the line agent.
async fn run(text: &str) -> Option<Heard> {
    let peer = Peer::tmux()?;
    let session = peer.start().await;
    let heard = say(&session, text).await;
    peer.finish(&session).await;
    Some(heard)
}

/// The socket of the only server of a peer.
fn socket(peer: &Peer) -> PathBuf {
    let sockets = std::fs::read_dir(peer.dir.path().join("state/tmux")).unwrap().flatten();
    let mut paths: Vec<PathBuf> = sockets.map(|entry| entry.path()).collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
    paths.remove(0)
}

fn tmux(socket: &Path, arguments: &[&str]) -> Output {
    Command::new("tmux").arg("-S").arg(socket).args(arguments).output().unwrap()
}

fn screen(socket: &Path) -> String {
    String::from_utf8(tmux(socket, &["capture-pane", "-p"]).stdout).unwrap()
}

#[tokio::test]
async fn an_answer_is_what_the_program_wrote_and_nothing_else() {
    let Some(heard) = run("hello there").await else { return };
    assert_eq!((heard.text.as_str(), heard.outcome), ("you said: hello there", Outcome::Completed));
    // Longer than the screen, wider than it, and on a screen that was cleared meanwhile.
    let heard = run("lines 500").await.unwrap();
    let expected: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
    assert_eq!(heard.text.lines().collect::<Vec<_>>(), expected);
    let heard = run("wide 1000").await.unwrap();
    assert_eq!(heard.text, format!("{}.", "x".repeat(1_000)));
    let heard = run("clear").await.unwrap();
    assert_eq!((heard.text.as_str(), heard.outcome), ("fresh", Outcome::Completed));
    let long = "words ".repeat(100);
    let heard = run(&long).await.unwrap();
    assert_eq!(heard.text, format!("you said: {}", long.trim()));
}

#[tokio::test]
async fn an_answer_is_told_while_it_grows() {
    let Some(heard) = run("slowly 6").await else { return };
    assert_eq!(heard.text, "line 0\nline 1\nline 2\nline 3\nline 4\nline 5");
    assert!(heard.events.len() >= 3, "{:?}", heard.events);
}

#[tokio::test]
async fn an_answer_that_is_longer_than_the_terminal_remembers_is_cut() {
    let Some(heard) = run("lines 30000").await else { return };
    assert_eq!(heard.outcome, Outcome::Truncated);
    let expected: Vec<String> = (0..30_000).map(|number| format!("line {number}")).collect();
    assert!(heard.text.is_empty() || expected.join("\n").starts_with(&heard.text), "{} bytes", heard.text.len());
}

#[tokio::test]
async fn nothing_that_is_said_presses_a_key() {
    let Some(peer) = Peer::tmux() else { return };
    let session = peer.start().await;
    for (said, expected) in [
        ("one\u{1b}[201~\u{3}two", "you said: one[201~two"),
        ("C-c Enter", "you said: C-c Enter"),
        ("a;b;", "you said: a;b;"),
        ("#{pane_id} $HOME -X", "you said: #{pane_id} $HOME -X"),
        ("größer \u{202e}日本", "you said: größer 日本"),
    ] {
        let heard = say(&session, said).await;
        assert_eq!((heard.text.as_str(), heard.outcome), (expected, Outcome::Completed), "{said:?}");
    }
    let refused = session.prompt(prompt("\u{1b}\u{7}")).await.unwrap_err();
    assert!(matches!(refused, BackendError::Rejected(_)), "{refused:?}");
    peer.finish(&session).await;
}

#[tokio::test]
async fn several_lines_are_one_prompt_for_a_program_that_takes_pasted_text() {
    let Some(bash) = program("bash") else { return };
    let command = vec![bash.to_string_lossy().into_owned(), "--norc".to_owned(), "--noprofile".to_owned()];
    let adjust = |config: &mut Tmux| {
        config.command = command;
        config.env = [("PS1".to_owned(), "> ".to_owned()), ("PS2".to_owned(), "+ ".to_owned())].into();
    };
    let Some(peer) = Peer::tmux_as(&[], adjust) else { return };
    let session = peer.start().await;
    let heard = say(&session, "for n in one two\ndo echo \"$n\"\ndone").await;
    assert_eq!((heard.text.as_str(), heard.outcome), ("one\ntwo", Outcome::Completed));
    peer.finish(&session).await;
    assert_eq!(peer.processes(), [""; 0]);
}

#[tokio::test]
async fn several_lines_become_one_for_a_program_that_reads_lines() {
    let Some(peer) = Peer::tmux_as(&[], |config| config.newlines = Newlines::Space) else { return };
    let session = peer.start().await;
    assert_eq!(say(&session, "one\n\n  two").await.text, "you said: one two");
    peer.finish(&session).await;
}

#[tokio::test]
async fn a_program_without_a_prompt_line_has_answered_when_its_screen_stands_still() {
    let adjust = |config: &mut Tmux| (config.done, config.idle) = (None, Some(Duration::from_secs(1)));
    let Some(peer) = Peer::tmux_as(&["--silent"], adjust) else { return };
    let session = peer.start().await;
    let heard = say(&session, "hello").await;
    assert_eq!((heard.text.as_str(), heard.outcome), ("you said: hello", Outcome::Completed));
    let stream = session.prompt(prompt("wait")).await.unwrap();
    session.cancel().await.unwrap();
    assert_eq!(hear(&session, stream, OptionKind::AllowOnce).await.outcome, Outcome::Cancelled);
    peer.finish(&session).await;
}

#[tokio::test]
async fn a_program_gets_its_variables_and_no_command_line_shows_them() {
    const SECRET: &str = "a-secret-of-this-test-4711";
    let adjust = |config: &mut Tmux| config.env = [("API_KEY".to_owned(), SECRET.to_owned())].into();
    let Some(peer) = Peer::tmux_as(&[], adjust) else { return };
    let session = peer.start().await;
    assert_eq!(say(&session, "env API_KEY").await.text, format!("API_KEY is {SECRET}"));
    assert_eq!(say(&session, "env TMUX_PANE").await.text, "TMUX_PANE is %0");
    for id in peer.processes() {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(SECRET), "{}", String::from_utf8_lossy(&line));
    }
    let folder = std::fs::metadata(peer.dir.path().join("state/tmux")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&folder.permissions()) & 0o777, 0o700);
    peer.finish(&session).await;
}

#[tokio::test]
async fn a_person_can_attach_look_back_and_not_be_in_the_way() {
    let Some(peer) = Peer::tmux() else { return };
    let session = peer.start().await;
    let attach = session.attach().expect("there is a command");
    let exists = Command::new("sh").args(["-c", &attach.replace(" attach", " has-session")]).status().unwrap();
    assert!(exists.success(), "{attach}");
    // Whoever scrolls back would otherwise get our keys.
    assert!(tmux(&socket(&peer), &["copy-mode", "-t", "%0"]).status.success());
    assert_eq!(say(&session, "hello").await.text, "you said: hello");
    peer.finish(&session).await;
    assert_eq!(std::fs::read_dir(peer.dir.path().join("state/tmux")).unwrap().count(), 0, "no socket is left");
}

#[tokio::test]
async fn f_62_a_session_that_is_renamed_goes_on_and_one_that_is_killed_is_a_crash() {
    let Some(peer) = Peer::tmux() else { return };
    let session = peer.start().await;
    let path = socket(&peer);
    assert!(tmux(&path, &["rename-session", "mine"]).status.success());
    assert_eq!(say(&session, "hello").await.text, "you said: hello");
    let other = peer.start().await;
    // In the middle of a turn.
    let stream = session.prompt(prompt("wait")).await.unwrap();
    until("the prompt is seen", || screen(&path).contains("> wait")).await;
    assert!(tmux(&path, &["kill-server"]).status.success());
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    assert!(matches!(heard.outcome, Outcome::Failed(BackendError::Crashed { .. })), "{:?}", heard.outcome);
    until("it is seen to be gone", || !session.is_alive()).await;
    let refused = session.prompt(prompt("hello")).await.unwrap_err();
    assert!(matches!(refused, BackendError::Crashed { .. }), "{refused:?}");
    let lost = peer.restore(&session.backend_ref()).await.unwrap_err();
    assert!(matches!(lost, BackendError::Unsupported(_)), "{lost:?}");
    soon(session.release(peer.deadline())).await.expect("fine when it is gone");
    assert_eq!(say(&other, "hello").await.text, "you said: hello", "another conversation is not touched");
    peer.finish(&other).await;
    assert_eq!(peer.processes(), [""; 0]);
}

#[tokio::test]
async fn no_key_is_pressed_in_a_program_that_is_not_ours() {
    let Some(peer) = Peer::tmux() else { return };
    let session = peer.start().await;
    let path = socket(&peer);
    let stream = session.prompt(prompt("wait")).await.unwrap();
    until("the prompt is seen", || screen(&path).contains("> wait")).await;
    // Somebody puts another program into the pane while a turn runs; the key that stops the turn is not for it.
    assert!(tmux(&path, &["respawn-pane", "-k", "-t", "%0", "cat -v"]).status.success());
    session.cancel().await.unwrap();
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    let found_out = matches!(heard.outcome, Outcome::Cancelled | Outcome::Failed(BackendError::Crashed { .. }));
    assert!(found_out, "{:?}", heard.outcome);
    until("its own program is gone", || !session.is_alive()).await;
    let refused = session.prompt(prompt("rm -rf")).await.unwrap_err();
    assert!(matches!(refused, BackendError::Crashed { .. }), "{refused:?}");
    assert_eq!(screen(&path).trim(), "", "nothing was typed");
    peer.finish(&session).await;
    assert_eq!(peer.processes(), [""; 0]);
}

#[tokio::test]
async fn a_server_of_somebody_else_is_not_touched() {
    let Some(peer) = Peer::tmux() else { return };
    let foreign = peer.dir.path().join("foreign.sock");
    assert!(tmux(&foreign, &["-f", "/dev/null", "new-session", "-d", "-s", "mine", "cat"]).status.success());
    let session = peer.start().await;
    assert_eq!(say(&session, "hello").await.text, "you said: hello");
    peer.finish(&session).await;
    kill_leftovers(&peer.run_id, &BTreeSet::new());
    assert!(tmux(&foreign, &["has-session", "-t", "=mine"]).status.success());
    assert_eq!(screen(&foreign).trim(), "");
    assert!(tmux(&foreign, &["kill-server"]).status.success());
}

#[tokio::test]
async fn a_program_that_does_not_start_says_why_and_leaves_nothing() {
    let Some(peer) = Peer::tmux_as(&["--broken"], |_| {}) else { return };
    let error = peer.try_start().await.unwrap_err();
    let BackendError::Crashed { exit, stderr } = error else { panic!("{error:?}") };
    assert!(UNKNOWN == exit || exit == "exit code 3", "{exit}");
    assert_eq!(stderr, "no such model");
    assert_eq!(peer.processes(), [""; 0]);
    let peer = Peer::tmux_as(&[], |config| config.command = vec!["/no/such/program".to_owned()]).unwrap();
    let error = peer.try_start().await.unwrap_err();
    let BackendError::Crashed { exit, stderr } = error else { panic!("{error:?}") };
    assert!(UNKNOWN == exit || exit == "exit code 127", "{exit}");
    assert!(stderr.contains("/no/such/program: not found"), "{exit}: {stderr}");
    assert_eq!(peer.processes(), [""; 0]);
}

#[tokio::test]
async fn a_program_that_can_not_be_told_to_stop_is_ended() {
    let Some(peer) = Peer::tmux() else { return };
    let session = peer.start().await;
    let path = socket(&peer);
    let stream = session.prompt(prompt("wait")).await.unwrap();
    until("the prompt is seen", || screen(&path).contains("> wait")).await;
    let server = String::from_utf8(tmux(&path, &["display-message", "-p", "-t", "%0", "#{pid}"]).stdout).unwrap();
    // It answers nobody any more.
    kill_process(Pid::from_raw(server.trim().parse().unwrap()).unwrap(), Signal::STOP).unwrap();
    session.cancel().await.unwrap();
    assert_eq!(hear(&session, stream, OptionKind::AllowOnce).await.outcome, Outcome::Cancelled);
    assert!(!session.is_alive(), "or the next prompt is typed into whatever it does");
    until("nothing is left", || peer.processes().is_empty()).await;
    peer.finish(&session).await;
}

// === Programs that outlive the daemon ===

fn detaching() -> Option<Peer> {
    Peer::tmux_as(&[], |config| config.on_shutdown = TmuxOnShutdown::Detach)
}

/// What is left alone at the start of the next run.
fn spared(reference: &BackendRef) -> BTreeSet<String> {
    BTreeSet::from([reference.0.split('.').next().unwrap().to_owned()])
}

// holds: P-6
#[tokio::test]
async fn a_program_that_was_left_running_is_taken_up_again_and_then_ended() {
    let Some(first) = detaching() else { return };
    let session = first.start().await;
    assert_eq!(say(&session, "hold seven").await.text, "I will");
    let name = session.backend_ref();
    assert!(first.backend.outlived(&name));
    soon(session.detach(first.deadline())).await.unwrap();
    soon(session.detach(first.deadline())).await.expect("fine a second time");
    assert!(tmux(&socket(&first), &["rename-session", "mine"]).status.success());
    soon(first.backend.shutdown(first.deadline())).await;
    soon(first.scope.wait()).await;
    assert!(!session.is_alive());
    let swept = kill_leftovers(&first.run_id, &spared(&name));
    assert_eq!((swept.killed, swept.spared), (0, true));

    let second = first.again();
    assert!(second.backend.outlived(&name));
    let again = second.restore(&name).await.unwrap();
    assert_eq!((again.backend_ref(), again.attach()), (name.clone(), session.attach()));
    assert_eq!(say(&again, "held").await.text, "it was seven");
    second.finish(&again).await;
    assert_eq!(first.processes(), [""; 0]);
    let third = first.again();
    assert_eq!(third.restore(&name).await.unwrap_err(), BackendError::Unknown);
}

#[tokio::test]
async fn only_the_daemons_stop_leaves_a_program_running() {
    let Some(peer) = detaching() else { return };
    let session = peer.start().await;
    let name = session.backend_ref();
    // As when it has not been used for long.
    soon(session.release(peer.deadline())).await.unwrap();
    assert_eq!(peer.processes(), [""; 0]);
    assert!(!peer.backend.outlived(&name));
    assert_eq!(peer.restore(&name).await.unwrap_err(), BackendError::Unknown);
    let given_up = peer.start().await;
    drop(given_up);
    until("nobody holds it, and it was not left running", || peer.processes().is_empty()).await;
}

#[tokio::test]
async fn a_program_that_still_works_is_busy_until_it_is_done() {
    let Some(first) = detaching() else { return };
    let session = first.start().await;
    let name = session.backend_ref();
    let stream = session.prompt(prompt("pause 5")).await.unwrap();
    let path = socket(&first);
    until("it works", || screen(&path).contains("one moment")).await;
    // As if the daemon had been killed.
    let second = first.again();
    let again = second.restore(&name).await.unwrap();
    assert_eq!(again.attach(), session.attach(), "people may want to see what it does");
    assert_eq!(say(&again, "too early").await.outcome, Outcome::Failed(BackendError::Busy));
    assert!(!screen(&path).contains("too early"));
    hear(&session, stream, OptionKind::AllowOnce).await;
    assert_eq!(say(&again, "hello").await.text, "you said: hello");
    second.finish(&again).await;
    first.finish(&session).await;
    assert_eq!(first.processes(), [""; 0]);
}

#[tokio::test]
async fn a_program_that_works_for_ever_can_be_ended_after_a_restart() {
    let Some(first) = detaching() else { return };
    let session = first.start().await;
    let stream = session.prompt(prompt("wait")).await.unwrap();
    let path = socket(&first);
    until("the prompt is seen", || screen(&path).contains("> wait")).await;
    let second = first.again();
    let again = second.restore(&session.backend_ref()).await.unwrap();
    soon(again.end(second.deadline())).await.unwrap();
    assert_eq!(first.processes(), [""; 0]);
    hear(&session, stream, OptionKind::AllowOnce).await;
    first.finish(&session).await;
}

#[tokio::test]
async fn a_program_that_looks_otherwise_than_after_its_start_is_taken_up_again() {
    let adjust = |config: &mut Tmux| {
        config.on_shutdown = TmuxOnShutdown::Detach;
        (config.ready, config.done) = (Some("^Welcome$".to_owned()), None);
        config.idle = Some(Duration::from_secs(1));
    };
    let Some(first) = Peer::tmux_as(&["--silent"], adjust) else { return };
    let session = first.start().await;
    assert_eq!(say(&session, "hello").await.text, "you said: hello");
    soon(session.detach(first.deadline())).await.unwrap();
    let second = first.again();
    let again = second.restore(&session.backend_ref()).await.unwrap();
    assert_eq!(say(&again, "and again").await.text, "you said: and again");
    second.finish(&again).await;
}

#[tokio::test]
async fn a_program_whose_terminal_can_not_be_reached_any_more_is_ended() {
    let Some(peer) = detaching() else { return };
    let session = peer.start().await;
    std::fs::remove_file(socket(&peer)).unwrap();
    let outcome = say(&session, "hello").await.outcome;
    assert!(matches!(outcome, Outcome::Failed(BackendError::Crashed { .. })), "{outcome:?}");
    assert!(!session.is_alive(), "or every message would fail like this one");
    assert_eq!(peer.processes(), [""; 0]);

    let session = peer.start().await;
    soon(session.detach(peer.deadline())).await.unwrap();
    std::fs::remove_file(socket(&peer)).unwrap();
    let second = peer.again();
    assert_eq!(second.restore(&session.backend_ref()).await.unwrap_err(), BackendError::Unknown);
    assert_eq!(peer.processes(), [""; 0]);
}

#[tokio::test]
async fn what_is_recorded_but_gone_is_unknown_and_what_is_not_recorded_is_swept() {
    let Some(first) = detaching() else { return };
    let (kept, other) = (first.start().await, first.start().await);
    let name = kept.backend_ref();
    let swept = kill_leftovers(&first.run_id, &spared(&name));
    assert!(swept.spared && swept.killed >= 1, "{swept:?}");
    until("it is seen to be gone", || !other.is_alive()).await;
    assert!(kept.is_alive());
    // Its program ends while no daemon runs; its terminal still shows the last words.
    soon(kept.detach(first.deadline())).await.unwrap();
    let path = first.dir.path().join("state/tmux").join(format!("{}.sock", spared(&name).iter().next().unwrap()));
    assert!(tmux(&path, &["send-keys", "-t", "%0", "die", "Enter"]).status.success());
    let second = first.again();
    until("its program has ended", || !second.backend.outlived(&name)).await;
    assert_eq!(second.restore(&name).await.unwrap_err(), BackendError::Unknown);
    soon(other.release(first.deadline())).await.unwrap();
    until("nothing is left", || first.processes().is_empty()).await;
}
