//! Drives the server: events at a steady pace, in closed loop, or one for each of many conversations; and the books on each.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hitchline::clock::Clock;
use tokio::sync::mpsc;

use crate::envelope;
use crate::server::{News, Server};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long it must be quiet before nothing more is expected, such as a second reply.
const QUIET: Duration = Duration::from_millis(300);

/// A server with a connected client, and what became of each event.
pub(crate) struct Load {
    clock: Clock,
    server: Server,
    socket: mpsc::Sender<String>,
    events: Vec<Event>,
}

/// An event that was sent; its number is its place.
#[derive(Debug, Clone)]
struct Event {
    thread: usize,
    sent: Instant,
    acknowledged: Option<Instant>,
    acknowledgements: u32,
    replies: u32,
}

/// What was heard of an event.
enum Heard {
    Acknowledged,
    Replied(usize),
    Other,
}

impl Load {
    /// Waits for the client that was told to connect to `server`.
    pub(crate) async fn connected(clock: Clock, mut server: Server) -> Result<Self> {
        loop {
            let news = clock.timeout(DEADLINE, server.news.recv()).await.context("no client connected")?;
            if let Some(News::Greeted(socket)) = news {
                return Ok(Self { clock, server, socket, events: Vec::new() });
            }
        }
    }

    /// Sends `count` events, one each `pause`, in `threads` conversations by turns; returns the latencies of their acknowledgements.
    pub(crate) async fn at_pace(&mut self, count: u32, pause: Duration, threads: usize) -> Result<Vec<Duration>> {
        let (clock, first, start) = (self.clock.clone(), self.events.len(), self.clock.now());
        for n in 0..count {
            let due = start + pause * n;
            while clock.now() < due {
                tokio::select! {
                    biased;
                    () = clock.sleep_until(due) => {}
                    heard = self.hear() => { heard?; }
                }
            }
            self.send(n as usize % threads).await?;
        }
        self.settle(first).await?;
        let latency = |event: &Event| event.acknowledged.map(|at| at - event.sent);
        Ok(self.events[first..].iter().filter_map(latency).collect())
    }

    /// Keeps one event outstanding in each of `threads` conversations; returns the replies per second.
    pub(crate) async fn closed_loop(&mut self, threads: usize, lasting: Duration) -> Result<f64> {
        let (first, start) = (self.events.len(), self.clock.now());
        for thread in 0..threads {
            self.send(thread).await?;
        }
        let mut replies = 0_u32;
        while self.clock.now() < start + lasting {
            if let Heard::Replied(number) = self.hear().await? {
                replies += 1;
                self.send(self.events[number].thread).await?;
            }
        }
        let took = self.clock.now() - start;
        self.settle(first).await?;
        Ok(f64::from(replies) / took.as_secs_f64())
    }

    /// Has one message answered in each of `threads` conversations, at most `outstanding` at once.
    pub(crate) async fn open_conversations(&mut self, threads: usize, outstanding: usize) -> Result<()> {
        let first = self.events.len();
        let mut answered = 0;
        for thread in 0..threads {
            self.send(thread).await?;
            while thread + 1 - answered >= outstanding {
                answered += usize::from(matches!(self.hear().await?, Heard::Replied(_)));
            }
        }
        self.settle(first).await
    }

    async fn send(&mut self, thread: usize) -> Result<()> {
        let number = self.events.len();
        let text = envelope::mention(number, thread, &format!("Say this back: {number}"));
        self.events.push(Event { thread, sent: self.clock.now(), acknowledged: None, acknowledgements: 0, replies: 0 });
        self.socket.send(text).await.context("the client's socket is gone")
    }

    async fn hear(&mut self) -> Result<Heard> {
        let news = self.clock.timeout(DEADLINE, self.server.news.recv()).await.context("the client does nothing")?;
        self.note(news.context("the server is gone")?)
    }

    fn note(&mut self, news: News) -> Result<Heard> {
        match news {
            News::Greeted(_) => bail!("the client opened another socket"),
            News::Acknowledged { envelope, at } => {
                let event = envelope.parse().ok().and_then(|number: usize| self.events.get_mut(number));
                let event = event.context("an acknowledgement of nothing")?;
                event.acknowledgements += 1;
                event.acknowledged = Some(at);
                Ok(Heard::Acknowledged)
            }
            News::Called { method, text, thread } if method == "chat.postMessage" => {
                let number = number(&text).with_context(|| format!("a reply to nothing: {text}"))?;
                let event = self.events.get_mut(number).context("a reply to nothing")?;
                ensure!(thread == envelope::root(event.thread), "event {number} was answered elsewhere, in {thread}");
                event.replies += 1;
                Ok(Heard::Replied(number))
            }
            News::Called { .. } => Ok(Heard::Other),
        }
    }

    /// Waits for what is outstanding since event `first`, and makes sure that each was acknowledged and answered exactly once.
    async fn settle(&mut self, first: usize) -> Result<()> {
        let open = |event: &&Event| event.replies == 0 || event.acknowledgements == 0;
        let mut missing = self.events[first..].iter().filter(open).count();
        while missing > 0 {
            self.hear().await.with_context(|| format!("{missing} events are not acknowledged or not answered"))?;
            missing = self.events[first..].iter().filter(open).count();
        }
        while let Ok(Some(late)) = self.clock.timeout(QUIET, self.server.news.recv()).await {
            self.note(late)?;
        }
        for (number, event) in self.events.iter().enumerate().skip(first) {
            let once = event.acknowledgements == 1 && event.replies == 1;
            ensure!(once, "event {number} was not handled exactly once: {event:?}");
        }
        Ok(())
    }
}

/// The number that a text ends in.
fn number(text: &str) -> Option<usize> {
    text.rsplit(' ').next()?.parse().ok()
}
