//! A session goes on in another conversation.

use hitchline::backend::error::BackendError;
use hitchline::backend::{Listed, Outcome};
use hitchline::domain::ids::{SessionId, Ts};
use hitchline::domain::inbound::Button;
use hitchline::domain::ports::Receipt;
use hitchline::domain::session::{BackendRef, SessionRecord};

use super::agent::{Act, locked};
use super::people;
use super::world::World;

fn listed(name: &str) -> Listed {
    Listed { backend_ref: BackendRef(name.to_owned()), working_dir: None, title: None, updated_ms: None }
}

/// A further session of U1, in a thread of its own, under an id that begins with `abcd`.
async fn another(world: &World, like: &SessionRecord, digit: u8) -> (Ts, SessionId) {
    let id = SessionId::parse(&format!("abcd000000004000800000000000000{digit}")).unwrap();
    let thread = world.ts();
    let record = SessionRecord { id, conversation: people::key(&thread), backend_ref: None, ..like.clone() };
    assert!(world.store.create_session(record, None).await.unwrap());
    (thread, id)
}

// holds: M-6, K-1
#[tokio::test]
async fn a_session_goes_on_where_it_is_wanted_with_all_that_runs_for_it() {
    let world = World::new().await;
    let (old, record) = world.settled_thread("U1", "hello").await;
    let new = world.mention("U1", &format!("connect {}", record.id.short())).await;
    world.until_told(&new, "goes on here").await;
    world.until_told(&old, &format!("`connect {}` brings it back", record.id.short())).await;
    assert_eq!(world.reply("U1", &old, "still there?").await, Receipt::Ignored, "the old thread is followed no more");
    world.reply("U1", &new, "go on").await;
    world.prompted("go on").await.ends(Outcome::Completed);
    world.rest().await;
    assert_eq!((world.agents.count("start"), world.agents.count("restore"), world.mappings()), (1, 0, 1));

    world
        .deliver(people::mention_in("U1", &old, &world.ts(), &format!("connect {}", &record.id.to_string()[..4])))
        .await;
    world.until("its return", || world.slack.texts(&old).iter().any(|text| text.contains("goes on here"))).await;
    world.rest().await;
    assert_eq!(world.session_in(&old).await.map(|now| now.id), Some(record.id));
}

// holds: M-6
#[tokio::test]
async fn the_agent_is_asked_first_and_nothing_changes_when_it_refuses() {
    for (error, told) in [
        (BackendError::Unknown, "does not know this session"),
        (BackendError::Unsupported("bring back a session"), "does not know this session"),
        (BackendError::Transient("overloaded".into()), "overloaded"),
    ] {
        let before = World::new().await;
        let (old, record) = before.settled_thread("U1", "hello").await;
        let world = before.after_power_cut().await;
        locked(&world.agents.manners).restore = Act::Fail(error);
        let new = world.mention("U1", &format!("connect {}", record.id.short())).await;
        world.until_told(&new, told).await;
        world.rest().await;
        assert_eq!(world.session_in(&old).await.map(|now| (now.id, now.status)), Some((record.id, record.status)));
        assert_eq!((world.session_in(&new).await, world.agents.count("start")), (None, 0));

        locked(&world.agents.manners).restore = Act::Obey;
        world.reply("U1", &old, "as before").await;
        world.prompted("as before").await;
        assert_eq!(world.agents.count("restore"), 2);
    }
}

// holds: M-6, S-6
#[tokio::test]
async fn what_may_not_be_connected_stays_where_it_is() {
    let world = World::new().await;
    let (ended, gone) = world.settled_thread("U1", "to be ended").await;
    world.reply("U1", &ended, "end").await;
    world.until_told(&ended, "The session has ended").await;
    let (_, others) = world.settled_thread("U2", "of another").await;
    let working = world.mention("U1", "long work").await;
    let session = world.prompted("long work").await;
    let busy = world.session_in(&working).await.unwrap();
    for (id, told) in [
        (gone.id.short(), "an ended session does not come back"),
        (others.id.short(), "somebody else's"),
        (busy.id.short(), "busy right now"),
        ("abc".to_owned(), "at least the first 4"),
        ("nobody-knows".to_owned(), "no session `nobody-knows`"),
    ] {
        let thread = world.mention("U1", &format!("connect {id}")).await;
        world.until_told(&thread, told).await;
        world.settle().await;
        assert_eq!(world.session_in(&thread).await, None, "{told}");
    }
    world.reply("U1", &working, &format!("!connect {}", others.id.short())).await;
    world.until_told(&working, "has a session already").await;
    session.ends(Outcome::Completed);

    let thread = world.mention("UADMIN", &format!("connect {}", others.id.short())).await;
    world.until_told(&thread, "goes on here").await;
    assert_eq!(world.session_in(&thread).await.map(|now| now.creator), Some("U2".into()));
}

