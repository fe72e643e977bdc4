//! Files, fetched and uploaded.

use std::path::PathBuf;

use hitchline::domain::ids::OwedId;
use hitchline::domain::inbound::{File, FileAt};
use hitchline::domain::outgoing::{Label, Place};
use hitchline::domain::ports::{Files, NotFetched, Upload, WriteErrorKind};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Bench;

/// Somebody's file in Slack, and a place where it is to lie here.
struct Fetching {
    bench: Bench,
    dir: TempDir,
    file: File,
}

impl Fetching {
    async fn new(name: &str, content: &'static str) -> Self {
        let bench = Bench::start().await;
        let url = format!("{}/sim/files?user=U0ALICE&name={name}", bench.simulator.base_url());
        let brought: Value = bench.http.post(url).body(content).send().await.unwrap().json().await.unwrap();
        let known = bench.get("files").await["files"][0].clone();
        assert_eq!(known["id"], brought["id"]);
        let file = File {
            id: known["id"].as_str().unwrap().into(),
            name: name.into(),
            mime: known["mimetype"].as_str().map(Into::into),
            size: known["size"].as_u64(),
            at: FileAt::Address(known["url_private_download"].as_str().unwrap().into()),
        };
        Self { bench, dir: tempfile::tempdir().unwrap(), file }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("file")
    }

    async fn fetch(&self, file: &File, limit: u64) -> Result<(), NotFetched> {
        self.bench.surface.fetch(file, &self.path(), limit).await
    }

    /// What becomes of it when this goes wrong with the download.
    async fn fetch_despite(&self, fault: Value) -> NotFetched {
        self.bench.sim("faults", &fault).await;
        let error = self.fetch(&self.file, 1_000).await.unwrap_err();
        assert!(!self.path().exists(), "half a file is left after {fault}");
        error
    }

    /// How often Slack was asked for a file, and whether each time with the token.
    async fn downloads(&self) -> Vec<Value> {
        let calls = self.bench.get("calls?method=files.download").await;
        calls["calls"].as_array().unwrap().iter().map(|call| call["args"]["authorized"].clone()).collect()
    }
}

