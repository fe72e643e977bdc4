//! The way to Slack against the simulator: what it shows, and what an app reads back.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test that called it")]

#[cfg(test)]
mod files;

use std::time::Duration;

use hitchline::clock::Clock;
use hitchline::domain::conversation::ConversationKey;
use hitchline::domain::ids::{ChannelId, OwedId, SessionId, Ts};
use hitchline::domain::inbound::{Button, ChannelKind, ReplyUrl};
use hitchline::domain::outgoing::{Answers, Body, Label, List, ListButton, ListRow, Place};
use hitchline::domain::ports::{
    Answered, Joined, Mark, ReadBack, ReadPage, Said, SlackRead, SlackWrite, Trace, WriteErrorKind,
};
use hitchline::http_client::{self, HttpClient, Owner};
use hitchline::simulator::{self, BOT_TOKEN, ClientMsgId, Personality, Simulator};
use hitchline::slack::config::{Config, Pacing};
use hitchline::slack::{Api, Surface};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// A simulator, and a surface that writes to it.
struct Bench {
    simulator: Simulator,
    http: HttpClient,
    surface: Surface,
    general: ChannelId,
}

impl Bench {
    async fn start() -> Self {
        Self::start_with(simulator::Config::default()).await
    }

    async fn start_with(config: simulator::Config) -> Self {
        Self::build(config, Pacing::Off, Clock::system()).await
    }

    /// One that keeps to Slack's rates, by this clock.
    async fn start_paced(clock: Clock) -> Self {
        Self::build(simulator::Config::default(), Pacing::Slack, clock).await
    }

    async fn build(config: simulator::Config, pacing: Pacing, clock: Clock) -> Self {
        let simulator = simulator::start(config).await.unwrap();
        let http = Owner::build(&http_client::Config::default(), true).unwrap().lend();
        let base = format!("{}/api/", simulator.base_url()).parse().unwrap();
        let config = Config { pacing, ..Config::default() };
        let stop = CancellationToken::new();
        let api = Api::new(http.clone(), &config, base, BOT_TOKEN.to_owned().into(), clock, stop);
        let me = api.auth_test().await.unwrap();
        Self { simulator, http, surface: Surface::new(api.into(), &me), general: "C0GENERAL".into() }
    }

    async fn sim(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/sim/{path}", self.simulator.base_url());
        self.http.post(url).json(body).send().await.unwrap().json().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}/sim/{path}", self.simulator.base_url());
        self.http.request(reqwest::Method::GET, url).send().await.unwrap().json().await.unwrap()
    }

    async fn shown(&self, query: &str) -> Vec<Value> {
        let url = format!("{}/sim/messages?{query}", self.simulator.base_url());
        let answer = self.http.request(reqwest::Method::GET, url).send().await.unwrap().json::<Value>().await.unwrap();
        answer["messages"].as_array().unwrap().clone()
    }

    /// Alice writes in #general, or in a thread there.
    async fn alice(&self, text: &str, thread: Option<&Ts>) -> Ts {
        let body = json!({"user": "U0ALICE", "channel": "C0GENERAL", "text": text, "thread_ts": thread});
        self.sim("messages", &body).await["ts"].as_str().unwrap().into()
    }

    fn thread(&self, root: &Ts) -> ConversationKey {
        ConversationKey { team: "T0SIM".into(), channel: self.general.clone(), thread: root.clone() }
    }
}

fn list(session: SessionId, thread: &Ts) -> Body {
    let button = Button::Connect { session, thread: Some(thread.clone()) };
    let row = |n: usize| ListRow {
        text: format!("*{n}* \u{b7} ~/code/site"),
        button: Some(ListButton { label: "Connect".into(), button: button.clone(), danger: false }),
    };
    Body::List(List { text: "Your sessions".into(), rows: (0..60).map(row).collect() })
}

fn said(author: &str, text: &str) -> Said {
    Said { author: author.into(), ours: author == "U0BOT", text: text.into() }
}

#[tokio::test]
async fn a_list_is_whispered_to_one_person_alone() {
    let bench = Bench::start().await;
    let root = bench.alice("root", None).await;
    bench.alice("reply", Some(&root)).await;
    let place = Place::from(&bench.thread(&root));
    let body = list(SessionId::new(), &root);
    bench.surface.whisper(&place, &"U0BOB".into(), &body).await.unwrap();
    let shown = bench.shown(&format!("channel=C0GENERAL&thread_ts={root}")).await;
    let whispered = shown.last().unwrap();
    assert_eq!((&whispered["ephemeral_to"], whispered["blocks"].as_array().unwrap().len()), (&json!("U0BOB"), 47));

    let nowhere = ReplyUrl(format!("{}/actions/T0SIM/1/guessed", bench.simulator.base_url()));
    let refused = bench.surface.respond(&nowhere, &body).await.unwrap_err();
    assert_eq!((refused.kind, refused.code.as_str()), (WriteErrorKind::Permanent, "expired_url"));
}

