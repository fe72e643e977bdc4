//! Decisions: asked once, answered once, by those who may.

use hitchline::backend::Outcome;
use hitchline::domain::agent::{AgentEvent, Decision, OptionKind};
use hitchline::domain::ids::{ApprovalId, Ts};
use hitchline::domain::outgoing::{ApprovalCard, ApprovalState};
use hitchline::domain::ports::{WriteError, WriteErrorKind};
use hitchline::store::AuditEntry;

use super::agent::{Act, locked};
use super::people;
use super::puppet::Puppet;
use super::slack::{PART, Step};
use super::world::{APPROVAL, World};

const OPTIONS: &[OptionKind] = &[OptionKind::AllowAlways, OptionKind::AllowOnce, OptionKind::RejectOnce];

/// A turn of U1 that waits for a decision.
struct Asked {
    world: World,
    session: std::sync::Arc<Puppet>,
    thread: Ts,
    at: Ts,
    card: ApprovalCard,
}

impl Asked {
    async fn new() -> Self {
        let world = World::new().await;
        let thread = world.mention("U1", "hello").await;
        let session = world.prompted("hello").await;
        session.asks("a", OPTIONS).await;
        let (at, card) = world.card(&thread).await;
        Self { world, session, thread, at, card }
    }

    /// `user` presses; returns what they alone are told.
    async fn press(&self, user: &str, option: usize, reply: &str) -> Option<String> {
        self.world.deliver(people::press(user, &self.thread, &self.at, self.card.id, option, reply)).await;
        self.world.settle().await;
        let responses = locked(&self.world.slack.responses);
        responses.iter().find(|(to, _)| to == reply).map(|(_, text)| text.clone())
    }

    fn answers(&self) -> Vec<Decision> {
        locked(&self.session.answers).iter().map(|(_, decision)| decision.clone()).collect()
    }

    fn state(&self) -> ApprovalState {
        self.world.slack.cards(&self.thread)[0].1.state.clone()
    }

    async fn until_state_is(&self, state: ApprovalState) {
        self.world.until(&format!("{state:?}"), || self.state() == state).await;
    }
}

fn chose(option: usize) -> Decision {
    Decision::Selected { option: format!("o{option}") }
}

// holds: K-5
#[tokio::test]
async fn f_56_who_asked_decides_once_and_everybody_else_is_told_so() {
    let asked = Asked::new().await;
    let told = asked.press("U2", 1, "somebody else").await.expect("told");
    assert!(told.contains("Only the person who asked"), "{told}");
    assert!(asked.press("U9", 1, "a stranger").await.expect("told").contains("may not"));
    assert!(asked.press("U1", 7, "no option").await.expect("told").contains("settled already"));
    assert!(asked.answers().is_empty() && asked.world.slack.cards(&asked.thread).len() == 1);
    assert_eq!(asked.press("U1", 1, "who asked").await, None);
    asked.until_state_is(ApprovalState::Decided { by: "U1".into(), option: 1 }).await;
    assert!(asked.press("U1", 2, "again").await.expect("told").contains("settled already"));
    assert!(asked.press("UADMIN", 2, "an admin, late").await.expect("told").contains("settled already"));
    assert_eq!(asked.answers(), [chose(1)]);
    asked.session.ends(Outcome::Completed);
    asked.world.rest().await;
    assert!(asked.press("U1", 1, "after the turn").await.expect("told").contains("settled already"));
    assert_eq!((asked.answers(), asked.world.agents.count("answer")), (vec![chose(1)], 1));
}

// holds: K-5
#[tokio::test]
async fn an_admin_decides_for_others() {
    let asked = Asked::new().await;
    assert_eq!(asked.press("UADMIN", 2, "an admin").await, None);
    asked.until_state_is(ApprovalState::Decided { by: "UADMIN".into(), option: 2 }).await;
    assert_eq!(asked.answers(), [chose(2)]);
}

