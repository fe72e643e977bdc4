//! Agents behind a server, over the built binary.

use rustix::process::Signal;

use crate::amplifierd_server::Amplifierd;
use crate::harness::Slack;

const CHANNEL: &str = "C0GENERAL";

// holds: C-1, C-3, S-14
#[test]
fn an_agent_behind_a_server_answers_before_and_after_a_restart_and_the_client_is_given_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Amplifierd::start());
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().canonicalize().unwrap();
    let dir = dir.to_str().unwrap();
    let url = server.url();
    let environment = [
        ("HITCHLINE__SESSIONS__BACKEND", "agent"),
        ("HITCHLINE__BACKENDS__AGENT__KIND", "amplifierd"),
        ("HITCHLINE__BACKENDS__AGENT__URL", &url),
        ("HITCHLINE__BACKENDS__AGENT__WORKING_DIR", dir),
    ];
    let slack = Slack::start();
    let daemon = slack.daemon_in(dir, &environment);
    let ts = slack.say("U0ALICE", CHANNEL, None, "@hitchline hello there");
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &ts), ("text_contains", "echo: hello there"), ("final", "true")]);
    let (code, log) = daemon.end(Signal::TERM);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("http client closed") && !log.contains("http client closed while"), "{log}");
    assert_eq!(server.live(), 0, "its session is put away");

    let daemon = slack.daemon_in(dir, &environment);
    slack.say("U0ALICE", CHANNEL, Some(&ts), "and again");
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &ts), ("text_contains", "echo: and again"), ("final", "true")]);
    assert_eq!((server.asked("POST /sessions"), server.asked("/resume")), (1, 1), "it is the same session");
    slack.say("U0ALICE", CHANNEL, Some(&ts), "end");
    slack.wait(&[("channel", CHANNEL), ("thread_ts", &ts), ("text_contains", "has ended")]);
    assert_eq!(daemon.stop(), 0);
}
