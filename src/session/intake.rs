//! What an inbound means, decided in memory before it is stored, and what becomes of it once that is known.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::access::{Admitted, Denied};
use crate::domain::command::{self, Command, Entry, Reading};
use crate::domain::conversation::{ConversationKey, Markup};
use crate::domain::ids::Ts;
use crate::domain::inbound::{Inbound, Message, What};
use crate::domain::outgoing::{Body, List, ListRow, Place};
use crate::domain::ports::{Claim, Intake, Intent, Keep, Line, Settled};
use crate::scope::OnCrash;

use super::commands::stop_button;
use super::config::WhenBusy;
use super::conversation::Work;
use super::manager::{Inner, Manager};
use super::rules::{self, Decision};
use super::slots::{Mapping, Reserved, Slot, Slots};
use super::turn::StopReason;
use super::words;

/// How soon somebody is told once more that too many messages wait in a thread.
const REFUSED_AGAIN: Duration = Duration::from_secs(10);
/// How many strangers are remembered as told; beyond that they may be told once more.
const TOLD: usize = 1_000;

impl Intake for Manager {
    fn claim(&self, inbound: &Inbound) -> Claim {
        match &inbound.what {
            What::Message(message) => self.0.claim_message(inbound, message),
            What::Edited(_) | What::Deleted { .. } => self.0.claim_change(inbound),
            // Who may do it is decided when it is handled: the answer is for them alone.
            What::Click(click) if click.button.waits() => Claim::Keep(Keep { line: Line::Command, ..Keep::default() }),
            What::Click(_) | What::Stop { .. } => Claim::Keep(Keep { line: Line::AtOnce, ..Keep::default() }),
            What::Slash(_) => Claim::Keep(Keep { line: Line::Command, ..Keep::default() }),
        }
    }

    fn settle(&self, inbound: Inbound, keep: Keep, outcome: Settled) {
        self.0.settle(inbound, keep, outcome);
    }
}

impl Inner {
    fn claim_message(self: &Arc<Self>, inbound: &Inbound, message: &Message) -> Claim {
        let Some(thread) = inbound.conversation() else { return Claim::Drop("no_conversation") };
        // What stands in a thread belongs to that thread alone.
        let whole = message.thread.is_none().then(|| self.whole_channel(&thread)).flatten();
        let key = whole.clone().unwrap_or(thread);
        let policy = &self.parts.policy;
        let addressed = rules::is_addressed(message, inbound.channel_kind, policy);
        let mut slots = self.slots();
        // A message that opens a thread can't have a mapping yet.
        let known = slots.get(&key).and_then(Slot::is_mapped);
        let opens_thread = message.thread.is_none() && whole.is_none();
        let mapped = known.or_else(|| opens_thread.then_some(false));
        if mapped != Some(true) && self.stops_whole_channel(&slots, &key, message) && self.admit(inbound).is_ok() {
            return Claim::Keep(Keep { line: Line::AtOnce, ..Keep::default() });
        }
        if mapped == Some(false) && !addressed {
            return Claim::Drop("not_addressed");
        }
        let admitted = match self.admit(inbound) {
            Ok(admitted) => admitted,
            Err(denied) => {
                drop(slots);
                if addressed {
                    self.tell_stranger(inbound, denied);
                }
                return Claim::Drop("denied");
            }
        };
        let Some(mapped) = mapped else {
            return Claim::Keep(Keep { only_if_followed: !addressed, conversation: whole, ..Keep::default() });
        };
        let decision = rules::decide(message, inbound.channel_kind, mapped, policy);
        let line = decision.line(mapped);
        let intent = match decision {
            Decision::Ignore(reason) => return Claim::Drop(reason),
            Decision::Prompt(text) => self.reserve(&mut slots, &key, admitted, text),
            Decision::Run(_) | Decision::Misused(_) => None,
        };
        Claim::Keep(Keep { line, intent, conversation: whole, ..Keep::default() })
    }

    /// Whether a message in a thread is a stop of the turn that runs for its whole channel: that is answered in threads.
    fn stops_whole_channel(&self, slots: &Slots, thread: &ConversationKey, message: &Message) -> bool {
        let whole = message.thread.is_some().then(|| self.whole_channel(thread)).flatten();
        let runs = whole.is_some_and(|whole| slots.get(&whole).is_some_and(|slot| slot.turn.is_some()));
        // Read last: nearly every message is in a channel where nothing of this kind runs.
        let reading = || command::read(&message.text, Entry::InSession);
        runs && matches!(reading(), Reading::Command(Command::Stop { .. }))
    }

