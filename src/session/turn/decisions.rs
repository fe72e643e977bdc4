//! What a turn has people decide.

use futures_util::FutureExt;

use crate::backend::Answered;
use crate::domain::agent::{Decision, PermissionRequest};
use crate::domain::ids::{ApprovalId, OwedId, RequestId};
use crate::domain::outgoing::{ApprovalCard, Body, Op, Owed, Place};
use crate::domain::ports::WriteError;
use crate::outbox::Fate;

use super::{CALL, Live, Press};
use crate::session::approvals::{NotPressed, Settled};
use crate::session::manager::Parts;
use crate::session::words;

/// How many decisions of one turn may wait for people; a further one is answered with no at once.
const MOST_OPEN: usize = 32;

impl Live<'_> {
    /// Posts a request for a decision, below everything that was said so far.
    pub(super) async fn ask(&mut self, request: PermissionRequest) {
        if self.cancelling.is_some() {
            return self.decide(&request.id, Decision::Cancelled).await;
        }
        if self.approvals.len() >= MOST_OPEN {
            tracing::warn!(conversation = %self.turn.key, "An agent asks for too many decisions at once; a further one is answered with no");
            return self.decide(&request.id, request.rejection()).await;
        }
        let timeout = self.turn.inner.parts.policy.approval_timeout;
        let (render, markup) = (&self.turn.inner.parts.render, self.turn.key.markup());
        let shows_whole = |card: &ApprovalCard| render.shows_whole(markup, card);
        let (row, card) = self.approvals.open(request, self.turn.prompt.requester(), self.now(), timeout, shows_whole);
        tracing::info!(conversation = %self.turn.key, approval.id = %card.id, "An agent asks for a decision");
        let (id, said) = (card.id, self.reply.checkpoint().await);
        self.unwritten.extend(self.rows(said));
        let question = self.row(row, Op::Post(Body::Approval(card)));
        // All or nothing: a question never stands above the words that it is about.
        let owed = self.unwritten.iter().chain([&question]).cloned().collect();
        let Parts { store, clock, outbox, .. } = &self.turn.inner.parts;
        match store.owe(owed, None, clock.wall_ms()).await {
            Ok(()) => {
                drop(outbox.send(std::mem::take(&mut self.unwritten)));
                self.cards.push(outbox.send(vec![question]).map(move |fate| (id, fate)).boxed());
            }
            Err(error) => {
                tracing::error!(conversation = %self.turn.key, approval.id = %id, %error, "A question could not be written down");
                self.on_card(id, Fate::Dead).await;
            }
        }
    }

    /// A question has reached Slack, or never will: then nobody can say yes to it. What its card can't show follows as a file.
    pub(super) async fn on_card(&mut self, id: ApprovalId, fate: Fate) {
        if fate == Fate::Dead {
            if let Some(unseen) = self.approvals.reject(id) {
                self.settle_unseen(unseen).await;
            }
        } else if let Some(file) = self.approvals.attachment(id) {
            let (inner, to) = (self.turn.inner.clone(), Place::from(&self.turn.key));
            let key = self.turn.key.clone();
            // A card that has not arrived yet comes first.
            let attaching = async move {
                inner.parts.outbox.settled(&key).await;
                inner.show_file(&to, file).await
            };
            self.attaching.push(attaching.boxed());
        }
    }

    /// Answers a question that Slack did not take.
    async fn settle_unseen(&mut self, unseen: Settled) {
        let Settled { request, decision, card, .. } = unseen;
        tracing::warn!(conversation = %self.turn.key, approval.id = %card.id, "A question that Slack did not take is answered with no");
        let note = if card.is_question() { words::QUESTION_NOT_ASKED } else { words::NOT_ASKED };
        self.reply.push(Some("note"), note);
        let Parts { store, clock, .. } = &self.turn.inner.parts;
        let (key, turn) = (self.turn.key.clone(), self.turn.prompt.turn());
        if let Err(error) = store.note_unseen(key, turn, card, clock.wall_ms()).await {
            tracing::error!(conversation = %self.turn.key, %error, "How a question was settled could not be written into the audit");
        }
        self.decide(&request, decision).await;
        self.last_heard = self.now();
    }

    /// The file with a whole command is there, or is not: then that is said at once, while people decide.
    pub(super) async fn on_attached(&mut self, attached: Result<(), WriteError>) {
        if let Err(error) = attached {
            tracing::warn!(conversation = %self.turn.key, %error, "A command that is too long for its card could not be attached");
            self.reply.push(Some("note"), &words::not_attached(&error));
            let said = self.reply.checkpoint().await;
            self.show(self.rows(said)).await;
        }
    }

    /// Commits what is to be shown besides the turn's end. What the store does not take goes with what is committed next.
    pub(super) async fn show(&mut self, owed: Vec<Owed>) {
        self.unwritten.extend(owed);
        if self.unwritten.is_empty() {
            return;
        }
        match self.turn.inner.owe(self.unwritten.clone()).await {
            Ok(sent) => {
                drop(sent);
                self.unwritten.clear();
            }
            Err(error) => {
                tracing::error!(conversation = %self.turn.key, %error, "A part of a turn could not be written down and comes later");
            }
        }
    }

    /// Tells the agent and the people how an approval was settled.
    pub(super) async fn settle(&mut self, settled: Settled) {
        let Settled { request, decision, row, card } = settled;
        tracing::info!(conversation = %self.turn.key, approval.id = %card.id, state = ?card.state, "An approval is settled");
        let revision = Op::Revise { of: row, body: Body::Approval(card) };
        // First, for the audit's entry is written with it.
        self.show(vec![self.row(OwedId::new(), revision)]).await;
        self.decide(&request, decision).await;
        self.last_heard = self.now();
    }

    /// Somebody pressed an option.
    pub(super) async fn press(&mut self, press: Press) {
        match self.approvals.press(press.id, press.option, &press.by) {
            Ok(settled) => self.settle(settled).await,
            Err(NotPressed::Stale) => self.turn.inner.respond(press.reply, words::STALE_BUTTON),
            Err(NotPressed::NotYours) => self.turn.inner.respond(press.reply, words::NOT_YOURS),
        }
    }

    /// Tells the agent what was decided.
    async fn decide(&mut self, request: &RequestId, decision: Decision) {
        let Some(decision) = self.questions.answer(request, decision) else { return };
        match self.turn.inner.parts.clock.timeout(CALL, self.session.answer(request, decision)).await {
            Ok(Answered::Applied) => {}
            Ok(Answered::NotWaiting) => {
                tracing::debug!(conversation = %self.turn.key, "The agent no longer waited for this decision");
            }
            Err(_late) => tracing::warn!(conversation = %self.turn.key, "The agent did not take a decision in time"),
        }
    }
}