#[tokio::test]
async fn f_56_a_press_that_comes_twice_side_by_side_counts_once() {
    let asked = Asked::new().await;
    let press = |reply| people::press("U1", &asked.thread, &asked.at, asked.card.id, 1, reply);
    tokio::join!(asked.world.deliver(press("one")), asked.world.deliver(press("two")));
    asked.world.until("an answer for the loser", || !locked(&asked.world.slack.responses).is_empty()).await;
    asked.world.settle().await;
    assert_eq!((asked.answers(), locked(&asked.world.slack.responses).len()), (vec![chose(1)], 1));
}

#[tokio::test]
async fn f_55_silence_is_a_rejection_and_later_presses_are_stale() {
    let asked = Asked::new().await;
    asked.world.hand.advance(APPROVAL);
    asked.until_state_is(ApprovalState::Expired).await;
    assert_eq!(asked.answers(), [chose(2)], "the option that rejects, wherever it stands");
    assert!(asked.press("U1", 1, "late").await.expect("told").contains("settled already"));
    assert_eq!(asked.answers().len(), 1);
    asked.session.says("then not").await;
    asked.session.ends(Outcome::Completed);
    asked.world.until_thread_is(&asked.thread, &["then not"]).await;
}

#[tokio::test]
async fn each_of_several_decisions_has_its_own_time() {
    let asked = Asked::new().await;
    asked.world.hand.advance(APPROVAL / 2);
    asked.session.asks("b", &[OptionKind::AllowOnce]).await;
    asked.world.until("two cards", || asked.world.slack.cards(&asked.thread).len() == 2).await;
    asked.world.hand.advance(APPROVAL / 2);
    asked.until_state_is(ApprovalState::Expired).await;
    let second = &asked.world.slack.cards(&asked.thread)[1].1;
    assert!(matches!(second.state, ApprovalState::Open { .. }), "{second:?}");
    asked.world.hand.advance(APPROVAL);
    asked.world.until("the second", || asked.answers().len() == 2).await;
    assert_eq!(asked.answers(), [chose(2), Decision::Cancelled], "without an option that rejects, it is cancelled");
}

#[tokio::test]
async fn a_turn_that_is_over_no_longer_asks() {
    let endings: [fn(&Puppet); 3] = [
        |session| session.ends(Outcome::Completed),
        |session| session.ends(Outcome::Cancelled),
        |session| session.vanishes(),
    ];
    for end in endings {
        let asked = Asked::new().await;
        end(&asked.session);
        asked.until_state_is(ApprovalState::Withdrawn).await;
        asked.world.rest().await;
        assert!(asked.press("U1", 1, "late").await.expect("told").contains("settled already"));
        assert!(asked.answers().is_empty());
    }
}

#[tokio::test]
async fn stop_and_end_withdraw_the_question() {
    for word in ["stop", "end"] {
        let asked = Asked::new().await;
        asked.world.reply("U2", &asked.thread, word).await;
        asked.until_state_is(ApprovalState::Withdrawn).await;
        asked.world.rest().await;
        assert!(asked.press("U1", 1, "late").await.expect("told").contains("settled already"));
        assert!(!asked.answers().contains(&chose(1)));
    }
}

#[tokio::test]
async fn what_the_agent_takes_back_is_withdrawn_and_the_turn_goes_on() {
    let asked = Asked::new().await;
    asked.session.sends(AgentEvent::PermissionWithdrawn("a".into())).await;
    asked.until_state_is(ApprovalState::Withdrawn).await;
    asked.session.says("never mind").await;
    asked.session.ends(Outcome::Completed);
    asked.world.until_thread_is(&asked.thread, &["never mind"]).await;
}

// holds: K-5
#[tokio::test]
async fn a_button_of_an_approval_that_never_was_is_stale() {
    let asked = Asked::new().await;
    let forged = ApprovalCard { id: ApprovalId::new(), ..asked.card.clone() };
    let asked = Asked { card: forged, ..asked };
    assert!(asked.press("U1", 1, "forged").await.expect("told").contains("settled already"));
    assert!(asked.answers().is_empty());
}

