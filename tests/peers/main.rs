//! Bots on Slack's own SDKs, unmodified, against the simulator.
//!
//! The SDKs are installed once into `.cache/`.

#[cfg(test)]
mod bot;
#[cfg(test)]
mod install;
#[cfg(test)]
#[path = "../tools/npm.rs"]
mod package;
#[cfg(test)]
#[path = "../tools/program.rs"]
mod program;

use hitchline::simulator::{Config, start};
use serde_json::json;

use bot::{Bot, People};

#[tokio::test]
async fn a_bolt_python_bot_works_unmodified() {
    let Some(python) = install::bolt_python() else { return };
    converse("from Python", |url| Bot::start(&python, &["tests/peers/bolt_python.py"], url, None)).await;
}

#[tokio::test]
async fn a_bolt_js_bot_works_unmodified() {
    let Some(folder) = install::bolt_js() else { return };
    converse("from JavaScript", |url| Bot::start("node", &["tests/peers/bolt_js.mjs"], url, Some(&folder))).await;
}

/// A mention is answered in its thread, a button streams more, a command is answered twice, everything is acknowledged.
#[cfg(test)]
async fn converse<F: Future<Output = Bot>>(language: &str, run: impl FnOnce(String) -> F) {
    let simulator = start(Config::default()).await.unwrap();
    let bot = run(simulator.base_url()).await;
    let people = People::new(simulator.base_url());

    let root =
        people.post("messages", json!({"user": "U0ALICE", "channel": "C0GENERAL", "text": "@hitchline hi"})).await;
    let hello =
        people.wait(&format!("thread_ts={}&text_is=Hello%20%3C%40U0ALICE%3E", root["ts"].as_str().unwrap())).await;
    assert_eq!(hello["thread_ts"], root["ts"]);

    let click = json!({"user": "U0ALICE", "channel": "C0GENERAL", "ts": hello["ts"], "action_id": "more"});
    assert_eq!(people.post("click", click).await["acked"], true);
    let more = people.wait(&format!("final=true&text_is=More%20{}", language.replace(' ', "%20"))).await;
    assert!(more["versions"].as_array().unwrap().len() >= 3, "{more}");

    let command = json!({"user": "U0BOB", "channel": "C0GENERAL", "command": "/hitch", "text": "hello"});
    let answer = people.post("command", command).await;
    assert_eq!((&answer["acked"], &answer["response"]["text"]), (&json!(true), &json!("You said hello")));
    assert_eq!(people.wait("text_is=And%20later").await["ephemeral_to"], "U0BOB");

    people.all_acknowledged().await;
    bot.end().await;
    simulator.stop().await;
}