#[tokio::test]
async fn a_mark_is_put_on_and_taken_off_however_often() {
    let bench = Bench::start().await;
    let ts = bench.alice("later", None).await;
    for (on, expected) in [(true, 1), (true, 1), (false, 0), (false, 0)] {
        bench.surface.mark(&bench.general, &ts, Mark::Waiting, on).await.unwrap();
        let shown = bench.shown("channel=C0GENERAL").await;
        let reactions = shown[0]["reactions"].as_array().unwrap();
        assert_eq!(reactions.len(), expected);
        assert!(reactions.iter().all(|reaction| reaction["name"] == "hourglass_flowing_sand"));
    }
    let gone = bench.surface.mark(&bench.general, &"1.000000".into(), Mark::Waiting, true).await.unwrap_err();
    assert_eq!(gone.kind, WriteErrorKind::MessageGone);
}

#[tokio::test]
async fn a_channel_is_made_with_its_member_or_not_at_all() {
    let bench = Bench::start().await;
    let made = bench.surface.create_channel("fix-7", &["U0BOB".into()]).await.unwrap();
    let place = Place::from(&ConversationKey::channel_wide("T0SIM".into(), made.clone()));
    assert_eq!(place, Place { channel: made, thread: None });
    bench.surface.post(&place, &Body::Text("hello".into()), &OwedId::new().into()).await.unwrap();
    let failed = async |name: &str, member: &str| {
        let error = bench.surface.create_channel(name, &[member.into()]).await.unwrap_err();
        assert_eq!(error.kind, WriteErrorKind::Permanent, "{error}");
        error.code
    };
    assert_eq!(failed("fix-7", "U0BOB").await, "name_taken");
    assert_eq!(failed("Fix 7", "U0BOB").await, "invalid_name_specials");
    assert_eq!(failed("fix-8", "U0NOBODY").await, "user_not_found");
    let url = format!("{}/sim/state", bench.simulator.base_url());
    let state: Value = bench.http.request(reqwest::Method::GET, url).send().await.unwrap().json().await.unwrap();
    let archived = |name: &str| {
        let channels = state["channels"].as_array().unwrap();
        channels.iter().find(|channel| channel["name"] == name).map(|channel| channel["is_archived"].clone())
    };
    assert_eq!((archived("fix-7"), archived("fix-8")), (Some(json!(false)), Some(json!(true))));
}

#[tokio::test]
async fn the_last_messages_before_one_are_read_back_in_their_order() {
    let bench = Bench::start().await;
    let root = bench.alice("@hitchline hi & <b>", None).await;
    let key = bench.thread(&root);
    bench.surface.post(&Place::from(&key), &Body::Text("*hello*".into()), &OwedId::new().into()).await.unwrap();
    bench.surface.whisper(&Place::from(&key), &"U0ALICE".into(), &Body::Text("psst".into())).await.unwrap();
    bench.alice("one", Some(&root)).await;
    let last = bench.alice("two", Some(&root)).await;
    bench.alice("three", Some(&root)).await;
    let all = [said("U0ALICE", "hi & <b>"), said("U0BOT", "*hello*"), said("U0ALICE", "one")];
    for (limit, expected) in [(10, &all[..]), (2, &all[1..]), (0, &[])] {
        assert_eq!(bench.surface.thread(&key, &last, limit).await.unwrap(), expected, "{limit}");
    }

    // Of a channel, what stands in no thread.
    let newest = bench.alice("newest", None).await;
    let wide = ConversationKey::channel_wide("T0SIM".into(), bench.general.clone());
    assert_eq!(bench.surface.thread(&wide, &newest, 10).await.unwrap(), [said("U0ALICE", "hi & <b>")]);
    let gone = bench.surface.thread(&bench.thread(&"1.000000".into()), &newest, 10).await.unwrap_err();
    assert_eq!(gone.kind, WriteErrorKind::Permanent);
}

