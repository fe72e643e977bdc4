//! One run: a simulator, a daemon that dies now and then, people, and what is known in the end.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;

use super::agent;
use super::checker::{Violation, check, lost};
use super::history::History;
use super::people::People;
use super::process::eventually;
use super::slack::Slack;
use super::subject::{Backend, Image, Life, Subject};

/// How long the last recovery may take: what was not acknowledged may come again only after a minute.
const PATIENCE: Duration = Duration::from_secs(100);

pub(crate) struct Run {
    pub(crate) slack: Slack,
    pub(crate) subject: Subject,
    pub(crate) people: People,
}

impl Run {
    pub(crate) fn new(rng: Rng, backend: Backend) -> Self {
        let slack = Slack::start();
        let subject = Subject::new(&slack.address, backend);
        Self { people: People::new(rng, backend), slack, subject }
    }

    /// A daemon to which so many conversations have been opened and answered.
    pub(crate) fn begin(&mut self, conversations: usize) -> Life {
        let life = self.subject.start();
        life.ready();
        for _ in 0..conversations {
            self.people.open(&self.slack);
        }
        self.rest(&life);
        self.people.settle();
        life
    }

    /// Waits until everything has been answered, saying yes and asking again wherever there is something to press.
    pub(crate) fn rest(&mut self, life: &Life) {
        let store = self.subject.store();
        let rested = eventually(PATIENCE, || {
            // In this order: what is at rest has shown all the buttons that it will.
            let at_rest = self.all_arrived(&store) && store.is_at_rest();
            let pressed = self.people.press(&self.slack, Some(&store));
            (at_rest && pressed == 0).then_some(())
        });
        if rested.is_none() {
            println!("the log of the last life:\n{}", life.log());
            panic!("it never came to rest: {:?}", check(&self.history(&store)));
        }
    }

    /// Waits until everything has been answered, where nobody has anything to decide.
    pub(crate) fn answered(&self, life: &Life) {
        let store = self.subject.store();
        let arrived = eventually(PATIENCE, || self.all_arrived(&store).then_some(()));
        let answered = arrived.and_then(|()| eventually(PATIENCE, || store.is_at_rest().then_some(())));
        assert!(answered.is_some(), "{}", life.log());
    }

    /// Whether all that was asked is answered, as it seems, in full, and nothing is owed.
    pub(crate) fn is_answered(&self) -> bool {
        let store = self.subject.store();
        self.all_arrived(&store) && store.is_at_rest()
    }

    /// Whether everything that people wrote has come in.
    fn all_arrived(&self, store: &Image) -> bool {
        let keys: BTreeSet<String> = store.keys().into_iter().collect();
        let key = |asked: &super::history::Asked| format!("message:{}:{}", asked.place.channel, asked.ts);
        self.people.asked.iter().all(|asked| keys.contains(&key(asked)))
    }

    /// What was acknowledged while the daemon lived and is not on the disk that it left.
    pub(crate) fn lost_now(&self) -> Vec<Violation> {
        lost(&self.history(&self.subject.image()))
    }

    /// The last life: everything comes to rest, the daemon stops in order, and the history is checked.
    pub(crate) fn end(mut self) -> Vec<Violation> {
        self.slack.clear_faults();
        let life = self.subject.start();
        life.ready();
        self.rest(&life);
        life.stop();
        let mut history = self.history(&self.subject.image());
        history.left = self.subject.processes();
        check(&history)
    }

    fn history(&self, store: &Image) -> History {
        let given_up = store.given_up();
        let given_up = self.people.asked.iter().filter(|asked| given_up.contains(&asked.ts));
        History {
            asked: self.people.asked.clone(),
            delivered: self.slack.delivered(),
            stored: store.keys().into_iter().collect(),
            given_up: given_up.map(|asked| asked.number).collect(),
            heard: agent::heard(self.subject.path()),
            shown: self.slack.shown(),
            again: self.people.again(),
            left: Vec::new(),
        }
    }
}