// holds: K-5
#[tokio::test]
async fn a_question_that_nobody_will_see_is_answered_with_no() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    world.slack.fail(Step::Post, WriteErrorKind::Permanent);
    session.asks("a", OPTIONS).await;
    world.until("an answer", || !locked(&session.answers).is_empty()).await;
    assert_eq!(locked(&session.answers)[0].1, chose(2));
    let audit = world.store.audit(9).await.unwrap();
    assert_eq!((audit.len(), audit[0].outcome.as_str(), &audit[0].decider), (1, "expired", &None), "{audit:?}");
    session.ends(Outcome::Completed);
    world.until_told(&thread, "Slack did not take the question").await;
    world.rest().await;
}

#[tokio::test]
async fn a_stop_is_heard_however_many_presses_wait() {
    let asked = Asked::new().await;
    // The agent does not take the decision, so that nobody else is heard meanwhile.
    asked.session.set(|manners| manners.answer = Act::Hang);
    for press in 0..20 {
        asked.world.deliver(people::press("U1", &asked.thread, &asked.at, asked.card.id, 1, &press.to_string())).await;
    }
    asked.world.settle().await;
    asked.world.reply("U1", &asked.thread, "stop").await;
    asked.world.until_after(std::time::Duration::from_secs(20), || asked.world.agents.count("cancel") == 1).await;
    assert!(!asked.world.slack.texts(&asked.thread).iter().any(|text| text.contains("Nothing is running")));
}

// holds: P-8
#[tokio::test]
async fn what_was_said_before_a_question_is_not_lost_when_the_store_fails() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'no'); END";
    world.database().execute_batch(refuse).unwrap();
    session.says("before the question").await;
    session.asks("a", &[OptionKind::AllowOnce, OptionKind::RejectOnce]).await;
    world.until("the answer no", || !locked(&session.answers).is_empty()).await;
    world.database().execute_batch("DROP TRIGGER refuse").unwrap();
    session.says("after it").await;
    session.ends(Outcome::Completed);
    world.until_told(&thread, "after it").await;
    let texts = world.slack.texts(&thread);
    assert!(texts[0] == "before the question" && texts[1].contains("Slack did not take the question"), "{texts:?}");
    assert_eq!(world.store.open_approvals(None).await.unwrap(), []);
}

#[tokio::test]
async fn a_question_that_can_not_be_read_holds_up_no_start() {
    let asked = Asked::new().await;
    asked.world.database().execute("UPDATE approval SET card = 'no JSON'", []).unwrap();
    let after = asked.world.after_power_cut_in(&asked.world.slack).await;
    after.until_told(&asked.thread, "What is to become of it?").await;
}

#[tokio::test]
async fn a_question_is_not_shown_above_words_that_the_store_did_not_take() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    session.says("before the question").await;
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON outbox WHEN NEW.op LIKE '%before the question%'
                  BEGIN SELECT RAISE(ABORT, 'no'); END";
    world.database().execute_batch(refuse).unwrap();
    session.asks("a", OPTIONS).await;
    world.until("an answer", || world.agents.count("answer") == 1).await;
    assert!(world.slack.cards(&thread).is_empty(), "{:?}", world.slack.thread(&thread));
    world.database().execute_batch("DROP TRIGGER refuse").unwrap();
    session.ends(Outcome::Completed);
    world.until_told(&thread, "before the question").await;
}

/// A command that no card can show, with a sign that turns what follows around.
fn long() -> String {
    format!("echo \u{202e}{}\n", "x".repeat(PART))
}

impl World {
    /// U1's turn asks about a command; returns its thread.
    async fn asked_about(&self, command: &str) -> Ts {
        let thread = self.mention("U1", "hello").await;
        self.prompted("hello").await.asks_about("a", Some(command), OPTIONS).await;
        thread
    }
}

#[tokio::test]
async fn a_command_that_is_too_long_follows_its_card_whole_with_its_hash() {
    let world = World::new().await;
    let thread = world.asked_about(&long()).await;
    let (_, card) = world.card(&thread).await;
    assert!(card.attached);
    world.until("the file", || !locked(&world.slack.uploads).is_empty()).await;
    let (place, file) = locked(&world.slack.uploads)[0].clone();
    assert_eq!((place.thread, file.name), (Some(thread), card.file_name()));
    assert_eq!(file.bytes, long().as_bytes(), "to the byte, as the agent gave it");
    // Whoever has the file finds its hash in the card.
    let of_file = ApprovalCard { detail: Some(String::from_utf8(file.bytes).unwrap()), ..card.clone() };
    assert_eq!(card.hash(), of_file.hash());
}

