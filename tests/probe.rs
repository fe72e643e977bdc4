//! `hitchline probe` against a workspace of each personality: it finds what the personality is.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test that called it")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use hitchline::clock::Clock;
use hitchline::http_client::{self, Owner};
use hitchline::probe::{
    self, Clicks, ClientMsgId, Findings, Lag, Metadata, Offline, Parts, Plan, ProbeError, Redelivery,
};
use hitchline::simulator::{self, APP_TOKEN, BOT_TOKEN, Config, Personality, RedeliversOffline, Simulator};
use hitchline::slack::config::{self, Pacing};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(20);
/// Long enough for a busy machine, and far shorter than what a person would ask for.
const PLAN: Plan = Plan {
    watch: Duration::from_millis(1_500),
    offline_after: Duration::from_millis(300),
    offline_for: Duration::from_millis(100),
    press_within: None,
    press_watch: Duration::from_millis(600),
    samples: 3,
    poll: Duration::from_millis(5),
    give_up: Duration::from_secs(2),
};

/// A workspace and the client of the probe.
struct Bench {
    simulator: Simulator,
    client: Owner,
}

impl Bench {
    async fn with(personality: Personality) -> Self {
        // The first comes before nobody listens, the second after.
        let redelivery = vec![Duration::from_millis(50), Duration::from_millis(600)];
        let config = Config { personality, redelivery, ..Config::default() };
        let simulator = simulator::start(config).await.unwrap();
        Self { simulator, client: Owner::build(&http_client::Config::default(), true).unwrap() }
    }

    async fn probe(&self, channel: &str, plan: &Plan, stop: &CancellationToken) -> Result<Findings, ProbeError> {
        let parts = Parts {
            http: self.client.lend(),
            slack: config::Config { pacing: Pacing::Off, ..config::Config::default() },
            api_url: format!("{}/api/", self.simulator.base_url()).parse().unwrap(),
            bot_token: BOT_TOKEN.into(),
            app_token: APP_TOKEN.into(),
            channel: channel.into(),
            clock: Clock::system(),
            tell: |_| {},
        };
        tokio::time::timeout(SOON, probe::run(parts, plan, stop)).await.unwrap()
    }

    async fn found(&self, plan: &Plan) -> Findings {
        self.probe("C0GENERAL", plan, &CancellationToken::new()).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.simulator.base_url());
        self.client.lend().request(reqwest::Method::GET, url).send().await.unwrap().json().await.unwrap()
    }

    /// Waits until the probe has posted what it does not acknowledge.
    async fn begun(&self) {
        let found = self.get("/sim/wait?channel=C0GENERAL&text_contains=kept").await;
        assert_eq!(found["messages"].as_array().map(Vec::len), Some(1), "{found}");
    }

    /// The messages that are left in the channel.
    async fn left(&self) -> usize {
        let shown = self.get("/sim/messages?channel=C0GENERAL&all=true").await;
        shown["messages"].as_array().unwrap().iter().filter(|message| message["deleted"] != true).count()
    }

    /// Presses the probe's button as soon as it is there.
    async fn press(&self) {
        let wait = "/sim/wait?channel=C0GENERAL&text_contains=press%20once";
        let message = self.get(wait).await["messages"][0].take();
        let action_id = message["blocks"][1]["elements"][0]["action_id"].clone();
        let click = json!({"user": "U0ALICE", "channel": "C0GENERAL", "ts": message["ts"], "action_id": action_id});
        let url = format!("{}/sim/click", self.simulator.base_url());
        let answer = self.client.lend().post(url).json(&click).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }
}

async fn found_in(personality: Personality) -> Findings {
    Bench::with(personality).await.found(&PLAN).await
}

#[tokio::test]
async fn the_usual_workspace_is_found_out_and_left_as_it_was() {
    let bench = Bench::with(Personality::default()).await;
    let found = bench.found(&PLAN).await;
    let Redelivery::Again { after_ms, attempts } = &found.redelivery else { panic!("{found:?}") };
    assert_eq!(attempts, &[1, 2]);
    // As they were heard: a busy machine hears the first one late.
    assert!(after_ms.is_sorted() && after_ms[1] >= 400, "{after_ms:?}");
    assert!(matches!(found.offline, Offline::Later { .. }), "{found:?}");
    assert_eq!((&found.client_msg_id, &found.metadata), (&ClientMsgId::TwoMessages, &Metadata::ReadBack));
    assert!(matches!(found.lag, Lag::Measured { samples: 3, missing_after_ms: None, .. }), "{found:?}");
    assert_eq!((&found.clicks, found.reconnects), (&Clicks::Skipped, 0));
    assert_eq!(bench.left().await, 0);
    assert_eq!(bench.get("/sim/state").await["connections"], 0);
}

