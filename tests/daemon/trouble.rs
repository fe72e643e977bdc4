//! Slack, the network or what comes from them misbehaves, and people are served all the same.

use rustix::process::Signal;
use serde_json::json;

use super::harness::{Daemon, until};

#[test]
fn a_token_that_is_revoked_while_we_run_is_no_secret() {
    let daemon = Daemon::start(&[]);
    daemon.fault(&json!({"fault": "api_error", "error": "token_revoked", "method": "chat.postMessage", "rate": 1.0}));
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline hello");
    until("not ready", || {
        let (head, body) = daemon.ask("/readyz", "");
        head.contains(" 503 ") && body.contains("slack.bot_token: Slack refuses it (token_revoked)")
    });
    daemon.clear_faults();
    daemon.wait_for_answer("C0GENERAL", &ts, "hello");
    until("ready again", || daemon.ask("/readyz", "").0.contains(" 200 "));
    daemon.signal(Signal::TERM);
    let (code, log) = daemon.ended();
    assert_eq!(
        (code, log.matches("Slack refuses it").count(), log.matches("takes it again").count()),
        (0, 1, 1),
        "{log}"
    );
}

#[test]
fn an_answer_stands_there_once_though_slacks_own_answers_are_lost() {
    let daemon = Daemon::start(&[("HITCHLINE__HTTP__TOKEN", "operators-only")]);
    daemon.fault(&json!({"fault": "lost_reply", "method": "chat.postMessage"}));
    let quick = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline quick");
    daemon.wait_for_answer("C0GENERAL", &quick, "quick");
    daemon.wait_for_calls("conversations.replies", 1);
    for (looks, method) in [(2, "chat.startStream"), (3, "chat.postMessage")] {
        if method == "chat.postMessage" {
            daemon.fault(&json!({"fault": "stream_unsupported"}));
        }
        daemon.fault(&json!({"fault": "lost_reply", "method": method}));
        let long = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline !stream 30");
        let ours = [("channel", "C0GENERAL"), ("thread_ts", long.as_str()), ("user", "U0BOT")];
        daemon.wait(&[&ours[..], &[("text_contains", "30"), ("final", "true")]].concat());
        daemon.wait_for_calls("conversations.replies", looks);
        assert_eq!(daemon.replies("C0GENERAL", &long).len(), 1, "{method}");
    }
    daemon.say("U0ALICE", "C0GENERAL", Some(&quick), "@hitchline fence");
    daemon.wait_for_answer("C0GENERAL", &quick, "fence");
    assert_eq!(daemon.replies("C0GENERAL", &quick).len(), 2);
    let (_, counted) = daemon.ask("/metrics", "operators-only");
    assert!(
        counted.contains("hitchline_outbox_sent_total 4\n") && !counted.contains("possible_duplicates"),
        "{counted}"
    );
    assert_eq!(daemon.stop(), 0);
}

// holds: T-5
#[test]
fn what_only_a_person_can_mend_is_an_error_in_the_log_once() {
    let daemon = Daemon::start(&[("HITCHLINE__SLACK__SOCKETS", "2")]);
    // One for each of the two sockets.
    for _ in 0..2 {
        daemon.fault(&json!({"fault": "link_disabled"}));
    }
    until("both sockets are closed", || daemon.ask("/readyz", "").0.contains(" 503 "));
    daemon.wait_for_log("Socket Mode is switched off");
    daemon.signal(Signal::TERM);
    let (code, log) = daemon.ended();
    assert_eq!(code, 0, "{log}");
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(
        matches!(errors[..], [error] if error.contains("switch it on") && error.contains("tries again by itself")),
        "{errors:?}"
    );
}

#[test]
fn the_connection_is_replaced_without_losing_a_message() {
    let daemon = Daemon::start(&[]);
    daemon.fault(&json!({"fault": "refresh", "close_ms": 500}));
    for n in 0..19 {
        let ts = daemon.say("U0ALICE", "C0GENERAL", None, &format!("@hitchline number {n}"));
        daemon.wait_for_answer("C0GENERAL", &ts, &format!("number {n}"));
    }
    daemon.fault(&json!({"fault": "cut"}));
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline after the cut");
    daemon.wait_for_answer("C0GENERAL", &ts, "after the cut");
    assert_eq!(daemon.stop(), 0);
}

// holds: T-7
#[test]
fn nonsense_is_survived_and_counted_and_only_the_operator_may_count() {
    let daemon = Daemon::start(&[("HITCHLINE__HTTP__TOKEN", "operators-only")]);
    for frame in [json!("no JSON"), json!({"type": "surprise"}), json!({"envelope_id": "e-1", "type": "novelty"})] {
        daemon.inject(&json!({"frame": frame}));
    }
    daemon.inject(&json!({"event": {"type": "message", "channel": "C0GENERAL", "ts": "1.1", "text": "by nobody"}}));
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline still here");
    daemon.wait_for_answer("C0GENERAL", &ts, "still here");

    assert!(daemon.ask("/livez", "").0.contains(" 200 "));
    assert!(daemon.ask("/readyz", "").0.contains(" 200 "));
    for wrong in ["", "guessed"] {
        let (head, body) = daemon.ask("/metrics", wrong);
        assert!(head.contains(" 401 ") && !body.contains("hitchline_"), "{head} {body}");
        assert!(head.to_lowercase().contains("\r\nwww-authenticate: bearer"), "{head}");
    }
    let (_, counted) = daemon.ask("/metrics", "operators-only");
    for line in [
        "hitchline_events_ignored_total{reason=\"incomplete\"} 1",
        "hitchline_events_ignored_total{reason=\"unknown_type\"} 2",
        "hitchline_events_ignored_total{reason=\"unreadable\"} 1",
        "hitchline_turns_total{outcome=\"completed\"} 1",
        "hitchline_sockets_live 1",
        "hitchline_sessions_live 1",
        "hitchline_draining 0",
    ] {
        assert!(counted.contains(line), "{line}:\n{counted}");
    }
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn where_streams_do_not_work_the_answer_grows_by_edits() {
    let daemon = Daemon::start(&[]);
    daemon.fault(&json!({"fault": "stream_unsupported", "times": 1000}));
    let ts = daemon.say("U0ALICE", "C0GENERAL", None, "@hitchline !stream 60");
    let answer = daemon.wait(&[
        ("channel", "C0GENERAL"),
        ("thread_ts", &ts),
        ("user", "U0BOT"),
        ("text_contains", "60"),
        ("final", "true"),
    ]);
    assert!(answer["versions"].as_array().unwrap().len() >= 2, "{answer}");
    assert_eq!(daemon.replies("C0GENERAL", &ts).len(), 1);
    assert_eq!(daemon.stop(), 0);
}
