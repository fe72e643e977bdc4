//! Who is let in.

use rustix::process::Signal;
use serde_json::json;

use super::daemon::{Daemon, TOKEN, bearer};
use super::http::{Events, request};

const PATHS: [&str; 9] = [
    "GET /api/chat/session",
    "POST /api/chat/session",
    "GET /api/chat/sessions",
    "POST /api/chat/sessions/0123abcd/resume",
    "POST /api/chat/messages",
    "POST /api/chat/end",
    "POST /api/chat/stop",
    "POST /api/chat/press",
    "GET /api/chat/events",
];

// holds: W-5
#[test]
fn a_person_logs_in_once_and_goes_on_with_a_cookie() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let call = |line: &str, headers: &[&str], body: &str| {
        let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
        request(&daemon.address, line, &headers, body)
    };
    for path in PATHS {
        for headers in [&[][..], &["Authorization: Bearer wrong"], &["Cookie: hitchline_chat=wrong"]] {
            let refused = call(path, headers, "{}");
            assert_eq!(refused.status, 401, "{path}: {refused:?}");
            assert!(refused.json()["error"].is_string() && refused.header("www-authenticate").is_some());
        }
    }
    assert_eq!(call("POST /api/chat/login", &[], r#"{"token":"wrong"}"#).status, 401);
    let entered = call("POST /api/chat/login", &[], &json!({"token": TOKEN}).to_string());
    assert_eq!(entered.status, 200, "{entered:?}");
    let cookie = entered.header("set-cookie").unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/api/chat"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains(TOKEN), "another service on this host may get it: {cookie}");
    assert!(!cookie.contains("Secure"), "over plain HTTP a browser would drop it: {cookie}");
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    assert_eq!(call("POST /api/chat/session", &[&cookie], "").status, 201);
    let shown = call("GET /api/chat/session", &[&cookie], "");
    assert_eq!((shown.status, &shown.json()["session_connected"]), (200, &json!(true)));
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    let value = cookie.split_once('=').unwrap().1;
    for path in ["GET /api/chat/session", "GET /sessions"] {
        assert_eq!(call(path, &[&format!("Authorization: Bearer {value}")], "").status, 401, "it is no bearer: {path}");
    }
    let raw = format!("Cookie: hitchline_chat={TOKEN}");
    assert_eq!(call("GET /api/chat/session", &[&raw], "").status, 401, "nor is the token a cookie");
    let left = call("POST /api/chat/logout", &[&cookie], "");
    assert!(left.status == 200 && left.header("set-cookie").unwrap().contains("Max-Age=0"), "{left:?}");
    assert!(!daemon.log().contains(TOKEN));
}

#[test]
fn pages_from_elsewhere_and_large_bodies_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let with = |header: &str, body: &str| {
        let mut headers = bearer();
        headers.extend((!header.is_empty()).then(|| header.to_owned()));
        request(&daemon.address, "POST /api/chat/session", &headers, body)
    };
    for origin in ["http://evil.example", "http://127.0.0.1:1", "null"] {
        let refused = with(&format!("Origin: {origin}"), "{}");
        assert_eq!(refused.status, 403, "{origin}: {refused:?}");
    }
    assert_eq!(with(&format!("Origin: http://{}", daemon.address), "{}").status, 201);
    let large = with("", &format!("{{\"description\":\"{}\"}}", "x".repeat(1024 * 1024)));
    assert_eq!(large.status, 413, "{large:?}");
    assert!(large.json()["error"].is_string());
    for (line, status) in [("GET /api/chat/nothing", 404), ("DELETE /api/chat/session", 405)] {
        let answer = request(&daemon.address, line, &bearer(), "");
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        assert!(answer.json()["error"].is_string(), "{answer:?}");
    }
}

#[test]
fn the_page_is_shown_to_anybody_and_runs_nothing_but_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let page = request(&daemon.address, "GET /chat", &[], "");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    let nonce = policy.split("script-src 'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(page.text.contains(&format!("<script nonce=\"{nonce}\"")), "{nonce}");
    assert!(!page.text.contains(TOKEN));
    let other = request(&daemon.address, "GET /chat", &[], "");
    assert_ne!(other.header("content-security-policy"), Some(policy), "a nonce is used once");
}

#[test]
fn without_a_token_nobody_is_let_in_and_is_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let slackless = "[slack]\napi_url = \"http://127.0.0.1:9/api/\"\nbot_token = \"xoxb-1\"\napp_token = \"xapp-1\"\n";
    let daemon = Daemon::run(dir.path(), &[], slackless);
    for path in PATHS.iter().chain(&["GET /chat", "POST /api/chat/login"]) {
        let refused = request(&daemon.address, path, &bearer(), "{}");
        assert_eq!(refused.status, 401, "{path}: {refused:?}");
        assert!(refused.text.contains("http.token_file"), "{refused:?}");
    }
}

// holds: W-3
#[test]
fn before_slack_is_reached_and_while_we_stop_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let slackless = "[slack]\napi_url = \"http://127.0.0.1:9/api/\"\nbot_token = \"xoxb-1\"\napp_token = \"xapp-1\"\n\
                     [http]\ntoken = \"operators-only\"\n";
    let daemon = Daemon::run(dir.path(), &[], slackless);
    for path in PATHS {
        // What is sent is read before it is refused.
        let body = match path.rsplit('/').next() {
            Some("messages") => r#"{"text":"hi"}"#,
            Some("press") => r#"{"message_id":"w.1","press":{"stop":{"turn":"0198f3c27ac07d7e8a1b2c3d4e5f6071"}}}"#,
            _ => "",
        };
        let refused = request(&daemon.address, path, &bearer(), body);
        assert_eq!(refused.status, 503, "{path}: {refused:?}");
    }
    drop(daemon);
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::with(dir.path(), "[shutdown]\nturn_grace = \"20s\"\ntotal = \"25s\"\n");
    let mut events = daemon.events();
    daemon.create();
    daemon.say("!sleep 3");
    events.wait_for("status", |status| status["text"] != "");
    daemon.signal(Signal::TERM);
    let mut refused = daemon.post("/api/chat/messages", &json!({"text": "more"}));
    while refused.status == 202 {
        refused = daemon.post("/api/chat/messages", &json!({"text": "more"}));
    }
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(daemon.post("/api/chat/session", &json!({})).status, 503);
    assert_eq!(events.answer()["markdown"], "slept 3 s", "who watches sees the last answer");
    assert!(events.next().is_none_or(|event| event.name != "message"), "and then the end");
}

#[test]
fn so_many_may_watch_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut watching: Vec<Events> = (0..32).map(|_| daemon.events()).collect();
    assert_eq!(Events::open(&daemon.address, &bearer()).err(), Some(503));
    daemon.create();
    for events in &mut watching {
        events.wait_for("session", |session| session["session_connected"] == true);
    }
}