    /// An edit, or a deletion, counts for what still waits; of what runs, its author is told that it comes too late.
    fn claim_change(self: &Arc<Self>, inbound: &Inbound) -> Claim {
        let Some(key) = inbound.conversation() else { return Claim::Drop("no_conversation") };
        let Ok(_) = self.admit(inbound) else { return Claim::Drop("denied") };
        if self.tell_too_late(&key, inbound) {
            return Claim::Drop("too_late");
        }
        let waits = self.lines_of(&key).any(|key| self.may_wait(&key));
        if waits { Claim::Keep(Keep::default()) } else { Claim::Drop("edit") }
    }

    /// Tells an author that the agent works on the message as it was. Returns whether it does.
    fn tell_too_late(self: &Arc<Self>, key: &ConversationKey, inbound: &Inbound) -> bool {
        let (What::Edited(Message { ts, .. }) | What::Deleted { ts, .. }) = &inbound.what else { return false };
        let running = {
            let slots = self.slots();
            self.lines_of(key).find_map(|key| slots.turn_for(&key, ts))
        };
        let Some(turn) = running else { return false };
        let render = |markdown: &str| self.parts.render.parts(key.markup(), markdown).concat();
        let body = match &inbound.what {
            What::Deleted { .. } => {
                let row = ListRow { text: render(words::DELETED_TOO_LATE), button: Some(stop_button(turn)) };
                Body::List(List { text: String::new(), rows: vec![row] })
            }
            _ => Body::Text(render(words::EDITED_TOO_LATE)),
        };
        let (slack, place, user) = (self.parts.slack.clone(), Place::from(key), inbound.author.user.clone());
        self.aside(async move { slack.whisper(&place, &user, &body).await });
        true
    }

    /// Reserves an idle conversation for a turn that starts with the event's own commit.
    fn reserve(&self, slots: &mut Slots, key: &ConversationKey, admitted: Admitted, text: String) -> Option<Intent> {
        if slots.draining || self.holds.holds(Line::Turn) || slots.get(key).is_some_and(|slot| !slot.is_free()) {
            return None;
        }
        let place = self.queue(Line::Turn).place()?;
        let mapped = slots.get(key).and_then(|slot| slot.active()).map(|active| active.record.id);
        let intent = if let Some(session) = mapped {
            Intent { reached: slots.runs(key, session), ..Intent::follow(session) }
        } else {
            let start = self.parts.policy.start(&key.channel, None, None).ok()?;
            self.begin(self.new_record(key, &start, admitted.user(), &text))
        };
        slots.entry(key).claim(Reserved { admitted, text, place });
        Some(intent)
    }

    fn settle(self: &Arc<Self>, inbound: Inbound, keep: Keep, outcome: Settled) {
        let key = keep.queue(&inbound);
        match outcome {
            // It waits, and giving its claim back looks at the line.
            Settled::Stored { begun: false, .. } if keep.intent.is_some() => {}
            Settled::Stored { seq, .. } => return self.stored(key, seq, inbound, keep),
            Settled::Applied => self.changed(&key, &inbound),
            Settled::Refused { .. } => self.refuse(&inbound),
            Settled::Duplicate | Settled::NotFollowed | Settled::Failed => {}
        }
        if keep.intent.is_some() {
            self.release_claim(&key);
        }
    }

    fn stored(self: &Arc<Self>, key: ConversationKey, seq: i64, inbound: Inbound, keep: Keep) {
        match (keep.intent, keep.line) {
            (Some(intent), _) => self.start_claimed(key, seq, inbound, intent),
            (None, Line::AtOnce) => self.act(seq, inbound),
            (None, Line::Turn) => self.wait_for_turn(&key, seq, &inbound),
            (None, Line::Command) => self.stored_in(&key, Line::Command, seq),
        }
    }

    /// Lets a message wait for the turn that runs, or stops that in its favour.
    fn wait_for_turn(self: &Arc<Self>, key: &ConversationKey, seq: i64, inbound: &Inbound) {
        let interrupts = self.parts.policy.when_busy == WhenBusy::Interrupt;
        if interrupts {
            self.supersede(key);
        }
        let What::Message(message) = &inbound.what else { return self.stored_in(key, Line::Turn, seq) };
        if !interrupts {
            self.tell_overtaken(key, &message.ts, inbound);
        }
        let waits = self.stored_message(key, Line::Turn, seq, (!interrupts).then_some(&message.ts));
        if let Some(waits) = waits {
            self.mark_waiting(key, &message.ts, waits);
        }
    }

    /// Tells an author that what was said later is answered first: a turn that runs can't be undone.
    fn tell_overtaken(self: &Arc<Self>, key: &ConversationKey, said: &Ts, inbound: &Inbound) {
        if !self.slots().is_overtaken(key, said) {
            return;
        }
        tracing::info!(conversation = %key, message.ts = %said, "A message came after a later one whose turn runs");
        let (inner, key, user) = (self.clone(), key.clone(), inbound.author.user.clone());
        self.aside(async move {
            let body = inner.first_part(key.markup(), words::OVERTAKEN);
            inner.parts.slack.whisper(&Place::from(&key), &user, &body).await
        });
    }