#[tokio::test]
async fn what_happens_offline_is_kept_or_gone() {
    let (kept, gone) = (RedeliversOffline::Kept, RedeliversOffline::Never);
    let in_mood =
        async |redelivers_offline| found_in(Personality { redelivers_offline, ..Personality::default() }).await;
    let (found_kept, found_gone) = tokio::join!(in_mood(kept), in_mood(gone));
    assert!(matches!(found_kept.offline, Offline::Later { .. }), "{found_kept:?}");
    assert!(matches!(found_gone.offline, Offline::Gone { .. }), "{found_gone:?}");
    let Redelivery::Again { attempts, .. } = found_gone.redelivery else { panic!("{found_gone:?}") };
    assert_eq!(attempts, [1], "the rest is gone with the last socket");
}

#[tokio::test]
async fn a_client_msg_id_counts_or_is_refused() {
    let in_mood =
        async |client_msg_id| found_in(Personality { client_msg_id, ..Personality::default() }).await.client_msg_id;
    let (honoured, rejected) =
        tokio::join!(in_mood(simulator::ClientMsgId::Honoured), in_mood(simulator::ClientMsgId::Rejected));
    assert_eq!(honoured, ClientMsgId::OneMessage);
    assert_eq!(rejected, ClientMsgId::Refused { error: "invalid_arg_name".to_owned() });
}

#[tokio::test]
async fn reads_that_lag_are_measured_or_given_up() {
    let late = found_in(Personality { history_lag_ms: 200, ..Personality::default() }).await;
    let Lag::Measured { median_ms, worst_ms, history_ms, missing_after_ms: None, .. } = late.lag else {
        panic!("{late:?}")
    };
    assert!(median_ms >= 100 && worst_ms >= median_ms && history_ms.is_some_and(|ms| ms >= 100), "{late:?}");
    let bench = Bench::with(Personality { history_lag_ms: 60_000, ..Personality::default() }).await;
    let never = bench.found(&Plan { give_up: Duration::from_millis(100), ..PLAN }).await;
    assert_eq!(never.lag, Lag::Missing { after_ms: 100 });
    assert!(matches!(never.metadata, Metadata::Unclear { .. }), "{never:?}");
}

#[tokio::test]
async fn a_press_comes_again_or_not_and_nobody_need_press() {
    let plan = Plan { press_within: Some(Duration::from_secs(5)), ..PLAN };
    let in_mood = async |retries_clicks| {
        let bench = Bench::with(Personality { retries_clicks, ..Personality::default() }).await;
        tokio::join!(bench.found(&plan), bench.press()).0.clicks
    };
    let (again, once) = tokio::join!(in_mood(true), in_mood(false));
    assert!(matches!(again, Clicks::Again { .. }), "{again:?}");
    assert!(matches!(once, Clicks::Once { watched_ms: 600.. }), "{once:?}");
    let bench = Bench::with(Personality::default()).await;
    let alone = bench.found(&Plan { press_within: Some(Duration::from_millis(50)), ..PLAN }).await;
    assert_eq!(alone.clicks, Clicks::NotPressed);
}

#[tokio::test]
async fn a_bot_that_does_not_hear_itself_learns_the_rest() {
    let config = Config { own_events: false, ..Config::default() };
    let simulator = simulator::start(config).await.unwrap();
    let bench = Bench { simulator, client: Owner::build(&http_client::Config::default(), true).unwrap() };
    let found = bench.found(&PLAN).await;
    assert_eq!((found.redelivery, found.offline), (Redelivery::Unheard, Offline::Unheard));
    assert_eq!((found.client_msg_id, found.metadata), (ClientMsgId::TwoMessages, Metadata::ReadBack));
}

#[tokio::test]
async fn only_its_own_is_acknowledged_and_one_of_that_is_not() {
    let bench = Bench::with(Personality::default()).await;
    let say = async {
        bench.begun().await;
        let said = json!({"event": {"type": "message", "channel": "C0GENERAL", "user": "U0ALICE", "text": "anybody?"}});
        let url = format!("{}/sim/inject", bench.simulator.base_url());
        let answer = bench.client.lend().post(url).json(&said).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["envelope_id"].take()
    };
    let (_found, somebody_else) = tokio::join!(bench.found(&PLAN), say);
    let envelopes = bench.get("/sim/envelopes").await["envelopes"].take();
    let delivered: Vec<&Value> =
        envelopes.as_array().unwrap().iter().filter(|one| one["connection"].is_number()).collect();
    let events = |chosen: &dyn Fn(&Value) -> bool| -> BTreeSet<&str> {
        delivered.iter().filter(|one| chosen(one)).filter_map(|one| one["event_id"].as_str()).collect()
    };
    let (all, acked) = (events(&|_| true), events(&|one| one["acks"] != 0));
    let never: BTreeSet<&str> = all.difference(&acked).copied().collect();
    let theirs = events(&|one| one["envelope_id"] == somebody_else);
    assert_eq!((theirs.len(), never.len()), (1, 2), "{envelopes}");
    assert!(never.is_superset(&theirs) && acked.len() >= 5, "{envelopes}");
}