#[tokio::test]
async fn long_threads_and_channels_are_read_page_by_page() {
    const MANY: usize = 1_100;
    let bench = Bench::start().await;
    let root = bench.alice("root", None).await;
    for n in 0..MANY {
        bench.alice(&format!("reply {n}"), Some(&root)).await;
    }
    let end: Ts = "99999999999.000000".into();
    let read = bench.surface.thread(&bench.thread(&root), &end, 3).await.unwrap();
    let last: Vec<_> = (MANY - 3..MANY).map(|n| said("U0ALICE", &format!("reply {n}"))).collect();
    assert_eq!(read, last);
    let all = bench.surface.thread(&bench.thread(&root), &end, 2 * MANY).await.unwrap();
    assert_eq!((all.len(), &all[0]), (MANY + 1, &said("U0ALICE", "root")), "the root stands there once");
    for n in 0..MANY {
        bench.alice(&format!("top {n}"), None).await;
    }
    let wide = ConversationKey::channel_wide("T0SIM".into(), bench.general.clone());
    let all = bench.surface.thread(&wide, &end, 2 * MANY).await.unwrap();
    assert_eq!(
        (all.len(), &all[0].text, &all[MANY].text),
        (MANY + 1, &"root".to_owned(), &format!("top {}", MANY - 1))
    );
}

#[tokio::test]
async fn a_post_bears_a_client_id_until_slack_refuses_one() {
    for (mode, posts, messages) in
        [(ClientMsgId::Ignored, 2, 2), (ClientMsgId::Honoured, 2, 1), (ClientMsgId::Rejected, 3, 2)]
    {
        let config = simulator::Config {
            personality: Personality { client_msg_id: mode, ..Personality::default() },
            ..simulator::Config::default()
        };
        let bench = Bench::start_with(config).await;
        let place = Place::from(&bench.thread(&bench.alice("root", None).await));
        let label = Label::from(OwedId::new());
        for _ in 0..2 {
            bench.surface.post(&place, &Body::Text("a".into()), &label).await.unwrap();
        }
        let calls = bench.get("calls?method=chat.postMessage").await["calls"].as_array().unwrap().clone();
        let with_id = calls.iter().filter(|call| call["args"]["client_msg_id"] == label.key.hyphenated().as_str());
        let with_id = with_id.count();
        assert_eq!((calls.len(), with_id), (posts, if mode == ClientMsgId::Rejected { 1 } else { 2 }), "{mode:?}");
        let shown = bench.shown(&format!("channel=C0GENERAL&thread_ts={}", place.thread.unwrap())).await;
        assert_eq!(shown.iter().filter(|message| message["user"] == "U0BOT").count(), messages, "{mode:?}");
    }
}

#[tokio::test]
async fn a_code_about_a_client_id_says_nothing_of_the_message_and_is_not_met_twice() {
    let bench = Bench::start().await;
    let place = Place { channel: bench.general.clone(), thread: None };
    let fault = json!({"fault": "api_error", "error": "duplicate_message_not_found", "method": "chat.postMessage"});
    bench.sim("faults", &fault).await;
    let label = Label::from(OwedId::new());
    let refused = bench.surface.post(&place, &Body::Text("a".into()), &label).await.unwrap_err();
    assert_eq!(refused.kind, WriteErrorKind::Transient { uncertain: true });
    bench.surface.post(&place, &Body::Text("a".into()), &label).await.unwrap();
    let calls = bench.get("calls?method=chat.postMessage").await["calls"].clone();
    assert!(calls[0]["args"]["client_msg_id"].is_string() && calls[1]["args"]["client_msg_id"].is_null());
}

#[tokio::test]
async fn slack_itself_knows_what_was_answered_and_by_which_message() {
    let bench = Bench::start().await;
    let root = bench.alice("first", None).await;
    let (second, third) = (bench.alice("second", Some(&root)).await, bench.alice("third", Some(&root)).await);
    let fourth = bench.alice("fourth", Some(&root)).await;
    let (key, body) = (bench.thread(&root), Body::Text("a".into()));
    let label = |answers: Answers| Label { key: OwedId::new(), answers: Some(answers) };
    let (posted, finished) = (label(Answers::Finally(root.clone())), label(Answers::Finally(second.clone())));
    let (asked, interim) = (&third, label(Answers::Interim(third.clone())));
    bench.surface.post(&Place::from(&key), &body, &interim).await.unwrap();
    assert_eq!(bench.surface.answered(&key, asked).await.unwrap(), Answered::Interim);
    bench.surface.post(&Place::from(&key), &body, &label(Answers::Interim(second.clone()))).await.unwrap();
    let ts = bench.surface.post(&Place::from(&key), &body, &posted).await.unwrap();
    let grown = bench.surface.post(&Place::from(&key), &body, &OwedId::new().into()).await.unwrap();
    bench.surface.finish(&bench.general, &grown, &body, &finished).await.unwrap();
    for (asked, answered) in [(&root, Answered::Finally), (&second, Answered::Finally), (&fourth, Answered::No)] {
        assert_eq!(bench.surface.answered(&key, asked).await.unwrap(), answered, "{asked}");
    }
    for (label, expected) in [(posted, ts), (finished, grown)] {
        let found = bench.surface.look_back(&key, &root, Trace::Key(label.key)).await.unwrap();
        assert_eq!(found, Some(expected));
    }
}

