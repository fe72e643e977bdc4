//! People who write, decide, and press what they are offered.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use serde_json::Value;

use super::history::{Asked, Place};
use super::marks::Line;
use super::slack::Slack;
use super::subject::{Backend, Image, Subject};

const PEOPLE: [&str; 2] = ["U0ALICE", "U0BOB"];

/// Everybody, and what they have done.
pub(crate) struct People {
    rng: Rng,
    backend: Backend,
    /// Threads that have been answered, so that a word in them is for the bot.
    threads: Vec<Place>,
    /// Who writes in each thread.
    owners: BTreeMap<String, &'static str>,
    pub(crate) asked: Vec<Asked>,
    /// The turns that were asked for again, by message.
    again: BTreeMap<u32, BTreeSet<String>>,
}

impl People {
    pub(crate) fn new(rng: Rng, backend: Backend) -> Self {
        Self { rng, backend, threads: Vec::new(), owners: BTreeMap::new(), asked: Vec::new(), again: BTreeMap::new() }
    }

    /// Opens a conversation with a mention or in a direct message.
    pub(crate) fn open(&mut self, slack: &Slack) {
        let who = self.rng.usize(..PEOPLE.len());
        let channels = ["C0GENERAL", "C0RANDOM", if who == 0 { "D0ALICE" } else { "D0BOB" }];
        let channel = channels[self.rng.usize(..channels.len())];
        self.ask(slack, PEOPLE[who], channel, None);
    }

    /// From here on what is written in the conversations opened so far is for the bot, without a mention.
    pub(crate) fn settle(&mut self) {
        let opened = self.asked.iter().filter(|asked| asked.ts == asked.place.thread);
        self.threads = opened.map(|asked| asked.place.clone()).collect();
    }

    /// One of them does something.
    pub(crate) fn act(&mut self, slack: &Slack, subject: &Subject) {
        match self.rng.u32(..10) {
            0 => self.open(slack),
            1 => drop(self.press(slack, Some(&subject.image()))),
            2 => self.command(slack),
            _ => {
                let place = self.thread();
                self.ask(slack, self.owners[&place.thread], &place.channel, Some(&place.thread));
            }
        }
    }

    /// Asks for something in a way that is drawn.
    fn ask(&mut self, slack: &Slack, user: &'static str, channel: &str, thread: Option<&str>) {
        let wish = ["", "", "", "slow", "ask", "parts", "slow parts"][self.rng.usize(..7)];
        self.wish(slack, user, (channel, thread), wish);
    }

    /// Asks for something; `wish` holds the words that the recording agent knows.
    pub(crate) fn wish(&mut self, slack: &Slack, user: &'static str, place: (&str, Option<&str>), wish: &str) -> Asked {
        let (channel, thread) = place;
        let number = u32::try_from(self.asked.len()).unwrap();
        // An echo has to be told all of its answer.
        let text = match self.backend {
            Backend::Echo => Line { number, at: 0, of: 1 }.mark(),
            Backend::Recording => format!("q{number} {wish}"),
        };
        let mention = if thread.is_none() { "@hitchline " } else { "" };
        let ts = slack.say(user, channel, thread, &format!("{mention}{text}"));
        let place = Place { channel: channel.to_owned(), thread: thread.unwrap_or(&ts).to_owned() };
        self.owners.insert(place.thread.clone(), user);
        let asked = Asked { number, place, ts };
        self.asked.push(asked.clone());
        asked
    }

    /// Says something to which no answer is followed: it only stirs things up.
    fn command(&mut self, slack: &Slack) {
        let place = self.thread();
        let user = self.owners[&place.thread];
        if self.rng.bool() {
            slack.say(user, &place.channel, Some(&place.thread), "status");
        } else {
            slack.command(user, &place.channel, "status");
        }
    }

    fn thread(&mut self) -> Place {
        self.threads[self.rng.usize(..self.threads.len())].clone()
    }

    /// Says yes to what agents ask, and, with a look into the store that tells whose turn it was, wants what was interrupted resumed, or
    /// tried once more. Returns how many buttons were pressed.
    pub(crate) fn press(&mut self, slack: &Slack, store: Option<&Image>) -> usize {
        let (mut pressed, choice) = (0, if self.rng.bool() { "resume" } else { "retry" });
        for button in slack.buttons() {
            let value: Value = serde_json::from_str(&button.value).unwrap_or_default();
            let interrupted = &value["interrupted"];
            let wanted = match store {
                _ if interrupted.is_null() => button.is_yes(),
                Some(store) => interrupted["choice"] == choice && self.wants_again(store, &interrupted["turn"]),
                None => false,
            };
            if wanted {
                slack.press(self.owners[&button.thread], &button);
                pressed += 1;
            }
        }
        pressed
    }

    fn wants_again(&mut self, store: &Image, turn: &Value) -> bool {
        // Buttons write ids with hyphens, the store does not.
        let turn = turn.as_str().unwrap().replace('-', "");
        let Some(ts) = store.message_of(&turn) else { return false };
        let asked = self.asked.iter().find(|asked| asked.ts == ts).unwrap();
        self.again.entry(asked.number).or_default().insert(turn);
        true
    }

    /// How often each message's turn was asked for again.
    pub(crate) fn again(&self) -> BTreeMap<u32, usize> {
        self.again.iter().map(|(number, turns)| (*number, turns.len())).collect()
    }
}