#[tokio::test]
async fn a_stopped_probe_deletes_what_it_posted() {
    let bench = Bench::with(Personality::default()).await;
    let stop = CancellationToken::new();
    let stopping = async {
        bench.begun().await;
        stop.cancel();
    };
    let (stopped, ()) = tokio::join!(bench.probe("C0GENERAL", &PLAN, &stop), stopping);
    assert!(matches!(stopped, Err(ProbeError::Stopped)), "{stopped:?}");
    assert_eq!(bench.left().await, 0);
}

#[tokio::test]
async fn a_channel_that_it_can_t_write_in_is_named() {
    let bench = Bench::with(Personality::default()).await;
    let refused = bench.probe("C0NOWHERE", &PLAN, &CancellationToken::new()).await.unwrap_err();
    assert!(refused.to_string().starts_with("C0NOWHERE: channel_not_found; name a channel"), "{refused}");
}

/// The built binary in a home of its own, against the simulator.
fn binary(bench: &Bench, arguments: &[&str], home: &Path) -> Command {
    let file = home.join("hitchline.toml");
    let text = format!(
        "[slack]\napi_url = '{}/api/'\nbot_token = '{BOT_TOKEN}'\napp_token = '{APP_TOKEN}'\npacing = 'off'\n\
         [access]\nusers = ['*']\n",
        bench.simulator.base_url()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(cargo_bin("hitchline"));
    command.env_clear().env("HOME", home).args(["probe", "--channel", "C0GENERAL", "--config"]).arg(file);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn ended(mut command: Command) -> Output {
    tokio::time::timeout(SOON, command.output()).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_binary_prints_json_or_a_table() {
    let bench = Bench::with(Personality::default()).await;
    let home = tempfile::tempdir().unwrap();
    let output = ended(binary(&bench, &["--no-click", "--watch", "2s", "--json"], home.path())).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["redelivery"]["answer"], "again");
    assert_eq!(found["client_msg_id"], json!({"answer": "two_messages"}));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("posting into C0GENERAL; "), "its progress");
    let output = ended(binary(&bench, &["--no-click", "--watch", "2s"], home.path())).await;
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("\nTwo posts with one client_msg_id   make two messages\n"), "{table}");
}

#[tokio::test]
async fn the_binary_is_a_simulator_of_any_personality() {
    let mut command = Command::new(cargo_bin("hitchline"));
    command.env_clear().args(["simulator", "--personality", r#"{"history_lag_ms":7}"#]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
    let url = format!("{}/sim/personality", line.strip_prefix("simulator: ").unwrap());
    let client = Owner::build(&http_client::Config::default(), true).unwrap();
    let answer = client.lend().request(reqwest::Method::GET, url).send().await.unwrap();
    let holds: Value = answer.json().await.unwrap();
    assert_eq!((&holds["history_lag_ms"], &holds["client_msg_id"]), (&json!(7), &json!("ignored")));
}

#[tokio::test]
async fn the_binary_keeps_away_from_a_daemon() {
    let bench = Bench::with(Personality::default()).await;
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join(".local/state/hitchline");
    std::fs::create_dir_all(&state).unwrap();
    let lock = std::fs::File::create(state.join("lock")).unwrap();
    lock.lock().unwrap();
    let output = ended(binary(&bench, &[], home.path())).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("stop that daemon while the probe runs"), "{said}");
    assert_eq!(bench.left().await, 0);
}

#[tokio::test]
async fn an_interrupted_binary_deletes_what_it_posted() {
    let bench = Bench::with(Personality::default()).await;
    let home = tempfile::tempdir().unwrap();
    let process = binary(&bench, &["--no-click"], home.path()).spawn().unwrap();
    bench.begun().await;
    let id = process.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?)).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let output = tokio::time::timeout(SOON, process.wait_with_output()).await.unwrap().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.ends_with("hitchline: stopped before everything was found out\n"), "{said}");
    assert_eq!(bench.left().await, 0);
}
