//! Commands: what each of them does. How one came, and with that who is answered, is [`Asked`]'s matter; what people read stands in `words`.

mod adopting;
mod answer;
mod breakout;
mod connect;
mod cut_off;
mod discover;
mod interrupted;
mod lists;
mod notebook;
mod offers;
mod options;
mod press;
mod slash;
mod standing;

use std::sync::Arc;

use crate::domain::access::Admitted;
use crate::domain::command::{Command, NewArgs};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::Ts;
use crate::domain::inbound::{ChannelKind, ReplyUrl};
use crate::domain::session::SessionRecord;

pub(super) use self::adopting::Adopting;
use self::answer::Answer;
pub(super) use self::answer::post;
pub(super) use self::lists::stop_button;
pub(super) use self::press::Presses;
use super::conversation::Work;
use super::lines::{Delivered, Later};
use super::manager::Inner;
use super::slots::{Active, Mapping};
use super::turn::StopReason;
use super::words;

/// A command's circumstances.
pub(super) struct Asked<'a> {
    /// The conversation on which it acts.
    key: &'a ConversationKey,
    /// Where it is answered: there, or in the thread of the message where the conversation is a whole channel.
    at: ConversationKey,
    /// Its event.
    seq: i64,
    /// The message in which it was written, if it was.
    message: Option<Ts>,
    by: &'a Admitted,
    way: Way,
}

/// How a command came.
enum Way {
    /// It was written.
    Message {
        kind: ChannelKind,
        /// The thread in which it stands, when that has more messages than this one.
        thread: Option<Ts>,
    },
    /// By the slash command or a press, which have an address of their own for the answer.
    Reply(Option<ReplyUrl>),
}

impl<'a> Asked<'a> {
    /// A command that somebody wrote.
    pub(super) fn written(key: &'a ConversationKey, work: &'a Work) -> Self {
        let message = &work.message;
        let thread = message.thread.clone().filter(|root| *root != message.ts);
        Self {
            key,
            at: work.place(key),
            seq: work.seq,
            message: Some(message.ts.clone()),
            by: &work.admitted,
            way: Way::Message { kind: work.kind, thread },
        }
    }

    /// A slash command or a press.
    fn replied(key: &'a ConversationKey, seq: i64, by: &'a Admitted, reply: Option<ReplyUrl>) -> Self {
        Self { key, at: key.clone(), seq, message: None, by, way: Way::Reply(reply) }
    }

    /// The thread into which a session goes that is chosen from a list.
    fn thread(&self) -> Option<Ts> {
        (!self.key.is_channel_wide()).then(|| self.key.thread.clone())
    }

    /// What is said where there is no session.
    fn no_session(&self) -> &'static str {
        match self.way {
            Way::Message { .. } => words::NO_SESSION,
            Way::Reply(_) => words::THREADS_ONLY,
        }
    }
}

impl Inner {
    /// Runs a command of a conversation and answers it.
    pub(super) async fn run_command(self: &Arc<Self>, asked: &Asked<'_>, command: Command) -> Result<Delivered, Later> {
        let active = self.mapping(asked.key).await?;
        let answer = match command {
            Command::Help => self.help(active.as_ref()),
            Command::List => self.list(asked, active.is_none()).await?,
            Command::Sessions => self.all_sessions(asked, active.is_none()).await?,
            Command::WorkStatus => self.work_status(asked).await?,
            Command::Projects => self.projects().await?,
            Command::Discover(count) => self.discover(asked, active.as_ref(), count).await?,
            Command::Config => self.config(asked, active.as_ref()),
            Command::Remember(text) => self.remember_note(asked, text).await?,
            Command::Recall(query) => self.recall_notes(asked, &query).await?,
            Command::New(args) => self.new_session(asked, active.as_ref(), &args).await?,
            Command::Connect(id) => self.connect(asked, active.as_ref(), &id).await?,
            Command::Stop { waiting_too } => self.stop_here(asked, waiting_too).await?,
            Command::Status | Command::End | Command::Breakout(_) | Command::Choose(..) => match active {
                Some(active) => self.run_in_session(asked, &active, command).await?,
                None => Answer::open(asked.no_session()),
            },
        };
        self.give(asked, answer).await
    }

