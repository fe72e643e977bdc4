//! What is handled as soon as it is stored: commands, clicks and Slack's own Stop.

use std::sync::Arc;

use crate::domain::access::{Admitted, Denied};
use crate::domain::command::{self, Command, Entry, NewArgs, Reading};
use crate::domain::conversation::ConversationKey;
use crate::domain::inbound::{Button, Click, Inbound, ReplyUrl, Slash, What};
use crate::domain::session::SessionRecord;
use crate::scope::OnCrash;

use super::manager::Inner;
use super::policy::Start;
use super::rules::{self, Decision};
use super::slots::{Active, Mapping, Running};
use super::turn::{Control, Press};
use super::words;

impl Inner {
    /// Handles what does not wait behind a running turn.
    pub(super) async fn handle_at_once(self: Arc<Self>, seq: i64, inbound: Inbound) {
        let admitted = self.admit(&inbound);
        match (&inbound.what, inbound.conversation()) {
            (What::Message(message), Some(key)) => {
                let Some(active) = self.mapping(&key).await else { return };
                let decision = rules::decide(message, inbound.channel_kind, active.is_some(), &self.parts.policy);
                match (decision, admitted) {
                    (Decision::Run(command), Ok(admitted)) => self.run_command(&key, seq, command, &admitted).await,
                    (Decision::Misused(misuse), Ok(_)) => self.answer(&key, seq, &words::misused(&misuse)).await,
                    // What it means has changed since it was claimed, for instance because the session was ended meanwhile.
                    (Decision::Prompt(_), Ok(admitted)) => {
                        self.enqueue_when_there_is_room(seq, inbound, admitted).await;
                    }
                    (Decision::Ignore(_), _) | (_, Err(_)) => self.done(seq).await,
                }
                self.slots().forget_if_empty(&key);
            }
            (What::Click(click), Some(key)) => {
                self.click(&key, click, admitted);
                self.done(seq).await;
            }
            (What::Stop { .. }, Some(key)) => {
                if admitted.is_ok_and(|admitted| self.stop_turn(&key, &admitted)) {
                    tracing::info!(conversation = %key, "A turn was stopped with Slack's own button");
                }
                self.done(seq).await;
            }
            (What::Slash(slash), _) => {
                self.slash(slash, &inbound, admitted);
                self.done(seq).await;
            }
            (_, None) => self.done(seq).await,
        }
    }

    /// Runs a command of a conversation and answers in it.
    pub(super) async fn run_command(
        self: &Arc<Self>,
        key: &ConversationKey,
        seq: i64,
        command: Command,
        by: &Admitted,
    ) {
        let answer = match command {
            Command::New(args) if !args.text.is_empty() => return self.new_with_prompt(key, seq, args, by).await,
            Command::Help => words::help(self.session_id(key).await.is_some(), &self.parts.policy.command),
            Command::Status => self.status(key).await,
            Command::New(args) => match self.new_session(key, &args, by).await {
                Ok(record) => words::created(&record.id.short(), &record.backend),
                Err(why_not) => why_not,
            },
            Command::Stop if self.stop_turn(key, by) => return self.done(seq).await,
            Command::Stop => words::NOTHING_RUNS.to_owned(),
            Command::End => self.end_session(key, seq).await,
        };
        self.answer(key, seq, &answer).await;
    }

    async fn status(&self, key: &ConversationKey) -> String {
        let Some(Some(Active { record, .. })) = self.mapping(key).await else { return words::NO_SESSION.to_owned() };
        let slots = self.slots();
        let slot = slots.get(key);
        let waiting = slot.map_or(0, |slot| slot.queue.len());
        let doing = if slot.is_some_and(|slot| slot.turn.is_some()) { "working" } else { "idle" };
        format!(
            "Session `{}` with `{}` in `{}`: {doing}, {waiting} message(s) waiting.",
            record.id.short(),
            record.backend,
            record.working_dir.display()
        )
    }

    /// Starts a session as asked, with its first prompt: they are committed together, when it is the prompt's turn.
    async fn new_with_prompt(self: &Arc<Self>, key: &ConversationKey, seq: i64, args: NewArgs, by: &Admitted) {
        match self.may_start(key, &args).await {
            Ok(start) => self.enqueue_first(key, seq, args.text, by, start).await,
            Err(why_not) => self.answer(key, seq, &why_not).await,
        }
    }

