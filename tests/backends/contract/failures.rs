//! Rows 16 to 19 and 24: what agents refuse, and what that means.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hitchline::backend::config::{Acp, Amplifierd, Config, Opencode, TmuxOnShutdown};
use hitchline::backend::error::{BackendError, Kind};
use hitchline::backend::{Outcome, TurnEvent};
use hitchline::domain::agent::{AgentEvent, OptionKind};
use hitchline::domain::session::BackendRef;
use hitchline::secret::SecretString;

use super::{Cannot, Kept, KeptBut, Verdict};
use crate::logs;
use crate::peer::{Heard, Peer, Reach, hear, prompt, soon, turn, until};
use crate::proxy::{Events, Instead};
use crate::server::Server;

type IsExpected = fn(&BackendError) -> bool;

const UNKNOWN: IsExpected = |error| *error == BackendError::Unknown;
const PASSES: IsExpected = |error| matches!(error, BackendError::Transient(_));
const REFUSED: IsExpected = |error| matches!(error, BackendError::Rejected(_));
const SIGN_IN: IsExpected = |error| matches!(error, BackendError::Auth(_));

/// What agents answer to a prompt, as recorded of nine of them.
const ERRORS: [(&str, IsExpected); 11] = [
    (r#"{"code":-32002,"message":"Resource not found","data":{"sessionId":"THIS"}}"#, UNKNOWN),
    (r#"{"code":-32002,"message":"Session THIS not found"}"#, UNKNOWN),
    (r#"{"code":-32602,"message":"Invalid params: session not found: THIS"}"#, UNKNOWN),
    (r#"{"code":-32603,"message":"Internal error","data":{"details":"Session not found: THIS"}}"#, UNKNOWN),
    (r#"{"code":-32603,"message":"Internal error","data":{"details":"Session THIS not found"}}"#, UNKNOWN),
    (r#"{"code":-32602,"message":"Invalid params","data":"unknown session `THIS`"}"#, UNKNOWN),
    (r#"{"code":-32002,"message":"Resource not found","data":{"uri":"file:///tmp/x"}}"#, |error| !UNKNOWN(error)),
    (r#"{"code":-32603,"message":"Internal error: mock 500","data":{"errorName":"APIError"}}"#, PASSES),
    (r#"{"code":-32603,"message":"Internal error","data":{"details":"429 mock 429"}}"#, PASSES),
    (r#"{"code":-32602,"message":"Invalid params: no such content"}"#, REFUSED),
    (r#"{"code":-32000,"message":"Authentication required"}"#, SIGN_IN),
];

fn answer(status: u16, body: &'static str) -> Response {
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

// holds: S-2, S-4, S-5
pub(super) async fn row_16_the_unknown_is_told_from_what_fails(peer: &Peer) -> Verdict {
    let lost = peer.restore(&BackendRef("lost-1".to_owned())).await.unwrap_err();
    assert!(matches!(lost, BackendError::Unknown | BackendError::Unsupported(_)), "{lost:?}");
    match &peer.reach {
        Reach::Inside => {
            let session = peer.start().await;
            for kind in ["transient", "auth", "crash"] {
                let error = failure(&turn(&session, &format!("!fail {kind}"), OptionKind::AllowOnce).await);
                assert_eq!(error.kind(), Kind::Transient, "{error:?}");
            }
            peer.finish(&session).await;
        }
        Reach::Streams => {
            let peer = peer.meddled(&[]);
            for (said, is_expected) in ERRORS {
                let session = peer.start().await;
                let said = said.replace("THIS", &session.backend_ref().0);
                std::fs::write(peer.dir.path().join("instead"), format!("session/prompt {said}")).unwrap();
                let error = failure(&turn(&session, peer.hello, OptionKind::AllowOnce).await);
                assert!(is_expected(&error), "{said}: {error:?}");
                soon(session.end(peer.deadline())).await.unwrap();
            }
            soon(peer.backend.shutdown(peer.deadline())).await;
        }
        Reach::Screen => {
            let Config::Tmux(mut config) = peer.config.clone() else { panic!("it is no terminal") };
            config.on_shutdown = TmuxOnShutdown::Detach;
            let peer = peer.configured(&Config::Tmux(config));
            for name in ["", "lost-1", "hl-0123456789abcdef.42.4711", "../../x.1.1"] {
                assert_eq!(peer.restore(&BackendRef(name.to_owned())).await.unwrap_err(), BackendError::Unknown);
            }
        }
        Reach::Server(server) => refusals(peer, server).await,
    }
    Kept
}

fn failure(heard: &Heard) -> BackendError {
    let Outcome::Failed(error) = &heard.outcome else { panic!("it did not fail: {heard:?}") };
    error.clone()
}

/// What servers answer, as recorded, and what stands between us and them.
async fn refusals(peer: &Peer, server: &Server) {
    const GONE: (&str, &str) = (
        r#"{"detail":{"type":"https://amplifier.dev/errors/session-not-found","title":"Session Not Found","status":404}}"#,
        r#"{"name":"NotFoundError","data":{"message":"Session not found: x"}}"#,
    );
    let gone = if server.is_opencode() { GONE.1 } else { GONE.0 };
    let session = peer.start().await;
    let cases: [(u16, &'static str, IsExpected); 10] = [
        (404, "<html>nginx</html>", |error| matches!(error, BackendError::Protocol(_))),
        (500, "Internal Server Error", PASSES),
        (502, "", PASSES),
        (504, r#"{"type":"https://amplifier.dev/errors/timeout","status":504,"detail":"slow"}"#, PASSES),
        (429, r#"{"detail":"slow down"}"#, PASSES),
        (400, r#"{"detail":"no"}"#, REFUSED),
        (413, "too large", REFUSED),
        (422, r#"{"detail":[{"type":"missing","loc":["body","prompt"],"msg":"no"}]}"#, REFUSED),
        (401, r#"{"detail":"Invalid or missing API key"}"#, SIGN_IN),
        (403, "", SIGN_IN),
    ];
    for (status, body, is_expected) in cases {
        server.proxy.answer(server.lines.submit, answer(status, body));
        let error = failure(&turn(&session, peer.hello, OptionKind::AllowOnce).await);
        assert!(is_expected(&error) && error.kind() == Kind::Transient, "{status}: {error:?}");
    }
    // Once it may have been put away; twice it is gone.
    server.proxy.answer(server.lines.submit, answer(404, gone));
    assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    (0..2).for_each(|_| server.proxy.answer(server.lines.submit, answer(404, gone)));
    assert_eq!(failure(&turn(&session, peer.hello, OptionKind::AllowOnce).await), BackendError::Unknown);
    server.proxy.answer(server.lines.submit, answer(410, ""));
    assert_eq!(failure(&turn(&session, peer.hello, OptionKind::AllowOnce).await), BackendError::Ended);
    peer.finish(&session).await;
}

pub(super) async fn row_17_what_passes_keeps_the_session(peer: &Peer) -> Verdict {
    match &peer.reach {
        Reach::Inside => {
            let session = peer.start().await;
            let error = failure(&turn(&session, "!fail transient", OptionKind::AllowOnce).await);
            assert!(PASSES(&error), "{error:?}");
            assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
            peer.finish(&session).await;
            Kept
        }
        Reach::Streams => {
            let peer = peer.meddled(&[]);
            let session = peer.start().await;
            for (said, _) in ERRORS.iter().filter(|(_, is_expected)| !std::ptr::fn_addr_eq(*is_expected, UNKNOWN)) {
                std::fs::write(peer.dir.path().join("instead"), format!("session/prompt {said}")).unwrap();
                failure(&turn(&session, peer.hello, OptionKind::AllowOnce).await);
                assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
            }
            peer.finish(&session).await;
            Kept
        }
        Reach::Screen => Cannot("a terminal has no failures that pass: its program is there, or it is not"),
        Reach::Server(server) => {
            of_a_server(peer, server).await;
            Kept
        }
    }
}

async fn of_a_server(peer: &Peer, server: &Server) {
    let session = peer.start().await;
    let (submit, say) = (server.lines.submit, async |text: &str| turn(&session, text, OptionKind::AllowOnce).await);
    for status in [429, 500] {
        server.proxy.answer(submit, answer(status, "Internal Server Error"));
        assert!(PASSES(&failure(&say(peer.hello).await)));
        assert_eq!(say(peer.hello).await.outcome, Outcome::Completed);
    }
    // It is not ready, which it says, and when it will be.
    let mut loading = answer(503, r#"{"detail":"Bundles are still loading. Retry shortly."}"#);
    loading.headers_mut().insert("retry-after", "1".parse().unwrap());
    server.proxy.answer(submit, loading);
    let before = peer.clock.now();
    assert_eq!(say(peer.hello).await.outcome, Outcome::Completed);
    assert!(peer.clock.now() - before >= Duration::from_secs(1));
    // It can't be reached.
    server.proxy.down().await;
    let mut waiting = soon(session.prompt(prompt(peer.hello))).await.unwrap();
    let told = soon(waiting.next()).await;
    assert!(matches!(told, Some(TurnEvent::Agent(AgentEvent::Notice(_)))), "{told:?}");
    server.proxy.up().await;
    assert_eq!(hear(&session, waiting, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
    // Its events break off in the middle of an answer, of which nothing is missing in the end.
    let whole = say("0 1 2 3 4 5 6 7 8 9").await.text;
    let part = if server.is_opencode() { "message.part.delta" } else { "content_block:start" };
    server.proxy.events(Events::CutAfter(part));
    let heard = say("0 1 2 3 4 5 6 7 8 9").await;
    assert_eq!((heard.text, heard.outcome), (whole, Outcome::Completed));
    peer.finish(&session).await;
}

pub(super) async fn row_18_nothing_is_sent_twice(peer: &Peer) -> Verdict {
    match &peer.reach {
        Reach::Inside => return Cannot("it is a part of Hitchline, and nothing is sent"),
        Reach::Streams => {
            let log = peer.dir.path().join("log");
            let peer = peer.meddled(&["--log", log.to_str().unwrap()]);
            let prompts = || std::fs::read_to_string(&log).unwrap_or_default().matches("session/prompt").count();
            // It has taken the prompt when it dies.
            let session = peer.start().await;
            let stream = soon(session.prompt(prompt(peer.wait))).await.unwrap();
            until("it has the prompt", || prompts() == 1).await;
            for id in peer.processes() {
                drop(std::process::Command::new("kill").args(["-KILL", &id]).status());
            }
            failure(&hear(&session, stream, OptionKind::AllowOnce).await);
            soon(session.release(peer.deadline())).await.unwrap();
            let next = match peer.restore(&session.backend_ref()).await {
                Ok(again) => again,
                Err(_) => peer.start().await,
            };
            assert_eq!(prompts(), 1);
            peer.finish(&next).await;
            assert_eq!(prompts(), 1);
        }
        Reach::Screen => {
            let session = peer.start().await;
            let heard = turn(&session, "only once", OptionKind::AllowOnce).await;
            assert_eq!(heard.text, "you said: only once");
            let attach = session.attach().unwrap();
            let capture = attach.replace(" attach", " capture-pane -p");
            let shown = std::process::Command::new("sh").args(["-c", &capture]).output().unwrap().stdout;
            assert_eq!(String::from_utf8_lossy(&shown).matches("> only once").count(), 1);
            peer.finish(&session).await;
        }
        Reach::Server(server) => {
            let session = peer.start().await;
            server.proxy.next(server.lines.submit, Instead::Lose);
            let heard = turn(&session, peer.hello, OptionKind::AllowOnce).await;
            assert_eq!(server.proxy.asked(server.lines.submit), 1, "{heard:?}");
            assert_eq!(turn(&session, peer.hello, OptionKind::AllowOnce).await.outcome, Outcome::Completed);
            assert_eq!(server.proxy.asked(server.lines.submit), 2);
            peer.finish(&session).await;
        }
    }
    Kept
}

/// What must not be told.
const SECRET: &str = "sk-a-secret-of-this-test";

// holds: C-1
pub(super) async fn row_19_a_missing_sign_in_ends_nothing(peer: &Peer) -> Verdict {
    logs::collect();
    let error = match &peer.reach {
        Reach::Inside => {
            let session = peer.start().await;
            let error = failure(&turn(&session, "!fail auth", OptionKind::AllowOnce).await);
            assert!(session.is_alive());
            peer.finish(&session).await;
            error
        }
        Reach::Screen => return Cannot("it signs in on its own screen"),
        Reach::Streams => {
            let peer = peer.meddled(&["--log", "log"]);
            let Config::Acp(mut config) = peer.config.clone() else { panic!("it has no streams") };
            config.env.insert("API_KEY".to_owned(), SECRET.to_owned());
            let peer = peer.configured(&Config::Acp(Acp { ..config }));
            let refusal = r#"session/new {"code":-32000,"message":"Authentication required"}"#;
            std::fs::write(peer.dir.path().join("instead"), refusal).unwrap();
            let error = peer.try_start().await.unwrap_err();
            let asked = std::fs::read_to_string(peer.dir.path().join("log")).unwrap();
            assert_eq!(asked.matches("session/new").count(), 1, "it was asked again");
            let session = peer.start().await;
            peer.finish(&session).await;
            error
        }
        Reach::Server(server) => {
            let secret = Some(SecretString::from(SECRET).into());
            let peer = peer.configured(&match peer.config.clone() {
                Config::Amplifierd(config) => Config::Amplifierd(Amplifierd { api_key: secret, ..config }),
                Config::Opencode(config) => Config::Opencode(Opencode { password: secret, ..config }),
                _ => panic!("it has no server"),
            });
            // The real one sees by itself that this is not its password.
            if !server.is_opencode() {
                server.proxy.answer(server.lines.create, answer(401, r#"{"detail":"Invalid or missing API key"}"#));
            }
            let error = peer.try_start().await.unwrap_err();
            assert_eq!(server.proxy.asked(server.lines.create), 1, "it was asked again");
            error
        }
    };
    assert!(SIGN_IN(&error) && error.kind() == Kind::Transient, "{error:?}");
    assert!(!error.to_string().contains(SECRET), "{error}");
    assert_eq!(logs::with(SECRET), [""; 0]);
    Kept
}

pub(super) async fn row_24_another_version_is_refused(peer: &Peer) -> Verdict {
    match &peer.reach {
        Reach::Inside => Cannot("it is a part of Hitchline, of the same version"),
        Reach::Screen => Cannot("a screen has no version"),
        Reach::Streams => {
            let peer = peer.meddled(&["--version", "2"]);
            let error = peer.try_start().await.unwrap_err();
            assert!(matches!(&error, BackendError::Protocol(said) if said.contains("version 2")), "{error:?}");
            assert_eq!(peer.processes(), [""; 0]);
            soon(peer.scope.wait()).await;
            Kept
        }
        Reach::Server(server) => {
            // Another server, or one whose answers have another shape.
            for body in ["<html>It works!</html>", r#"{"id":7}"#] {
                server.proxy.answer(server.lines.create, answer(200, body));
                let error = peer.try_start().await.unwrap_err();
                assert!(matches!(error, BackendError::Protocol(_)), "{body}: {error:?}");
            }
            let session = peer.start().await;
            peer.finish(&session).await;
            KeptBut("its server names no version: one whose answers have another shape is refused")
        }
    }
}
