//! One row: attempt, wait, attempt again, until it is settled.
//!
//! What can be repeated without harm is repeated. A post can't: when its answer was lost, or when an earlier process may have made it,
//! its key is looked for in the conversation first. Between two attempts the row itself is in the store alone; what is known of its
//! attempts stays here, and as far as the next process must know it, in the store.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::attempt::Attempt;
use super::gate::Pass;
use super::lanes::Rest;
use super::patience::{FAILING, Patience, not_before};
use super::read_back::Hand;
use super::settling::{Dead, Outcome};
use super::verdict::{Verdict, verdict};
use super::{Inner, Stopping, plain};
use crate::backoff::Backoff;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{OwedId, Ts};
use crate::domain::outgoing::{Body, Op};
use crate::domain::ports::{WriteError, WriteErrorKind};
use crate::scope::panic_text;

/// The delays between attempts on one row.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How many crashes of its delivery a row is given before it counts as one that can never be delivered.
const CRASHES: u32 = 3;

/// How often a post that may have arrived is repeated without a look for it; each time may make a duplicate.
const REPEATS: u32 = 2;

/// The pause between two looks for a message that may have been posted: the first, and the longest. It grows with each post that was
/// not answered, so that a Slack which lists its messages late and answers nothing is not flooded.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(3), Duration::from_mins(1));

/// Whether a row's post may be in Slack already.
pub(super) enum Doubt {
    /// It is not.
    None,
    /// An earlier process may have posted it.
    Inherited,
    /// It may be there: it was looked for so often, and not found.
    Looked(u32),
}

/// What is next for a row.
enum Next {
    Settled(Result<Option<Ts>, String>),
    AtOnce,
    Again(Duration),
}

/// One row on its way to Slack.
pub(super) struct Courier<'a> {
    pub(super) inner: &'a Inner,
    pub(super) conversation: &'a ConversationKey,
    id: OwedId,
    backoff: Backoff,
    /// An earlier process wants it to wait until then.
    not_before: Option<Instant>,
    patience: Patience,
    crashes: u32,
    /// How many posts were not answered.
    lost: u32,
    /// Whether an earlier process may have posted it, or parts of it.
    inherited: bool,
    pub(super) doubt: Doubt,
    /// The parts that are left of it, where it is posted as plain text.
    pub(super) plain: Option<VecDeque<Body>>,
    /// How many of these have been posted.
    posted: usize,
    /// Whether it is refused because nothing can be said there any more.
    closed: bool,
}

impl<'a> Courier<'a> {
    pub(super) fn new(inner: &'a Inner, conversation: &'a ConversationKey, hand: &Hand<'_>) -> Self {
        // On the page a repeated post adds nothing.
        let inherited = hand.trouble.doubtful && !conversation.is_web();
        Self {
            inner,
            conversation,
            id: hand.owed.id,
            backoff: Backoff::new(RETRY.0, RETRY.1),
            not_before: not_before(&hand.trouble, &inner.clock),
            patience: Patience::after(&hand.trouble, &inner.clock),
            crashes: 0,
            lost: 0,
            inherited,
            doubt: if inherited { Doubt::Inherited } else { Doubt::None },
            plain: None,
            posted: 0,
            closed: false,
        }
    }

    /// Delivers the row that is in hand, however long it takes. Its lane spills when an attempt fails.
    pub(super) async fn deliver(mut self, hand: Hand<'a>) -> Result<Outcome, Stopping> {
        let (inner, conversation) = (self.inner, self.conversation);
        let mut hand = Some(hand);
        if let Some(then) = self.not_before {
            hand = None;
            inner.rest(conversation, Rest::Until(then), inner.clock.sleep_until(then)).await?;
        }
        loop {
            if inner.scope.stop().is_cancelled() {
                return Err(Stopping);
            }
            let apart = conversation.is_web().then_some(Pass::Apart);
            let pass = if let Some(pass) = apart.or_else(|| inner.gate.try_pass()) {
                pass
            } else {
                hand = hand.filter(Hand::is_of_lane);
                inner.rest(conversation, Rest::Token, inner.gate.pass(&inner.clock)).await?
            };
            let held = match hand.take() {
                Some(held) => held,
                None => match inner.read_again(self.id).await? {
                    Some(held) => held,
                    None => return Ok(Outcome::Gone),
                },
            };
            let next = self.try_once(&held, pass).await;
            let next = match next {
                Next::Settled(Ok(ts)) => return Ok(Outcome::Sent(ts)),
                Next::Settled(Err(why)) => return Ok(Outcome::Dead(self.dead(&held.owed.op, why))),
                Next::AtOnce => None,
                Next::Again(delay) => Some(inner.clock.now() + delay),
            };
            drop(held);
            inner.spill(conversation);
            if let Some(next) = next {
                self.note(next).await?;
                inner.rest(conversation, Rest::Until(next), inner.clock.sleep_until(next)).await?;
            }
        }
    }