#[tokio::test]
async fn in_a_thread_that_the_reads_have_not_caught_up_with_nothing_is_shown() {
    let bench = Bench::start().await;
    bench.sim("personality", &json!({"history_lag_ms": 60_000})).await;
    let root = bench.alice("first", None).await;
    let key = bench.thread(&root);
    assert_eq!(bench.surface.look_back(&key, &root, Trace::Growing).await, Ok(None));
    let channel = Joined { team: key.team, channel: bench.general.clone(), kind: ChannelKind::Channel, shared: false };
    let page = bench.surface.said_since(&channel, Some(&root), &"1.000000".into(), None).await.unwrap();
    assert_eq!(page, ReadPage { items: vec![], next: None, cut: false });
}

#[tokio::test]
async fn slack_knows_which_channels_are_closed_to_us() {
    let bench = Bench::start().await;
    let closed = async |channel: &str| bench.surface.is_closed(&channel.into()).await;
    let call = async |method: &str| {
        let url = format!("{}/api/{method}", bench.simulator.base_url());
        let form = [("channel", "C0GENERAL")];
        let answer = bench.http.post(url).bearer_auth(BOT_TOKEN).form(&form).send().await.unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap()["ok"], true, "{method}");
    };
    bench.sim("faults", &json!({"fault": "api_error", "error": "missing_scope", "method": "conversations.info"})).await;
    assert_eq!(closed("C0GENERAL").await.unwrap_err().kind, WriteErrorKind::Permanent);
    assert_eq!((closed("C0GENERAL").await, closed("C0NOWHERE").await), (Ok(false), Ok(true)));
    call("conversations.leave").await;
    assert_eq!(closed("C0GENERAL").await, Ok(true));
    call("conversations.join").await;
    assert_eq!(closed("C0GENERAL").await, Ok(false));
    call("conversations.archive").await;
    assert_eq!(closed("C0GENERAL").await, Ok(true));
}

#[tokio::test]
async fn plain_text_goes_without_blocks_also_to_a_person() {
    let bench = Bench::start().await;
    let place = Place { channel: "U0ALICE".into(), thread: None };
    bench.surface.post(&place, &Body::Plain("as it is".into()), &OwedId::new().into()).await.unwrap();
    let state = bench.get("state").await;
    let direct = state["channels"].as_array().unwrap().iter().find(|channel| channel["user"] == "U0ALICE");
    let shown = bench.shown(&format!("channel={}", direct.unwrap()["id"].as_str().unwrap())).await;
    assert_eq!((shown[0]["text"].as_str(), &shown[0]["blocks"]), (Some("as it is"), &Value::Null));
}

#[tokio::test]
async fn a_used_up_rate_sends_what_is_owed_first_and_what_only_shows_it_not_at_all() {
    let (clock, hand) = Clock::manual(1_700_000_000_000);
    let bench = Bench::start_paced(clock).await;
    let root = bench.alice("root", None).await;
    let to = Place::from(&bench.thread(&root));
    let body = |text: &str| Body::Text(text.into());
    let label = || OwedId::new().into();
    let surface = &bench.surface;
    for _ in 0..4 {
        surface.post(&to, &body("earlier"), &label()).await.unwrap();
    }
    let growing = surface.start_draft(&to, &body("growing"), &label()).await.unwrap();
    let (last_text, last_label) = (body("owed"), label());
    let mut owed = std::pin::pin!(surface.post(&to, &last_text, &last_label));
    assert!(futures_util::poll!(owed.as_mut()).is_pending());
    hand.advance(Duration::from_secs(1));
    let late = surface.start_draft(&to, &body("late"), &label()).await.unwrap_err();
    assert_eq!(late.kind, WriteErrorKind::Rate { after_ms: 1_000 }, "that moment is taken");
    owed.await.unwrap();
    // The same for its edits.
    for n in 0..10 {
        surface.edit_draft(&bench.general, &growing, &body(&n.to_string())).await.unwrap();
    }
    let mut end = std::pin::pin!(surface.finish(&bench.general, &growing, &last_text, &last_label));
    assert!(futures_util::poll!(end.as_mut()).is_pending());
    hand.advance(Duration::from_millis(1_200));
    let late = surface.edit_draft(&bench.general, &growing, &body("late")).await.unwrap_err();
    assert_eq!(late.kind, WriteErrorKind::Rate { after_ms: 1_200 });
    end.await.unwrap();
    let shown = bench.shown(&format!("channel=C0GENERAL&thread_ts={root}")).await;
    let texts: Vec<&str> = shown.iter().skip(1).map(|message| message["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["earlier", "earlier", "earlier", "earlier", "owed", "owed"]);
}
