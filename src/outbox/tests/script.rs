//! A Slack that does as it is told.

use super::*;

/// A Slack that notes each call and answers from a script; an empty script means success.
#[derive(Default)]
pub(super) struct Script {
    pub(super) calls: Mutex<Vec<String>>,
    pub(super) answers: Mutex<VecDeque<WriteErrorKind>>,
    /// Nothing gets through.
    pub(super) away: AtomicBool,
    /// What looking back finds, one time after the other; nothing afterwards.
    pub(super) found: Mutex<VecDeque<Option<Ts>>>,
    /// With what each message was posted.
    pub(super) labels: Mutex<Vec<Label>>,
    /// How many calls crash.
    pub(super) crashes: AtomicUsize,
    /// Whether posts wait on their way.
    pub(super) slow: watch::Sender<bool>,
}

impl Script {
    fn call(&self, what: String) -> Result<(), WriteError> {
        let mut calls = self.calls.lock().unwrap();
        calls.push(what);
        drop(calls);
        let crash = |left: usize| left.checked_sub(1);
        assert!(
            self.crashes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, crash).is_err(),
            "a crash in the way to Slack"
        );
        if self.away.load(Ordering::Relaxed) {
            let kind = WriteErrorKind::Transient { uncertain: false };
            return Err(WriteError { kind, call: "test", code: "away".into() });
        }
        match self.answers.lock().unwrap().pop_front() {
            None => Ok(()),
            Some(kind) => Err(WriteError { kind, call: "test", code: "scripted".into() }),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

fn text(body: &Body) -> &str {
    let (Body::Text(text) | Body::Plain(text)) = body else { panic!("only texts here") };
    text
}

#[async_trait]
impl SlackWrite for Script {
    async fn post(&self, to: &Place, body: &Body, label: &Label) -> Result<Ts, WriteError> {
        self.labels.lock().unwrap().push(label.clone());
        let whither = if to.thread.is_none() { format!(" to {}", to.channel) } else { String::new() };
        let how = if matches!(body, Body::Plain(_)) { " plainly" } else { "" };
        let posted = self.call(format!("post{whither}{how} {}", text(body))).map(|()| Ts::from("5.5"));
        let mut slow = self.slow.subscribe();
        let _through = slow.wait_for(|slow| !slow).await;
        posted
    }
    async fn update(&self, _: &ChannelId, ts: &Ts, body: &Body) -> Result<(), WriteError> {
        self.call(format!("update {ts} {}", text(body)))
    }
    async fn finish(&self, _: &ChannelId, ts: &Ts, body: &Body, _: &Label) -> Result<(), WriteError> {
        self.call(format!("finish {ts} {}", text(body)))
    }
    async fn delete(&self, _: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        self.call(format!("delete {ts}"))
    }
    async fn whisper(&self, _: &Place, _: &UserId, _: &Body) -> Result<(), WriteError> {
        self.call("whisper".into())
    }
    async fn respond(&self, _: &ReplyUrl, _: &Body) -> Result<(), WriteError> {
        self.call("respond".into())
    }
    async fn mark(&self, _: &ChannelId, _: &Ts, _: Mark, _: bool) -> Result<(), WriteError> {
        self.call("mark".into())
    }
    async fn create_channel(&self, _: &str, _: &[UserId]) -> Result<ChannelId, WriteError> {
        self.call("create channel".into()).map(|()| ChannelId::from("CNEW"))
    }
    async fn status(&self, _: &Place, _: &str) -> Result<(), WriteError> {
        self.call("status".into())
    }
    async fn start_stream(&self, _: &ConversationKey, _: &UserId, _: &str) -> Result<Ts, WriteError> {
        self.call("start".into()).map(|()| Ts::from("5.5"))
    }
    async fn append_stream(&self, _: &ChannelId, _: &Ts, _: &str) -> Result<(), WriteError> {
        self.call("append".into())
    }
    async fn start_draft(&self, _: &Place, _: &Body, _: &Label) -> Result<Ts, WriteError> {
        self.call("start draft".into()).map(|()| Ts::from("5.5"))
    }
    async fn edit_draft(&self, _: &ChannelId, _: &Ts, _: &Body) -> Result<(), WriteError> {
        self.call("edit draft".into())
    }
    async fn stop_stream(&self, _: &ChannelId, ts: &Ts) -> Result<(), WriteError> {
        self.call(format!("stop {ts}"))
    }
    async fn look_back(&self, _: &ConversationKey, _: &Ts, _: Trace) -> Result<Option<Ts>, WriteError> {
        self.call("look back".into())?;
        Ok(self.found.lock().unwrap().pop_front().flatten())
    }
}