// holds: M-6, K-5
#[tokio::test]
async fn an_ambiguous_id_lists_what_it_may_mean_and_a_press_chooses_once() {
    let world = World::new().await;
    let (_, like) = world.settled_thread("U1", "hello").await;
    let (first, _) = another(&world, &like, 1).await;
    let (_, second) = another(&world, &like, 2).await;
    let here = world.mention("U1", "connect abcd").await;
    world.until_whispered("U1", "Several sessions").await;
    assert!(world.slack.texts(&here).is_empty(), "only whoever asked sees them");
    let buttons = world.slack.buttons();
    assert_eq!(buttons.len(), 2);
    let wanted = Button::Connect { session: second, thread: Some(here.clone()) };
    assert!(buttons.contains(&wanted), "{buttons:?}");

    world.deliver(people::choose("U9", Some(&here), wanted.clone(), "a stranger")).await;
    world.until_answered("a stranger", "You may not").await;
    world.deliver(people::choose("U2", Some(&here), wanted.clone(), "another")).await;
    world.until_answered("another", "somebody else's").await;
    world.deliver(people::choose("U1", Some(&here), wanted.clone(), "mine")).await;
    world.until_told(&here, "goes on here").await;
    world.rest().await;
    assert_eq!(world.session_in(&here).await.map(|now| now.id), Some(second));
    world.deliver(people::choose("U1", Some(&here), wanted, "again")).await;
    world.until_answered("again", "answers here already").await;
    let other =
        buttons.into_iter().find(|button| !matches!(button, Button::Connect { session, .. } if *session == second));
    world.deliver(people::choose("U1", Some(&here), other.unwrap(), "the other")).await;
    world.until_answered("the other", "has a session already").await;
    assert!(world.session_in(&first).await.is_some());
}

// holds: M-6, S-6
#[tokio::test]
async fn a_session_that_only_its_agent_knows_becomes_ours_and_once_ended_never_again() {
    let world = World::new().await;
    locked(&world.others.manners).list = Act::Fail(BackendError::Transient("no network".into()));
    *locked(&world.agents.listed) = vec![listed("their-session"), listed("their-other")];
    let here = world.mention("U1", "connect their-se").await;
    world.until_told(&here, "goes on here").await;
    world.reply("U1", &here, "go on").await;
    world.prompted("go on").await.ends(Outcome::Completed);
    world.rest().await;
    let record = world.session_in(&here).await.unwrap();
    assert_eq!((record.creator.as_str(), record.backend_ref), ("U1", Some(BackendRef("their-session".into()))));
    assert_eq!((world.agents.count("restore"), world.agents.count("start")), (1, 0));

    let elsewhere = world.mention("U2", "connect their-session").await;
    world.until_told(&elsewhere, "somebody else's").await;
    world.reply("U1", &here, "end").await;
    world.until_told(&here, "The session has ended").await;
    let again = world.mention("U1", "connect their-session").await;
    world.until_told(&again, "an ended session does not come back").await;
    let unknown = world.mention("U1", "connect unheard-of").await;
    world.until_told(&unknown, "`other` did not list its sessions: no network").await;
    assert_eq!(world.agents.count("restore"), 1);
}

// holds: M-6, K-6
#[tokio::test]
async fn an_agents_session_is_refused_when_it_is_out_of_bounds_or_its_agent_does_not_bring_it_back() {
    let world = World::new().await;
    let outside = Listed { working_dir: Some("/usr".into()), ..listed("outside") };
    *locked(&world.agents.listed) = vec![outside, listed("inside")];
    let thread = world.mention("U1", "connect outside").await;
    world.until_told(&thread, "no session `outside`").await;
    locked(&world.agents.manners).restore = Act::Fail(BackendError::Unknown);
    let thread = world.mention("U1", "connect inside").await;
    world.until_told(&thread, "Nothing has changed").await;
    let press = Button::Adopt { backend: "puppet".into(), backend_ref: "outside".into(), thread: Some(thread.clone()) };
    world.deliver(people::choose("U1", Some(&thread), press, "forged")).await;
    world.until_answered("forged", "settled already").await;
    assert_eq!(world.mappings(), 0);
}

// holds: K-4, M-6
#[tokio::test]
async fn connect_as_a_slash_command_opens_a_thread_unless_it_is_refused_before() {
    let world = World::new().await;
    let (_, record) = world.settled_thread("U1", "hello").await;
    for n in 1..=2 {
        another(&world, &record, n).await;
    }
    let (_, others) = world.settled_thread("U2", "of another").await;
    let shown = world.slack.everything().len();
    for (id, told) in [("abcd", "Several sessions"), (&others.id.short(), "somebody else's"), ("ab", "first 4")] {
        world.deliver(people::slash("U1", &format!("connect {id}"), id)).await;
        world.until_answered(id, told).await;
    }
    assert_eq!(world.slack.everything().len(), shown, "no thread was opened");
    let [Button::Connect { thread: None, .. }, _] = world.slack.buttons()[..] else { panic!("two buttons") };

    world.deliver(people::slash("U1", &format!("connect {}", record.id.short()), "connect")).await;
    let told =
        || world.slack.everything().into_iter().rfind(|shown| format!("{:?}", shown.body).contains("goes on here"));
    world.until("the session in a thread of its own", || told().is_some()).await;
    world.rest().await;
    let thread = told().unwrap().thread;
    assert_eq!(world.session_in(&thread).await.map(|now| now.id), Some(record.id));
    assert!(world.slack.texts(&thread)[0].contains("A session for <@U1>"));

    let press = world.slack.buttons().remove(0);
    let Button::Connect { session, .. } = press else { panic!("{press:?}") };
    world.deliver(people::choose("U1", None, press, "pressed")).await;
    let thread = async || world.store.session(session).await.unwrap().unwrap().conversation.thread;
    world.until("a further thread", || world.slack.everything().len() >= shown + 4).await;
    world.rest().await;
    assert_eq!(world.slack.texts(&thread().await)[0], "A session for <@U1>");
}
