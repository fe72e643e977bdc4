//! Commands, and what acts on a running turn: presses, stops.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::access::{Admitted, Denied};
use crate::domain::command::{self, Command, Entry, NewArgs, Reading};
use crate::domain::conversation::{ConversationKey, Markup};
use crate::domain::ids::{OwedId, Ts, UserId};
use crate::domain::inbound::{Button, Click, Inbound, Message, ReplyUrl, Slash, What};
use crate::domain::outgoing::{Body, Place};
use crate::domain::ports::{Line, WriteError, WriteErrorKind};
use crate::domain::session::SessionRecord;
use crate::scope::OnCrash;

use super::lines::{Delivered, Later};
use super::manager::Inner;
use super::slots::{Active, Mapping};
use super::turn::{Press, StopReason};
use super::words;

/// How often the post that opens a thread is tried, and the pause in between.
const THREAD_ATTEMPTS: usize = 3;
const THREAD_RETRY: Duration = Duration::from_secs(2);

impl Inner {
    /// Acts on the running turn: a press, a stop.
    pub(super) async fn act_at_once(self: Arc<Self>, seq: i64, inbound: Inbound) {
        let (admitted, key) = (self.admit(&inbound), self.acting_on(&inbound));
        let acted = match (&inbound.what, admitted) {
            (What::Click(click), admitted) => {
                self.click(&key, click, admitted);
                self.done(&key, seq).await
            }
            (What::Stop { .. }, Ok(admitted)) => {
                if self.stop_turn(&key, &admitted) {
                    tracing::info!(conversation = %key, "A turn was stopped with Slack's own button");
                }
                self.done(&key, seq).await
            }
            // Where nothing runs, the answer that says so waits like that of any other command.
            (What::Message(_), Ok(admitted)) if !self.stop_turn(&key, &admitted) => {
                self.move_to(&key, Line::Command, seq).await
            }
            _ => self.done(&key, seq).await,
        };
        if acted.is_err() {
            tracing::warn!(conversation = %key, "A press or a stop is not marked as handled");
        }
    }

    /// The conversation whose turn a press or a stop is about. A whole channel is answered in the threads of its messages.
    fn acting_on(&self, inbound: &Inbound) -> ConversationKey {
        let key = inbound.queue();
        let runs = self.slots().get(&key).is_some_and(|slot| slot.turn.is_some());
        let whole = if runs { None } else { self.whole_channel(&key) };
        whole.unwrap_or(key)
    }

    /// Runs a command of a conversation and answers in it.
    pub(super) async fn run_command(
        self: &Arc<Self>,
        key: &ConversationKey,
        seq: i64,
        command: Command,
        by: &Admitted,
    ) -> Result<Delivered, Later> {
        let active = self.mapping(key).await?;
        let answer = match (command, active) {
            (Command::Help, active) => words::help(active.is_some(), &self.parts.policy.command),
            (Command::Stop, _) if self.stop_turn(key, by) => return self.done(key, seq).await,
            (Command::Stop, _) => words::NOTHING_RUNS.to_owned(),
            (Command::New(_), Some(_)) => words::SESSION_EXISTS.to_owned(),
            (Command::New(args), None) => self.new_session(key, &args, by).await?,
            (Command::Status | Command::End, None) => words::NO_SESSION.to_owned(),
            (Command::Status, Some(active)) => self.status(key, &active.record).await?,
            (Command::End, Some(active)) => self.end_session(key, seq, &active.record).await?,
        };
        Ok(self.answer(key, seq, &answer).await)
    }

    async fn status(&self, key: &ConversationKey, record: &SessionRecord) -> Result<String, Later> {
        let waiting = self.parts.store.waiting(key, Line::Turn).await.map_err(|error| Later::because(key, &error))?;
        let works = self.slots().get(key).is_some_and(|slot| slot.turn.is_some());
        Ok(words::status(record, works, waiting))
    }

