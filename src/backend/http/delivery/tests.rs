use reqwest::StatusCode;

use super::*;
use crate::backend::http::failure::Refusal;

fn refused(status: u16) -> Failure {
    Failure::Refused(Refusal::read(StatusCode::from_u16(status).unwrap(), Some("7"), b""))
}

#[test]
fn what_is_done_depends_on_whether_the_prompt_may_have_arrived() {
    use Condition::{Fresh, Spent};
    use Stage::{Before, Sending};
    let unreachable = || Failure::Unreachable("refused".to_owned());
    let broken = || Failure::Broken("reset".to_owned());
    let named = Duration::from_secs(7);
    let cases = [
        (Before, unreachable(), Step::Wait(Duration::ZERO)),
        (Sending, unreachable(), Step::Wait(Duration::ZERO)),
        (Before, refused(503), Step::Wait(named)),
        (Sending, refused(503), Step::Wait(named)),
        (Sending, refused(409), Step::Wait(named)),
        // What was not sent can wait, whatever stands between.
        (Before, broken(), Step::Wait(Duration::ZERO)),
        (Before, refused(429), Step::Wait(named)),
        (Before, refused(502), Step::Wait(named)),
        (Before, refused(504), Step::Wait(named)),
        (Before, refused(500), Step::GiveUp(Fresh)),
        // It may run by now: its end must be waited for before the next.
        (Sending, broken(), Step::GiveUp(Spent)),
        (Sending, refused(500), Step::GiveUp(Fresh)),
        (Sending, refused(502), Step::GiveUp(Spent)),
        (Sending, refused(504), Step::GiveUp(Spent)),
        (Sending, refused(429), Step::GiveUp(Fresh)),
        (Sending, refused(422), Step::GiveUp(Fresh)),
        (Before, refused(401), Step::GiveUp(Fresh)),
    ];
    for (stage, failure, expected) in cases {
        assert_eq!(step(stage, &failure, false, false, Fresh), expected, "{stage:?} {failure:?}");
    }
}

#[test]
fn a_session_that_was_put_away_is_resumed_once() {
    let decided = |was_resumed| step(Stage::Sending, &refused(404), true, was_resumed, Condition::Fresh);
    assert_eq!(decided(false), Step::Resume);
    assert_eq!(decided(true), Step::GiveUp(Condition::PutAway));
}
