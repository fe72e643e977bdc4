use std::sync::Mutex;

use super::*;
use crate::chat::transcript::Entry;
use crate::clock::Clock;
use crate::store::Store;

/// Notes what it is asked to do.
#[derive(Default)]
struct Noted(Mutex<Vec<&'static str>>);

impl Noted {
    fn note(&self, call: &'static str) {
        self.0.lock().unwrap().push(call);
    }
}

impl Render for Noted {
    fn parts(&self, _markup: Markup, markdown: &str) -> Vec<String> {
        vec![format!("slack: {markdown}")]
    }

    fn shows_whole(&self, _markup: Markup, _card: &ApprovalCard) -> bool {
        false
    }
}

#[async_trait]
impl SlackWrite for Noted {
    async fn post(&self, _: &Place, _: &Body, _: &Label) -> Result<Ts, WriteError> {
        self.note("post");
        Ok("1.0".into())
    }
    async fn update(&self, _: &ChannelId, _: &Ts, _: &Body) -> Result<(), WriteError> {
        self.note("update");
        Ok(())
    }
    async fn finish(&self, _: &ChannelId, _: &Ts, _: &Body, _: &Label) -> Result<(), WriteError> {
        self.note("finish");
        Ok(())
    }
    async fn delete(&self, _: &ChannelId, _: &Ts) -> Result<(), WriteError> {
        self.note("delete");
        Ok(())
    }
    async fn whisper(&self, _: &Place, _: &UserId, _: &Body) -> Result<(), WriteError> {
        self.note("whisper");
        Ok(())
    }
    async fn respond(&self, _: &ReplyUrl, _: &Body) -> Result<(), WriteError> {
        self.note("respond");
        Ok(())
    }
    async fn mark(&self, _: &ChannelId, _: &Ts, _: Mark, _: bool) -> Result<(), WriteError> {
        self.note("mark");
        Ok(())
    }
    async fn create_channel(&self, _: &str, _: &[UserId]) -> Result<ChannelId, WriteError> {
        self.note("create_channel");
        Ok("C2".into())
    }
    async fn status(&self, _: &Place, _: &str) -> Result<(), WriteError> {
        self.note("status");
        Ok(())
    }
    async fn start_stream(&self, _: &ConversationKey, _: &UserId, _: &str) -> Result<Ts, WriteError> {
        self.note("start_stream");
        Ok("1.0".into())
    }
    async fn append_stream(&self, _: &ChannelId, _: &Ts, _: &str) -> Result<(), WriteError> {
        self.note("append_stream");
        Ok(())
    }
    async fn start_draft(&self, _: &Place, _: &Body, _: &Label) -> Result<Ts, WriteError> {
        self.note("start_draft");
        Ok("1.0".into())
    }
    async fn edit_draft(&self, _: &ChannelId, _: &Ts, _: &Body) -> Result<(), WriteError> {
        self.note("edit_draft");
        Ok(())
    }
    async fn stop_stream(&self, _: &ChannelId, _: &Ts) -> Result<(), WriteError> {
        self.note("stop_stream");
        Ok(())
    }
    async fn look_back(&self, _: &ConversationKey, _: &Ts, _: Trace) -> Result<Option<Ts>, WriteError> {
        self.note("look_back");
        Ok(None)
    }
}

#[async_trait]
impl SlackRead for Noted {
    async fn thread(&self, _: &ConversationKey, _: &Ts, _: usize) -> Result<Vec<Said>, WriteError> {
        self.note("thread");
        Ok(Vec::new())
    }
    async fn answered(&self, _: &ConversationKey, _: &Ts) -> Result<Answered, WriteError> {
        self.note("answered");
        Ok(Answered::Finally)
    }
    async fn is_closed(&self, _: &ChannelId) -> Result<bool, WriteError> {
        self.note("is_closed");
        Ok(true)
    }
}

struct World {
    surfaces: Surfaces<Noted>,
    transcript: Transcript,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let transcript = Transcript::new(Store::open(dir.path()).unwrap(), Clock::system());
        Self { surfaces: Surfaces::new(Noted::default(), transcript.clone()), transcript, _dir: dir }
    }

    async fn lines(&self) -> Vec<Entry> {
        self.transcript.after(&"w1".into(), 0).await.unwrap().entries
    }

    /// Makes every call once, in one conversation.
    async fn call_all(&self, key: &ConversationKey, member: &str, reply: &ReplyUrl) -> Result<(), WriteError> {
        let (to, channel, user) = (Place::from(key), &key.channel, UserId::from(member));
        let slack = &self.surfaces;
        let ts = slack.post(&to, &text("one"), &OwedId::new().into()).await?;
        slack.update(channel, &ts, &text("two")).await?;
        slack.whisper(&to, &user, &text("aside")).await?;
        slack.respond(reply, &text("back")).await?;
        slack.mark(channel, &ts, Mark::Waiting, true).await?;
        let draft = slack.start_draft(&to, &text("a"), &OwedId::new().into()).await?;
        slack.edit_draft(channel, &draft, &text("ab")).await?;
        slack.status(&to, "is thinking…").await?;
        let grows = slack.start_stream(key, &user, "a").await?;
        slack.append_stream(channel, &grows, "b").await?;
        slack.stop_stream(channel, &grows).await?;
        slack.delete(channel, &grows).await?;
        slack.look_back(key, &ts, Trace::Growing).await?;
        slack.thread(key, &ts, 5).await?;
        slack.is_closed(channel).await?;
        Ok(())
    }
}