    /// Writes a new mapping that has no prompt yet, or says why not.
    async fn new_session(&self, key: &ConversationKey, args: &NewArgs, by: &Admitted) -> Result<String, Later> {
        let start = match self.parts.policy.start(&key.channel, args.agent.as_deref(), args.dir.as_deref()) {
            Ok(start) => start,
            Err(refused) => return Ok(words::not_started(&refused)),
        };
        let record = self.new_record(key, &start, by.user(), &args.text);
        let created = self.parts.store.create_session(record.clone(), self.limit()).await;
        if !created.map_err(|error| Later::because(key, &error))? {
            return Ok(self.too_many_sessions());
        }
        let told = words::created(&record.id.short(), &record.backend);
        self.slots().entry(key).mapping = Mapping::Active(Box::new(Active { record, live: None }));
        Ok(told)
    }

    /// Ends the conversation's session. What was waiting for it when the end was said, the event `seq`, ends with it.
    async fn end_session(
        self: &Arc<Self>,
        key: &ConversationKey,
        seq: i64,
        record: &SessionRecord,
    ) -> Result<String, Later> {
        let waiting = self.end_for_good(record, seq).await.map_err(|error| Later::because(key, &error))?;
        Ok(words::ended(waiting))
    }

    /// Stops the running turn, if there is one and `by` may. Whoever may prompt here may stop.
    fn stop_turn(&self, key: &ConversationKey, _by: &Admitted) -> bool {
        let running = self.slots().get(key).and_then(|slot| slot.turn.clone());
        running.is_some_and(|running| running.stop(StopReason::Stop))
    }

    fn click(self: &Arc<Self>, key: &ConversationKey, click: &Click, admitted: Result<Admitted, Denied>) {
        let by = match admitted {
            Ok(by) => by,
            Err(denied) => {
                metrics::counter!("hitchline_authz_denied_total").increment(1);
                tracing::info!(conversation = %key, reason = ?denied, "A press by somebody who may not was refused");
                return self.respond(click.reply.clone(), "You may not decide this.");
            }
        };
        let Button::Approval { id, option } = click.button else {
            return self.respond(click.reply.clone(), words::STALE_BUTTON);
        };
        let running = self.slots().get(key).and_then(|slot| slot.turn.clone());
        let press = Press { id, option, by, reply: click.reply.clone() };
        match running.map(|running| running.presses.try_send(press)) {
            Some(Ok(())) => {}
            Some(Err(_settled_or_full)) => self.respond(click.reply.clone(), words::STALE_BUTTON),
            None => {
                self.respond(click.reply.clone(), words::STALE_BUTTON);
                self.close_card(key, &click.message);
            }
        }
    }

    /// Takes the buttons off a question whose turn is over: a crash may have left them there.
    fn close_card(self: &Arc<Self>, key: &ConversationKey, card: &Ts) {
        let (slack, channel, card) = (self.parts.slack.clone(), key.channel.clone(), card.clone());
        let closed = Body::Text(words::CLOSED_CARD.to_owned());
        self.aside(async move { slack.update(&channel, &card, &closed).await });
    }

    /// Answers a slash command, for its author alone; `new` opens a thread.
    pub(super) async fn slash(
        self: &Arc<Self>,
        key: &ConversationKey,
        seq: i64,
        inbound: &Inbound,
        slash: &Slash,
    ) -> Result<Delivered, Later> {
        let answer = match (self.admit(inbound), command::read(&slash.text, Entry::Slash)) {
            (Err(denied), _) => words::denied(denied, &inbound.author.user),
            (Ok(_), Reading::Command(Command::New(args))) => match self.open_thread(inbound, &args).await? {
                Ok(ts) => return self.begin_in_thread(seq, inbound, slash, ts).await,
                Err(why_not) => why_not,
            },
            (_, Reading::Command(Command::Help)) => words::help(false, &self.parts.policy.command),
            (_, Reading::Misused(misuse)) => words::misused_slash(&misuse, &self.parts.policy.command),
            (_, Reading::Command(_) | Reading::Prompt(_)) => words::THREADS_ONLY.to_owned(),
        };
        self.respond(Some(slash.reply.clone()), &answer);
        self.done(key, seq).await
    }