    /// Makes an attempt and judges it. While it is on its way, nobody knows whether it arrives.
    async fn try_once(&mut self, held: &Hand<'_>, pass: Pass<'_>) -> Next {
        let op = &held.owed.op;
        self.inner.lanes().doubt(self.conversation, true);
        let attempt = AssertUnwindSafe(self.attempt(&held.owed)).catch_unwind().await;
        let attempt = attempt.unwrap_or_else(|panic| self.crashed(op, panic_text(panic.as_ref())));
        let next = self.judge(op, attempt, pass);
        if !matches!(next, Next::Settled(_)) {
            self.inner.lanes().doubt(self.conversation, self.is_in_doubt());
        }
        next
    }

    fn judge(&mut self, op: &Op, attempt: Attempt, pass: Pass<'_>) -> Next {
        let error = match attempt {
            Attempt::Sent(ts) => {
                self.inner.gate.open(pass);
                return self.sent(ts);
            }
            Attempt::Never(why) => return Next::Settled(Err(why)),
            Attempt::Doubtful => {
                self.doubt = Doubt::Looked(0);
                return Next::AtOnce;
            }
            Attempt::Missing => {
                // Slack let us look.
                self.inner.gate.open(pass);
                return self.missing();
            }
            Attempt::Lost(error) => {
                self.lost += 1;
                self.doubt = Doubt::Looked(0);
                error
            }
            Attempt::Later(error) => error,
        };
        let delay = match verdict(error.kind) {
            Verdict::Never => {
                // It is about the message, so the token is good.
                self.inner.gate.open(pass);
                return self.never(&error);
            }
            Verdict::Plainly { shorter } => {
                self.inner.gate.open(pass);
                return self.plainly(op, shorter, &error);
            }
            Verdict::Refused => {
                self.inner.gate.shut(&error.code);
                self.patience.begin_again();
                return Next::AtOnce;
            }
            Verdict::After(delay) => delay,
            Verdict::Backoff => self.backoff.next(&mut fastrand::Rng::new()),
        };
        self.later(&error, delay)
    }

    /// The row is sent, or a part of it, if it goes in several.
    fn sent(&mut self, ts: Option<Ts>) -> Next {
        if let Some(parts) = &mut self.plain {
            parts.pop_front();
            self.posted += 1;
            if !parts.is_empty() {
                self.doubt = if self.inherited { Doubt::Inherited } else { Doubt::None };
                return Next::AtOnce;
            }
        }
        Next::Settled(Ok(ts))
    }

    /// A row that fails for now is tried again, but not for ever.
    fn later(&mut self, error: &WriteError, delay: Duration) -> Next {
        if !self.patience.failed(self.inner.clock.now()) {
            self.report(error, delay);
            return Next::Again(delay);
        }
        let posted = if self.is_in_doubt() { "; it may have been posted already" } else { "" };
        Next::Settled(Err(format!("it has failed for {} hours: {error}{posted}", FAILING.as_secs() / 3_600)))
    }

    /// A row that Slack refuses is settled; where it only lets nobody look, it is posted all the same.
    fn never(&mut self, error: &WriteError) -> Next {
        if !matches!(self.doubt, Doubt::Looked(_)) {
            self.closed = error.kind == WriteErrorKind::PlaceClosed;
            return Next::Settled(Err(error.to_string()));
        }
        if self.lost > REPEATS {
            let why = format!("none of {} attempts was answered, and nobody may look for it: {error}", self.lost);
            return Next::Settled(Err(format!("it may have been posted already: {why}")));
        }
        self.post_again("A message may have been posted already, and nobody may look for it")
    }

