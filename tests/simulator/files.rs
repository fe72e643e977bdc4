//! Files in both directions, as an app sees them.

use hitchline::simulator::BOT_TOKEN;
use serde_json::{Value, json};

use crate::client::Bench;

impl Bench {
    /// Alice brings a file; returns its id.
    async fn alices_file(&self, name: &str, content: &'static str) -> String {
        let url = self.url(&format!("/sim/files?user=U0ALICE&name={name}"));
        let answer: Value = self.http.post(url).body(content).send().await.unwrap().json().await.unwrap();
        answer["id"].as_str().unwrap().to_owned()
    }

    async fn reserved(&self, name: &str, length: usize) -> (String, String) {
        let form = [("filename", name), ("length", &length.to_string())];
        let url = self.url("/api/files.getUploadURLExternal");
        let request = self.http.post(url).bearer_auth(BOT_TOKEN).form(&form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        (text("upload_url"), text("file_id"))
    }
}

#[tokio::test]
async fn a_person_s_file_comes_with_their_message_and_is_for_the_app_alone() {
    let bench = Bench::start().await;
    let id = bench.alices_file("notes.txt", "some notes").await;
    let message = json!({"user": "U0ALICE", "channel": "C0GENERAL", "text": "look", "files": [id]});
    let ts = bench.sim("messages", message).await["ts"].clone();
    let info = bench.api("files.info", json!({"file": id})).await;
    let file = &info["file"];
    assert_eq!(
        (&file["name"], &file["mimetype"], &file["size"]),
        (&json!("notes.txt"), &json!("text/plain"), &json!(10))
    );
    assert_eq!(file["shares"]["public"]["C0GENERAL"][0]["ts"], ts);
    let history = bench.api("conversations.history", json!({"channel": "C0GENERAL"})).await;
    assert_eq!(history["messages"][0]["files"][0]["id"], json!(id));
    for url in ["url_private", "url_private_download"].map(|name| file[name].as_str().unwrap()) {
        let with_token = bench.http.get(url).bearer_auth(BOT_TOKEN).send().await.unwrap();
        assert_eq!(with_token.text().await.unwrap(), "some notes");
        let without = bench.http.get(url).send().await.unwrap();
        assert_eq!(
            (without.status().as_u16(), &without.headers()["content-type"]),
            (200, &"text/html; charset=utf-8".parse().unwrap())
        );
        assert!(without.text().await.unwrap().contains("Sign in"));
    }
    let shown = bench.http.get(bench.url(&format!("/sim/files/{id}"))).send().await.unwrap();
    assert_eq!(shown.headers()["content-disposition"], "attachment");
    assert_eq!(shown.text().await.unwrap(), "some notes");
}

#[tokio::test]
async fn an_upload_is_three_steps_and_shows_nothing_before_the_last() {
    let bench = Bench::start().await;
    let root = bench.alice("root").await;
    let (url, id) = bench.reserved("out.md", 5).await;
    let early = json!({"files": [{"id": id}], "channel_id": "C0GENERAL"});
    assert_eq!(bench.api("files.completeUploadExternal", early).await["error"], "file_not_found");
    let wrong = bench.http.post(&url).body("too long").send().await.unwrap();
    assert_eq!(wrong.status().as_u16(), 400);
    assert_eq!(bench.http.post(&url).body("12345").send().await.unwrap().status().as_u16(), 200);
    let done = json!({"files": json!([{"id": id, "title": "Out"}]).to_string(), "channel_id": "C0GENERAL", "thread_ts": root,
        "initial_comment": "there"});
    let form: Vec<(&str, &str)> =
        done.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    let request = bench.http.post(bench.url("/api/files.completeUploadExternal")).bearer_auth(BOT_TOKEN).form(&form);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!((&answer["ok"], &answer["files"][0]["id"]), (&json!(true), &json!(id)));
    let thread = bench.api("conversations.replies", json!({"channel": "C0GENERAL", "ts": root})).await;
    let shared = &thread["messages"][1];
    assert_eq!((&shared["text"], &shared["files"][0]["title"]), (&json!("there"), &json!("Out")));
    let calls = bench.get("/sim/calls?method=files.upload").await;
    assert_eq!(calls["calls"][1]["args"], json!({"authorized": false}));
}

#[tokio::test]
async fn downloads_go_wrong_as_ordered() {
    let bench = Bench::start().await;
    let id = bench.alices_file("a.bin", "0123456789").await;
    let url = bench.api("files.info", json!({"file": id})).await["file"]["url_private"].as_str().unwrap().to_owned();
    let get = || async { bench.http.get(&url).bearer_auth(BOT_TOKEN).send().await.unwrap() };
    bench.fault(json!({"fault": "file_elsewhere", "to": "http://elsewhere.example/"})).await;
    bench.fault(json!({"fault": "file_login"})).await;
    bench.fault(json!({"fault": "lost_reply", "method": "files.download"})).await;
    bench.fault(json!({"fault": "file_endless"})).await;
    let away = get().await;
    assert_eq!(
        (away.status().as_u16(), &away.headers()["location"]),
        (302, &"http://elsewhere.example/".parse().unwrap())
    );
    assert!(get().await.text().await.unwrap().contains("Sign in"));
    let broken = bench.http.get(&url).bearer_auth(BOT_TOKEN).send().await;
    let content = match broken {
        Ok(begun) => begun.text().await,
        Err(error) => Err(error),
    };
    assert!(content.is_err(), "it breaks off: {content:?}");
    let mut endless = get().await;
    for _ in 0..100 {
        assert!(endless.chunk().await.unwrap().is_some());
    }
    drop(endless);
    assert_eq!(get().await.text().await.unwrap(), "0123456789", "faults strike once");
}