#[tokio::test]
async fn a_file_comes_whole_and_is_ours_alone() {
    let fetching = Fetching::new("a.txt", "content").await;
    fetching.fetch(&fetching.file, 7).await.unwrap();
    assert_eq!(std::fs::read_to_string(fetching.path()).unwrap(), "content");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(fetching.path()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let again = fetching.fetch(&fetching.file, 7).await.unwrap_err();
    assert!(matches!(again, NotFetched::NotKept(_)), "what lies there is never overwritten: {again}");
    assert_eq!(std::fs::read_to_string(fetching.path()).unwrap(), "content");
}

#[tokio::test]
async fn of_another_workspace_s_file_slack_is_asked_first() {
    let fetching = Fetching::new("a.txt", "content").await;
    let shared = File { name: "file".into(), mime: None, size: None, at: FileAt::Ask, ..fetching.file.clone() };
    fetching.fetch(&shared, 7).await.unwrap();
    assert_eq!(std::fs::read_to_string(fetching.path()).unwrap(), "content");
    let unknown = File { id: "F0NONE".into(), ..shared };
    assert_eq!(fetching.fetch(&unknown, 7).await, Err(NotFetched::Gone));
}

#[tokio::test]
async fn what_is_too_large_is_not_asked_for() {
    let fetching = Fetching::new("a.txt", "content").await;
    assert_eq!(fetching.fetch(&fetching.file, 6).await, Err(NotFetched::TooLarge { limit: 6 }));
    assert!(fetching.downloads().await.is_empty());
}

#[tokio::test]
async fn the_token_goes_nowhere_but_to_slack() {
    let fetching = Fetching::new("a.txt", "content").await;
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/files-pri/x", elsewhere.local_addr().unwrap());
    for at in [FileAt::Address(address.clone()), FileAt::Address("no address".into()), FileAt::Elsewhere] {
        let foreign = File { at, ..fetching.file.clone() };
        assert_eq!(fetching.fetch(&foreign, 7).await, Err(NotFetched::Elsewhere));
    }
    let led_away = fetching.fetch_despite(json!({"fault": "file_elsewhere", "to": address})).await;
    assert_eq!(led_away, NotFetched::Elsewhere);
    let mut connections = std::pin::pin!(elsewhere.accept());
    assert!(futures_util::poll!(connections.as_mut()).is_pending(), "somebody was asked");
}

#[tokio::test]
async fn f_81_a_download_that_goes_astray_leaves_nothing_and_says_why() {
    let fetching = Fetching::new("a.txt", "content").await;
    assert_eq!(fetching.fetch_despite(json!({"fault": "file_login"})).await, NotFetched::NotAllowed);
    let slack = json!({"fault": "file_elsewhere", "to": "https://acme.slack.com/?redir=x"});
    assert_eq!(fetching.fetch_despite(slack).await, NotFetched::NotAllowed);
    assert_eq!(fetching.fetch_despite(json!({"fault": "file_endless"})).await, NotFetched::TooLarge { limit: 1_000 });
    for fault in [json!({"fault": "lost_reply", "method": "files.download"}), json!({"fault": "http_500"})] {
        let error = fetching.fetch_despite(fault.clone()).await;
        assert!(matches!(error, NotFetched::Failed(_)), "{fault}: {error}");
    }
    let other_size = File { size: Some(8), ..fetching.file.clone() };
    assert!(matches!(fetching.fetch(&other_size, 1_000).await, Err(NotFetched::Failed(_))), "not as long as the file");
    let nothing = Fetching::new("b.txt", "").await;
    nothing.fetch(&nothing.file, 1_000).await.unwrap();
    assert_eq!(std::fs::read(nothing.path()).unwrap(), b"", "an empty file is one, too");
    fetching.bench.sim("faults", &json!({"fault": "file_elsewhere", "to": "again", "times": 9})).await;
    let round = fetching.fetch(&fetching.file, 1_000).await.unwrap_err();
    assert!(!fetching.path().exists() && !matches!(round, NotFetched::NotAllowed), "{round}");
}

#[tokio::test]
async fn without_the_scope_it_is_named() {
    let fetching = Fetching::new("a.txt", "content").await;
    let fault = json!({"fault": "api_error", "error": "missing_scope", "method": "files.info"});
    fetching.bench.sim("faults", &fault).await;
    let shared = File { at: FileAt::Ask, ..fetching.file.clone() };
    let error = fetching.fetch(&shared, 7).await.unwrap_err();
    assert!(error.to_string().contains("`files:read`"), "{error}");
}

async fn upload(bench: &Bench, thread: Option<&str>) -> Result<(), WriteErrorKind> {
    let to = Place { channel: "C0GENERAL".into(), thread: thread.map(Into::into) };
    let file = Upload { name: "out.md".into(), bytes: b"# out".to_vec() };
    bench.surface.upload(&to, file, &Label::from(OwedId::new())).await.map_err(|error| error.kind)
}

/// The names of the files in each message of a thread.
async fn names(bench: &Bench, thread: &str) -> Vec<Value> {
    let messages = bench.shown(&format!("channel=C0GENERAL&thread_ts={thread}")).await;
    messages
        .iter()
        .flat_map(|message| message["files"].as_array().cloned().unwrap_or_default())
        .map(|file| file["name"].clone())
        .collect()
}

#[tokio::test]
async fn an_upload_shows_the_file_in_its_thread() {
    let bench = Bench::start().await;
    let root = bench.alice("root", None).await;
    upload(&bench, Some(root.as_str())).await.unwrap();
    assert_eq!(names(&bench, root.as_str()).await, [json!("out.md")]);
    let id = bench.get("files").await["files"][0]["id"].as_str().unwrap().to_owned();
    let url = format!("{}/sim/files/{id}", bench.simulator.base_url());
    let content = bench.http.request(reqwest::Method::GET, url).send().await.unwrap().text().await.unwrap();
    assert_eq!(content, "# out");
    let sent = bench.get("calls?method=files.upload").await;
    assert_eq!(sent["calls"][0]["args"], json!({"authorized": false}), "the address is its own credential");
}

#[tokio::test]
async fn an_upload_whose_last_answer_is_lost_is_shown_once() {
    let bench = Bench::start().await;
    let root = bench.alice("root", None).await;
    let lost = json!({"fault": "lost_reply", "method": "files.completeUploadExternal"});
    bench.sim("faults", &lost).await;
    upload(&bench, Some(root.as_str())).await.unwrap();
    assert_eq!(names(&bench, root.as_str()).await.len(), 1);
    // It was not done, and the answer said nothing of that: then it is done.
    let broken = json!({"fault": "http_500", "method": "files.completeUploadExternal"});
    bench.sim("faults", &broken).await;
    upload(&bench, Some(root.as_str())).await.unwrap();
    assert_eq!(names(&bench, root.as_str()).await.len(), 2);
    // Nobody can say: it is not tried blindly.
    bench.sim("faults", &lost).await;
    bench.sim("faults", &json!({"fault": "http_500", "method": "files.info"})).await;
    assert_eq!(upload(&bench, Some(root.as_str())).await, Err(WriteErrorKind::Transient { uncertain: true }));
    assert_eq!(names(&bench, root.as_str()).await.len(), 3);
}

#[tokio::test]
async fn an_upload_that_breaks_before_its_last_step_shows_nothing() {
    let bench = Bench::start().await;
    let root = bench.alice("root", None).await;
    for fault in ["http_500", "lost_reply"] {
        for method in ["files.getUploadURLExternal", "files.upload"] {
            bench.sim("faults", &json!({"fault": fault, "method": method})).await;
            let error = upload(&bench, Some(root.as_str())).await;
            assert_eq!(error, Err(WriteErrorKind::Transient { uncertain: false }), "{fault} {method}");
        }
    }
    let fault = json!({"fault": "api_error", "error": "missing_scope", "method": "files.getUploadURLExternal"});
    bench.sim("faults", &fault).await;
    assert_eq!(upload(&bench, Some(root.as_str())).await, Err(WriteErrorKind::Permanent));
    assert!(names(&bench, root.as_str()).await.is_empty());
}