    /// Slack does not take it for its form: it is tried as plain text, once.
    fn plainly(&mut self, op: &Op, shorter: bool, error: &WriteError) -> Next {
        let parts = if self.plain.is_none() { plain::parts(op, shorter) } else { None };
        let Some(parts) = parts else { return Next::Settled(Err(error.to_string())) };
        tracing::warn!(owed.id = %self.id, conversation = %self.conversation, %error, "Slack refuses a message's form; it is sent as plain text");
        self.plain = Some(parts);
        self.doubt = if self.inherited { Doubt::Inherited } else { Doubt::None };
        Next::AtOnce
    }

    fn missing(&mut self) -> Next {
        match self.doubt {
            Doubt::Looked(0) => {
                self.doubt = Doubt::Looked(1);
                let doubled = LOOK_AGAIN.0.saturating_mul(1 << self.lost.saturating_sub(1).min(9));
                Next::Again(doubled.min(LOOK_AGAIN.1))
            }
            // What only an earlier process may have posted, and is not there, was never posted.
            _ if self.lost == 0 => {
                self.doubt = Doubt::None;
                Next::AtOnce
            }
            _ => self.post_again("A message was not answered and is not found"),
        }
    }

    fn post_again(&mut self, why: &str) -> Next {
        tracing::warn!(owed.id = %self.id, conversation = %self.conversation, "{why}; it is posted, perhaps for the second time");
        metrics::counter!("hitchline_outbox_possible_duplicates_total").increment(1);
        self.doubt = Doubt::None;
        Next::AtOnce
    }

    /// By what the message is recognised that is posted next. Where a row goes in several, the last of them bears its own key.
    pub(super) fn key(&self) -> OwedId {
        let more = self.plain.as_ref().is_some_and(|parts| parts.len() > 1);
        if more { self.id.part(self.posted) } else { self.id }
    }

    /// Whether something of it may be in Slack although no answer said so.
    fn is_in_doubt(&self) -> bool {
        !matches!(self.doubt, Doubt::None) || self.posted > 0
    }

    fn dead(&self, op: &Op, why: String) -> Dead {
        let missed = matches!(op, Op::Post(_) | Op::Finish { .. }) && !self.conversation.is_web();
        Dead { why, doubtful: self.is_in_doubt(), missed, closed: self.closed }
    }

    /// What a panic in an attempt means for the row.
    fn crashed(&mut self, op: &Op, reason: &str) -> Attempt {
        self.crashes += 1;
        let crashes = self.crashes;
        tracing::error!(owed.id = %self.id, conversation = %self.conversation, reason, crashes, "The delivery of a message crashed");
        metrics::counter!("hitchline_task_crashes_total", "task" => "outbox lane").increment(1);
        if crashes >= CRASHES {
            return Attempt::Never(format!("its delivery crashed {crashes} times"));
        }
        let kind = WriteErrorKind::Transient { uncertain: true };
        let error = WriteError { kind, call: "delivery", code: "crashed".to_owned() };
        let may_be_posted = matches!(self.doubt, Doubt::None) && matches!(op, Op::Post(_) | Op::Finish { .. });
        if may_be_posted { Attempt::Lost(error) } else { Attempt::Later(error) }
    }

    fn report(&self, error: &WriteError, delay: Duration) {
        tracing::warn!(
            owed.id = %self.id,
            conversation = %self.conversation,
            %error,
            attempt = self.backoff.attempts(),
            delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            "A message to Slack waits for another attempt"
        );
    }

    /// Leaves word for the next process, when the pause until `next` is a long one. Nobody waits for it.
    async fn note(&self, next: Instant) -> Result<(), Stopping> {
        let trouble = self.patience.trouble(next, self.is_in_doubt(), &self.inner.clock);
        let Some(trouble) = trouble else { return Ok(()) };
        self.inner.store.put_off(self.id, trouble).await.map(drop).map_err(|_closed| Stopping)
    }
}