    /// Writes a new mapping, or says why not.
    async fn new_session(&self, key: &ConversationKey, args: &NewArgs, by: &Admitted) -> Result<SessionRecord, String> {
        let start = self.may_start(key, args).await?;
        let record = self.new_record(key, &start, by.user(), &args.text);
        let created = self.parts.store.create_session(record.clone()).await;
        created.map_err(|error| format!("The session could not be written down, so it was not started: {error}."))?;
        self.slots().entry(key).mapping = Mapping::Active(Box::new(Active { record: record.clone(), live: None }));
        Ok(record)
    }

    /// Where a new session would start, or why it can't.
    async fn may_start(&self, key: &ConversationKey, args: &NewArgs) -> Result<Start, String> {
        if self.session_id(key).await.is_some() {
            return Err(words::SESSION_EXISTS.to_owned());
        }
        let start = self.parts.policy.start(&key.channel, args.agent.as_deref(), args.dir.as_deref());
        start.map_err(|refused| format!("I did not start a session: {refused}."))
    }

    /// Ends a session for good: the tombstone is written before the backend is told. What was waiting for it when the end was said,
    /// the event `seq`, ends with it.
    async fn end_session(self: &Arc<Self>, key: &ConversationKey, seq: i64) -> String {
        let Some(Some(Active { record, live })) = self.mapping(key).await else { return words::NO_SESSION.to_owned() };
        if let Err(error) = self.parts.store.end_session(record.id).await {
            return format!("The end could not be written down, so the session goes on: {error}.");
        }
        tracing::info!(conversation = %key, session.id = %record.id, "A session was ended by a person");
        let (running, waiting) = {
            let mut slots = self.slots();
            let slot = slots.entry(key);
            slot.mapping = Mapping::None;
            (slot.turn.clone(), slot.take_waiting(seq))
        };
        if let Some(running) = running {
            let _stopping = running.controls.try_send(Control::End);
        }
        if let Some(session) = live {
            self.end_live(key.clone(), session);
        }
        for work in &waiting {
            self.done(work.seq).await;
        }
        words::ended(waiting.len())
    }

    /// Stops the running turn, if there is one and `by` may. Whoever may prompt here may stop.
    fn stop_turn(&self, key: &ConversationKey, _by: &Admitted) -> bool {
        let running = self.slots().get(key).and_then(|slot| slot.turn.clone());
        running.is_some_and(|running| running.controls.try_send(Control::Stop).is_ok())
    }

    fn click(self: &Arc<Self>, key: &ConversationKey, click: &Click, admitted: Result<Admitted, Denied>) {
        let by = match admitted {
            Ok(by) => by,
            Err(denied) => {
                metrics::counter!("hitchline_authz_denied_total").increment(1);
                tracing::info!(conversation = %key, reason = ?denied, "A press by somebody who may not was refused");
                return self.respond(click.reply.clone(), "You may not decide this.".to_owned());
            }
        };
        let running = self.slots().get(key).and_then(|slot| slot.turn.clone());
        let control = match (&click.button, &running) {
            (Button::Approval { id, option }, _) => {
                Control::Press(Press { id: *id, option: *option, by, reply: click.reply.clone() })
            }
            (Button::Stop { turn }, Some(Running { turn: now, .. })) if turn == now => Control::Stop,
            (Button::Stop { .. }, _) => return self.respond(click.reply.clone(), words::STALE_BUTTON.to_owned()),
        };
        let taken = running.is_some_and(|running| running.controls.try_send(control).is_ok());
        if !taken {
            self.respond(click.reply.clone(), words::STALE_BUTTON.to_owned());
        }
    }

    fn slash(self: &Arc<Self>, slash: &Slash, inbound: &Inbound, admitted: Result<Admitted, Denied>) {
        let answer = match (admitted, command::read(&slash.text, Entry::Slash)) {
            (Err(denied), _) => words::denied(denied, &inbound.author.user),
            (_, Reading::Command(Command::Help)) => words::help(false, &self.parts.policy.command),
            (_, Reading::Misused(misuse)) => words::misused(&misuse),
            (_, Reading::Command(_) | Reading::Prompt(_)) => words::THREADS_ONLY.to_owned(),
        };
        self.respond(Some(slash.reply.clone()), answer);
    }

    /// Answers one person alone, at most once; nothing waits for it.
    pub(super) fn respond(self: &Arc<Self>, to: Option<ReplyUrl>, markdown: String) {
        let Some(to) = to else { return };
        let inner = self.clone();
        self.parts.scope.spawn("private answer", OnCrash::Log, async move {
            if let Err(error) = inner.parts.slack.respond(&to, &markdown).await {
                tracing::warn!(%error, "A private answer did not arrive");
            }
        });
    }
}
