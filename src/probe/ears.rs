//! What the probe hears, and what it acknowledges of it.

use std::pin::pin;
use std::time::{Duration, Instant};

use crate::slack::{Delivery, Entrance, Listener, NoConnection};

/// Time between two attempts to connect.
const AGAIN: Duration = Duration::from_secs(1);
/// How many attempts there are when listening begins anew.
const ATTEMPTS: usize = 5;

/// A delivery of the probe's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    /// How many attempts there were before, as Slack says.
    pub(super) attempt: u32,
}

/// The probe's connection, and what came in by it.
#[derive(Debug)]
pub(super) struct Ears {
    entrance: Entrance,
    listener: Option<Listener>,
    /// Stands in whatever is the probe's own.
    name: String,
    /// Deliveries in which one of these stands are not acknowledged.
    withheld: Vec<String>,
    heard: Vec<(String, Arrival)>,
    reconnects: u32,
}

impl Ears {
    /// Connects.
    pub(super) async fn open(entrance: Entrance, name: &str) -> Result<Self, NoConnection> {
        let listener = Some(Listener::open(&entrance).await?);
        let name = name.to_owned();
        Ok(Self { entrance, listener, name, withheld: Vec::new(), heard: Vec::new(), reconnects: 0 })
    }

    /// The mark by which something posted is known again.
    pub(super) fn mark(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    /// A mark, too; whatever bears it is not acknowledged.
    pub(super) fn withhold(&mut self, what: &str) -> String {
        let mark = self.mark(what);
        self.withheld.push(mark.clone());
        mark
    }

    /// The deliveries that bear a mark, in order.
    pub(super) fn heard(&self, mark: &str) -> Vec<Arrival> {
        self.heard.iter().filter(|(said, _)| said.contains(mark)).map(|(_, arrival)| arrival.clone()).collect()
    }

    /// How often the connection was lost.
    pub(super) fn reconnects(&self) -> u32 {
        self.reconnects
    }

    /// Listens while something else is done.
    pub(super) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.hear() => {}
            }
        }
    }

    /// Listens until it is enough, or the time has come. Returns whether it was enough.
    pub(super) async fn listen_until(&mut self, by: Instant, is_enough: impl Fn(&Self) -> bool) -> bool {
        let clock = self.entrance.clock.clone();
        while !is_enough(self) {
            if clock.timeout_at(by, self.hear()).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Stops listening.
    pub(super) async fn close(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.close().await;
        }
    }

    /// Listens anew.
    pub(super) async fn reopen(&mut self) -> Result<(), NoConnection> {
        for _ in 1..ATTEMPTS {
            if let Ok(listener) = Listener::open(&self.entrance).await {
                self.listener = Some(listener);
                return Ok(());
            }
            self.entrance.clock.sleep(AGAIN).await;
        }
        self.listener = Some(Listener::open(&self.entrance).await?);
        Ok(())
    }

    /// Takes one delivery in, or connects again. Cancel safe.
    async fn hear(&mut self) {
        let Some(listener) = &mut self.listener else {
            match Listener::open(&self.entrance).await {
                Ok(listener) => self.listener = Some(listener),
                Err(_not_yet) => self.entrance.clock.sleep(AGAIN).await,
            }
            return;
        };
        let heard = match listener.next().await {
            Ok(Delivery { said, .. }) if !said.contains(&self.name) => Ok(()),
            Ok(Delivery { envelope_id, said, retry }) => {
                let withheld = self.withheld.iter().any(|mark| said.contains(mark));
                self.heard.push((said, Arrival { at: self.entrance.clock.now(), attempt: retry.attempt }));
                if withheld { Ok(()) } else { listener.acknowledge(&envelope_id).await }
            }
            Err(lost) => Err(lost),
        };
        if heard.is_err() {
            self.listener = None;
            self.reconnects += 1;
        }
    }
}