    /// Runs a command that needs a session.
    async fn run_in_session(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        active: &Active,
        command: Command,
    ) -> Result<Answer, Later> {
        match command {
            Command::End => self.end_session(asked, &active.record).await,
            Command::Breakout(name) => self.breakout(asked, &active.record, name).await,
            Command::Choose(category, value) => self.choose(active, category, value.as_deref()).await,
            _ => self.status(asked, active).await,
        }
    }

    /// Writes a new mapping that has no prompt yet, or says why not.
    async fn new_session(&self, asked: &Asked<'_>, active: Option<&Active>, args: &NewArgs) -> Result<Answer, Later> {
        if active.is_some() {
            return Ok(Answer::open(words::SESSION_EXISTS));
        }
        let key = asked.key;
        let start = match self.parts.policy.start(&key.channel, args.agent.as_deref(), args.dir.as_deref()) {
            Ok(start) => start,
            Err(refused) => return Ok(Answer::open(words::not_started(&refused))),
        };
        let record = self.new_record(key, &start, asked.by.user(), &args.text);
        let created = self.parts.store.create_session(record.clone(), self.limit()).await;
        if !created.map_err(|error| Later::because(key, &error))? {
            return Ok(Answer::open(self.too_many_sessions()));
        }
        let told = words::created(&record.id.short(), &record.backend);
        self.slots().entry(key).mapping = Mapping::asleep(record);
        Ok(Answer::change(told))
    }

    /// Ends the conversation's session. What was waiting for it when the end was said ends with it.
    async fn end_session(self: &Arc<Self>, asked: &Asked<'_>, record: &SessionRecord) -> Result<Answer, Later> {
        let ended = self.end_for_good(record.id, asked.seq).await.map_err(|error| Later::because(asked.key, &error))?;
        Ok(Answer::change(words::ended(ended.map_or(0, |(_key, waiting)| waiting))))
    }

    /// `stop` in its line. The turn itself says that it was stopped.
    async fn stop_here(&self, asked: &Asked<'_>, waiting_too: bool) -> Result<Answer, Later> {
        if waiting_too {
            let (stopped, dropped) = self.stop_all(asked.key, asked.seq).await?;
            let told = words::stopped_all(stopped, dropped);
            return Ok(if stopped || dropped > 0 { Answer::change(told) } else { Answer::open(told) });
        }
        let stopped = self.stop_turn(asked.key);
        Ok(match asked.way {
            Way::Message { .. } if stopped => Answer::nothing(),
            _ => Answer::open(if stopped { words::STOPPING } else { words::NOTHING_RUNS }),
        })
    }

    /// Drops what waits in a conversation before the event `before`, however often that takes, and stops its turn if that was asked for
    /// before it. Returns whether one ran, and how many waited.
    async fn stop_all(&self, key: &ConversationKey, before: i64) -> Result<(bool, usize), Later> {
        let mut stopped = false;
        loop {
            let dropped = self.parts.store.drop_waiting(key, before).await;
            // Whatever came of that: the agent is not left at work for the store's sake. Only after it, or the next one would begin.
            stopped |= self.stop_turn_before(key, before);
            match dropped {
                Ok(dropped) => {
                    self.slots().unmark_all(key);
                    return Ok((stopped, dropped));
                }
                Err(error) => self.before_retry(Later::because(key, &error)).await?,
            }
        }
    }

    /// Stops the running turn, if there is one. Whoever may prompt here may stop.
    fn stop_turn(&self, key: &ConversationKey) -> bool {
        self.stop_turn_before(key, i64::MAX)
    }

    /// The same as long as it was asked for before the event `before`.
    fn stop_turn_before(&self, key: &ConversationKey, before: i64) -> bool {
        let running = self.slots().get(key).and_then(|slot| slot.turn.clone());
        running.is_some_and(|running| running.precedes(before) && running.stop(StopReason::Stop))
    }
}