#[tokio::test]
async fn a_command_that_a_card_shows_needs_no_file() {
    let world = World::new().await;
    let thread = world.asked_about("ls").await;
    assert!(!world.card(&thread).await.1.attached);
    world.settle().await;
    assert!(locked(&world.slack.uploads).is_empty());
}

#[tokio::test]
async fn where_the_file_can_not_come_it_is_said() {
    let world = World::new().await;
    let code = "missing_scope".to_owned();
    let refused = WriteError { kind: WriteErrorKind::Permanent, call: "files.getUploadURLExternal", code };
    *locked(&world.slack.no_upload) = Some(refused);
    let thread = world.asked_about(&long()).await;
    let (_, card) = world.card(&thread).await;
    // While it can still be decided, and whatever becomes of streams.
    world.until_told(&thread, "could not be attached (the bot token lacks the scope `files:write`)").await;
    assert!(matches!(world.card(&thread).await.1.state, ApprovalState::Open { .. }), "{card:?}");
    assert_eq!((world.slack.count(Step::Start), world.agents.count("answer")), (0, 0));
}

#[tokio::test]
async fn an_agent_that_asks_without_end_gets_no_further_question_shown() {
    let world = World::new().await;
    let thread = world.mention("U1", "hello").await;
    let session = world.prompted("hello").await;
    for n in 0..40 {
        session.asks(&n.to_string(), OPTIONS).await;
    }
    world.until("answers to what is too many", || locked(&session.answers).len() == 8).await;
    world.until("cards", || world.slack.cards(&thread).len() == 32).await;
    assert!(locked(&session.answers).iter().all(|(_, decision)| *decision == chose(2)), "they are answered with no");
}

impl Asked {
    async fn audit(&self) -> Vec<AuditEntry> {
        self.world.store.audit(9).await.unwrap()
    }

    /// How the one question was settled, by whom, and with which kind of option.
    async fn settled(&self) -> (String, Option<String>, Option<String>) {
        let [entry] = <[AuditEntry; 1]>::try_from(self.audit().await).expect("one entry");
        assert_eq!((entry.requester, entry.command), ("U1".into(), self.card.hash()));
        assert!(entry.session.is_some() && entry.turn.is_some());
        (entry.outcome, entry.decider.map(|user| user.to_string()), entry.kind)
    }
}

#[tokio::test]
async fn who_decided_what_stands_in_the_audit_before_the_agent_hears_of_it() {
    let asked = Asked::new().await;
    asked.session.set(|manners| manners.answer = Act::Hang);
    assert!(asked.press("U2", 1, "somebody else").await.is_some());
    assert_eq!(asked.audit().await, [], "whoever may not decide leaves no entry");
    asked.press("UADMIN", 1, "an admin").await;
    let expected = ("decided".to_owned(), Some("UADMIN".to_owned()), Some("allow_once".to_owned()));
    assert_eq!(asked.settled().await, expected);
    asked.press("U1", 2, "late").await;
    assert_eq!(asked.settled().await, expected, "one effect, one entry");
}

#[tokio::test]
async fn what_nobody_decided_stands_in_the_audit_too() {
    let nobody = |outcome: &str| (outcome.to_owned(), None, None);
    let asked = Asked::new().await;
    asked.world.hand.advance(APPROVAL);
    asked.until_state_is(ApprovalState::Expired).await;
    assert_eq!(asked.settled().await, nobody("expired"));
    let asked = Asked::new().await;
    asked.session.ends(Outcome::Completed);
    asked.until_state_is(ApprovalState::Withdrawn).await;
    assert_eq!(asked.settled().await, nobody("withdrawn"));
    let asked = Asked::new().await;
    let world = asked.world.after_power_cut_in(&asked.world.slack).await;
    let asked = Asked { world, ..asked };
    asked.until_state_is(ApprovalState::CutOff).await;
    assert_eq!(asked.settled().await, nobody("cut_off"));
}