fn text(text: &str) -> Body {
    Body::Text(text.to_owned())
}

#[tokio::test]
async fn what_is_not_on_the_page_goes_to_slack_alone() {
    let world = World::new();
    let key = ConversationKey { team: "T1".into(), channel: "C1".into(), thread: "1.0".into() };
    world.call_all(&key, "U1", &ReplyUrl("https://slack.example/x".into())).await.unwrap();
    world.surfaces.create_channel("name", &["U1".into()]).await.unwrap();
    assert_eq!(world.surfaces.parts(key.markup(), "hi"), ["slack: hi"]);
    assert_eq!(world.surfaces.slack.0.lock().unwrap().len(), 16, "each call once");
    assert!(world.lines().await.is_empty());
}

#[tokio::test]
async fn nothing_that_is_on_the_page_goes_to_slack() {
    let world = World::new();
    let key = ConversationKey::web("w1");
    world.call_all(&key, OPERATOR, &ReplyUrl::web(&key.thread)).await.unwrap();
    assert!(world.surfaces.create_channel("name", &[OPERATOR.into()]).await.is_err());
    assert_eq!(world.surfaces.parts(key.markup(), " **hi** "), ["**hi**"]);
    assert!(world.surfaces.parts(key.markup(), " ").is_empty());
    assert!(world.surfaces.slack.0.lock().unwrap().is_empty());
    let lines: Vec<Line> = world.lines().await.into_iter().map(|entry| entry.line).collect();
    let [
        Line::Message(one),
        Line::Revised { body: two, .. },
        Line::Notice(aside),
        Line::Notice(back),
        Line::Message(draft),
        Line::Revised { body: edited, .. },
    ] = &lines[..]
    else {
        panic!("{lines:?}")
    };
    assert_eq!([one, two, aside, back], [&text("one"), &text("two"), &text("aside"), &text("back")]);
    assert_eq!([draft, edited], [&text("a"), &text("ab")]);
    let view = world.transcript.board.look(&"w1".into());
    assert_eq!((view.status.as_str(), view.growing.len(), view.waiting.len()), ("is thinking…", 0, 1));
}

#[tokio::test]
async fn a_post_that_is_repeated_stands_there_once_and_a_message_that_grew_keeps_its_id() {
    let world = World::new();
    let (key, owed) = (ConversationKey::web("w1"), OwedId::new());
    let slack = &world.surfaces;
    let first = slack.post(&Place::from(&key), &text("once"), &owed.into()).await.unwrap();
    assert_eq!(slack.post(&Place::from(&key), &text("once"), &owed.into()).await.unwrap(), first);
    let grows = slack.start_stream(&key, &OPERATOR.into(), "a").await.unwrap();
    slack.append_stream(&key.channel, &grows, "b").await.unwrap();
    assert_eq!(world.transcript.board.look(&"w1".into()).growing[0].markdown, "ab");
    slack.update(&key.channel, &grows, &text("ab.")).await.unwrap();
    let ids: Vec<Ts> = world.lines().await.into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [first, grows.clone()]);
    assert!(world.transcript.board.look(&"w1".into()).growing.is_empty());
    let late = slack.append_stream(&key.channel, &grows, "c").await.unwrap_err();
    assert_eq!(late.kind, WriteErrorKind::StreamUnavailable);
    let unknown = slack.update(&key.channel, &"unknown".into(), &text("x")).await.unwrap_err();
    assert_eq!(unknown.kind, WriteErrorKind::MessageGone);
}
