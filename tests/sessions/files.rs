//! Files that come with a message: there before the agent is asked, and gone with the session.

use std::sync::Arc;
use std::time::Duration;

use hitchline::backend::Outcome;
use hitchline::domain::agent::Attachment;
use hitchline::domain::ids::Ts;
use hitchline::domain::inbound::{File, FileAt, Inbound, What};
use hitchline::domain::ports::NotFetched;

use super::agent::locked;
use super::people;
use super::puppet::Puppet;
use super::world::World;

const ALONE: &str = "See the attached files.";

fn file(name: &str, size: u64) -> File {
    let at = FileAt::Address("https://files.slack.com/x".into());
    File { id: format!("F{name}"), name: name.into(), mime: Some("text/plain".into()), size: Some(size), at }
}

fn with(mut inbound: Inbound, files: &[File]) -> Inbound {
    if let What::Message(message) = &mut inbound.what {
        message.files = files.to_vec();
    }
    inbound
}

impl World {
    /// U1 mentions us with files; returns the thread.
    async fn brings(&self, text: &str, files: &[File]) -> Ts {
        let ts = self.ts();
        self.deliver(with(people::mention("U1", &ts, text), files)).await;
        ts
    }

    fn files_of(&self, text: &str) -> Vec<Attachment> {
        let prompts = locked(&self.agents.prompts);
        prompts.iter().rfind(|prompt| prompt.text == text).expect("it was prompted").files.clone()
    }

    async fn end(&self, session: &Arc<Puppet>) {
        session.ends(Outcome::Completed);
        self.rest().await;
    }
}

// holds: K-2
#[tokio::test]
async fn an_agent_finds_the_files_where_it_is_told_and_they_go_with_its_session() {
    let world = World::new().await;
    let thread = world.brings("look", &[file("a.txt", 5), file("a.txt", 5)]).await;
    let session = world.prompted("look").await;
    let files = world.files_of("look");
    assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["a.txt"; 2]);
    assert_ne!(files[0].path, files[1].path);
    assert!(files.iter().all(|file| std::fs::read_to_string(&file.path).unwrap() == "a.txt"));
    world.end(&session).await;
    world.deliver(with(people::reply("U1", &thread, &world.ts(), ""), &[file("b.txt", 5)])).await;
    let session = world.prompted(ALONE).await;
    let later = world.files_of(ALONE);
    assert!(later[0].path.is_absolute() && files[0].path.exists(), "those of earlier turns stay");
    world.end(&session).await;
    world.reply("U1", &thread, "!end").await;
    world.until("their end", || !files[0].path.exists() && !later[0].path.exists()).await;
}

#[tokio::test]
async fn what_does_not_come_is_said_to_people_and_to_the_agent() {
    let world = World::new().await;
    locked(&world.slack.not_fetched).push_back(NotFetched::NotAllowed);
    let thread = world.brings("look", &[file("a.txt", 5), file("large.bin", 5_000), file("b.txt", 5)]).await;
    let scope = "Slack does not give it to this app: does its bot token have the scope `files:read`?";
    let told = format!(
        "look\n\n[attached file a.txt could not be fetched: {scope}]\n\
         [attached file large.bin could not be fetched: it is larger than 1000B]"
    );
    let session = world.prompted(&told).await;
    assert_eq!(world.files_of(&told).len(), 1);
    session.says("I see").await;
    world.end(&session).await;
    let note =
        format!("_Not every file has reached the agent:_ `a.txt` ({scope}), `large.bin` (it is larger than 1000B).");
    world.until_told(&thread, &note).await;
    world.until_told(&thread, "I see").await;
}

#[tokio::test]
async fn what_may_come_later_is_asked_for_again() {
    let world = World::new().await;
    locked(&world.slack.not_fetched).extend([NotFetched::Failed("once".into()), NotFetched::Failed("twice".into())]);
    world.brings("look", &[file("a.txt", 5)]).await;
    for seconds in [2, 4] {
        world.settle().await;
        world.hand.advance(Duration::from_secs(seconds));
    }
    world.prompted("look").await;
    assert_eq!(world.files_of("look").len(), 1);
}

#[tokio::test]
async fn no_more_than_ten_are_taken() {
    let world = World::new().await;
    let many: Vec<File> = (0..12).map(|n| file(&format!("{n}.txt"), 5)).collect();
    world.brings("look", &many).await;
    let told = "look\n\n[attached file 10.txt could not be fetched: only 10 files are taken]\n\
                [attached file 11.txt could not be fetched: only 10 files are taken]";
    world.prompted(told).await;
    assert_eq!(world.files_of(told).len(), 10);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_files() {
    let world = World::new().await;
    locked(&world.slack.not_fetched).push_back(NotFetched::Failed("for now".into()));
    let thread = world.brings("look", &[file("a.txt", 5)]).await;
    world.until("the first attempt", || locked(&world.slack.not_fetched).is_empty()).await;
    world.reply("U1", &thread, "stop").await;
    world.until_told(&thread, "Stopped").await;
    assert_eq!(world.agents.count("prompt"), 0);
}

#[tokio::test]
async fn after_a_crash_they_are_fetched_again() {
    let world = World::new().await;
    locked(&world.slack.not_fetched).push_back(NotFetched::Failed("for now".into()));
    world.brings("look", &[file("a.txt", 5)]).await;
    world.until("the first attempt", || locked(&world.slack.not_fetched).is_empty()).await;
    let next = world.after_power_cut().await;
    next.prompted("look").await;
    let files = next.files_of("look");
    assert_eq!(std::fs::read_to_string(&files[0].path).unwrap(), "a.txt");
}