    /// Posts the root of a thread into the channel of a slash command. Or says why that can't be.
    async fn open_thread(&self, inbound: &Inbound, args: &NewArgs) -> Result<Result<Ts, String>, Later> {
        if let Err(refused) = self.parts.policy.start(&inbound.channel, args.agent.as_deref(), args.dir.as_deref()) {
            return Ok(Err(words::not_started(&refused)));
        }
        let place = Place { channel: inbound.channel.clone(), thread: None };
        let root = Body::Text(self.thread_root(&inbound.author.user, &args.text));
        for _ in 0..THREAD_ATTEMPTS {
            let error = match self.parts.slack.post(&place, &root, OwedId::new()).await {
                Ok(ts) => return Ok(Ok(ts)),
                Err(error) => error,
            };
            tracing::warn!(channel.id = %inbound.channel, %error, "A thread for a new session could not be opened");
            if error.kind == WriteErrorKind::Permanent {
                return Ok(Err(words::no_thread(&error.code)));
            }
            self.pause(THREAD_RETRY).await;
            // It stays in the store, for the next start.
            if self.parts.scope.finish().is_cancelled() {
                return Err(Later);
            }
        }
        Ok(Err(words::NO_THREAD_NOW.to_owned()))
    }

    /// Lets a slash command's `new` stand in its thread like a message of its author.
    async fn begin_in_thread(
        self: &Arc<Self>,
        seq: i64,
        inbound: &Inbound,
        slash: &Slash,
        ts: Ts,
    ) -> Result<Delivered, Later> {
        // With the mark that makes it a command wherever it stands.
        let text = format!("!{}", slash.text.trim_start().trim_start_matches('!'));
        let message = Message { ts: ts.clone(), thread: Some(ts), text, mention: true, files: 0 };
        let asked = Inbound { what: What::Message(message), ..inbound.clone() };
        let key = asked.queue();
        self.parts.store.replace(seq, asked).await.map_err(|error| Later::because(&key, &error))?;
        self.stored_in(&key, Line::Turn, seq);
        Ok(None)
    }

    /// What a thread begins with that a slash command opened.
    fn thread_root(&self, author: &UserId, text: &str) -> String {
        let said = self.parts.render.parts(Markup::Slack, text).into_iter().next();
        said.map_or_else(|| format!("A new session for <@{author}>"), |said| format!("<@{author}>: {said}"))
    }

    /// Answers one person alone, at most once; nothing waits for it.
    pub(super) fn respond(self: &Arc<Self>, to: Option<ReplyUrl>, markdown: &str) {
        let Some(to) = to else { return };
        let (slack, body) = (self.parts.slack.clone(), self.first_part(to.markup(), markdown));
        self.aside(async move { slack.respond(&to, &body).await });
    }

    /// What fits into one private message; we never say more there.
    pub(super) fn first_part(&self, markup: Markup, markdown: &str) -> Body {
        Body::Text(self.parts.render.parts(markup, markdown).into_iter().next().unwrap_or_default())
    }

    /// Makes a call to Slack that nothing waits for, at most once; it is left out when too many are on their way.
    fn aside(self: &Arc<Self>, call: impl Future<Output = Result<(), WriteError>> + Send + 'static) {
        let Ok(place) = self.asides.clone().try_acquire_owned() else {
            return tracing::warn!("Too many private answers are on their way; one is left out");
        };
        self.parts.scope.spawn("private answer", OnCrash::Log, async move {
            if let Err(error) = call.await {
                tracing::warn!(%error, "A private answer did not arrive");
            }
            drop(place);
        });
    }
}