    /// A message that waits was changed or taken back.
    fn changed(&self, key: &ConversationKey, inbound: &Inbound) {
        if let What::Deleted { ts, .. } = &inbound.what {
            tracing::info!(conversation = %key, message.ts = %ts, "A waiting message was taken back by its author");
            self.lines_of(key).for_each(|key| self.slots().unmark(&key, ts));
        }
    }

    /// In whose lines a message of this thread may wait: the thread's own, or the channel's.
    fn lines_of(&self, key: &ConversationKey) -> impl Iterator<Item = ConversationKey> + use<> {
        std::iter::once(key.clone()).chain(self.whole_channel(key))
    }

    /// Stops the running turn in favour of a message that was just stored.
    fn supersede(&self, key: &ConversationKey) {
        let running = self.slots().get(key).and_then(|slot| slot.turn.clone());
        if running.is_some_and(|running| running.stop(StopReason::Supersede)) {
            tracing::info!(conversation = %key, "A turn is stopped for a newer message");
        }
    }

    /// Acts on the running turn, in a task of its own.
    fn act(self: &Arc<Self>, seq: i64, inbound: Inbound) {
        let inner = self.clone();
        self.parts.scope.spawn("act", OnCrash::Log, async move { inner.act_at_once(seq, inbound).await });
    }

    fn start_claimed(self: &Arc<Self>, key: ConversationKey, seq: i64, inbound: Inbound, intent: Intent) {
        let What::Message(message) = inbound.what else { return };
        let reserved = {
            let mut slots = self.slots();
            let slot = slots.entry(&key);
            let Some(reserved) = slot.take_claim() else { return };
            if let Some(record) = &intent.new_session {
                slot.mapping = Mapping::asleep((**record).clone());
            }
            reserved
        };
        let Reserved { admitted, text, place } = reserved;
        let message = Message { text, ..message };
        let work = Work {
            seq,
            message,
            kind: inbound.channel_kind,
            admitted,
            intent: Some(intent),
            attempts: 0,
            resumes: false,
        };
        self.run_line(key, Line::Turn, place, Some(work));
    }

    /// Gives back what a claim reserved that came to nothing; what was stored meanwhile has its turn.
    fn release_claim(self: &Arc<Self>, key: &ConversationKey) {
        let reserved = self.slots().get_mut(key).and_then(Slot::take_claim);
        if let Some(Reserved { place, .. }) = reserved {
            self.run_line(key.clone(), Line::Turn, place, None);
        }
    }

    fn refuse(self: &Arc<Self>, inbound: &Inbound) {
        metrics::counter!("hitchline_messages_refused_total").increment(1);
        if let What::Slash(slash) = &inbound.what {
            return self.respond(Some(slash.reply.clone()), words::QUEUE_FULL);
        }
        let Some(key) = inbound.conversation() else { return };
        let (inner, user) = (self.clone(), inbound.author.user.clone());
        if !self.refusals.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert((key.clone(), user.clone()))
        {
            return;
        }
        // One at a time and for the sender alone: neither a durable row nor a task for each refusal, or a flood would never end.
        self.parts.scope.spawn("refusal", OnCrash::Log, async move {
            let body = inner.first_part(key.markup(), words::QUEUE_FULL);
            if let Err(error) = inner.parts.slack.whisper(&Place::from(&key), &user, &body).await {
                tracing::warn!(conversation = %key, %error, "A sender could not be told that the queue is full");
            }
            let pause = inner.parts.clock.sleep(REFUSED_AGAIN);
            let _or_stopping = inner.parts.scope.finish().run_until_cancelled(pause).await;
            inner.refusals.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&(key, user));
        });
    }

    /// Tells somebody who may not prompt why, once in the life of this process.
    fn tell_stranger(self: &Arc<Self>, inbound: &Inbound, denied: Denied) {
        metrics::counter!("hitchline_authz_denied_total").increment(1);
        let user = inbound.author.user.clone();
        let (true, Some(key)) = (inbound.author.bot.is_none(), inbound.conversation()) else { return };
        {
            let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if told.len() >= TOLD {
                told.clear();
            }
            if !told.insert(user.clone()) {
                return;
            }
        }
        tracing::info!(user.id = %user, channel.id = %key.channel, reason = ?denied, "Somebody who may not prompt was told so");
        let inner = self.clone();
        self.parts.scope.spawn("stranger", OnCrash::Log, async move {
            // Not in the thread: an ephemeral message shows there only once the thread has replies.
            let place = Place { channel: key.channel, thread: None };
            let body = inner.first_part(Markup::Slack, &words::denied(denied, &user));
            if let Err(error) = inner.parts.slack.whisper(&place, &user, &body).await {
                tracing::warn!(user.id = %user, %error, "Somebody who may not prompt could not be told so");
            }
        });
    }
}
