//! One Socket Mode link as a pure state machine: something happens, and it says what is to be done.
//!
//! At most two connections of a link are open at any time: the one that is used, and beside it either the one that replaces it or the
//! one that it has replaced. A connection counts from its greeting, not from its handshake.

use std::time::{Duration, Instant};

use super::wire::Reason;
use crate::backoff::Backoff;

/// Our own pings.
const PING_EVERY: Duration = Duration::from_secs(5);
/// After so long without any frame a replacement is opened beside the connection: suspicion is cheap.
const SUSPECT_AFTER: Duration = Duration::from_secs(10);
/// After so long without any frame the connection is given up even though its replacement does not come.
const DEAD_AFTER: Duration = Duration::from_secs(45);
/// How long asking for an address, the handshake and the greeting may take together.
const GREETED_WITHIN: Duration = Duration::from_secs(30);
/// How long a connection that was told to go is still read and acknowledged after its replacement was greeted.
pub(super) const OVERLAP: Duration = Duration::from_secs(15);
/// A connection that lived so long is replaced at once; attempts after shorter ones would follow each other without a pause.
const STEADY: Duration = Duration::from_secs(5);
/// A connection that lived so long was a good one; the back-off starts over.
const LIVED: Duration = Duration::from_secs(30);
/// The back-off after lost connections and failed attempts.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// The back-off when Slack says that too many connections are open: stale ones of ours have to time out there.
const TOO_MANY: (Duration, Duration) = (Duration::from_secs(20), Duration::from_mins(5));
/// How often a link that a person has to mend looks whether they did.
const PROBE_EVERY: Duration = Duration::from_mins(5);

/// A connection's number within its link.
pub(super) type Conn = u64;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// The time for which [`Link::next_timer`] asked may have come.
    Timer,
    /// A frame of any kind came at this time.
    Heard(Conn, Instant),
    /// The greeting came.
    Greeted(Conn),
    /// The server asks to leave.
    Disconnect(Conn, Reason),
    /// A connection is gone, or an attempt has failed.
    Lost(Conn, Loss),
    /// We are stopping.
    Finish,
}

/// Why a connection is gone or did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loss {
    /// The network, the server, a time-out: try again.
    Transient,
    /// Slack asked to wait.
    Rate(Duration),
    /// Slack does not take the token; its word for it.
    Auth(String),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask for an address and connect to it.
    Dial(Conn),
    /// Ping.
    Ping(Conn),
    /// Say goodbye and drop it; also ends an attempt.
    Close(Conn),
}

/// How a link stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LinkState {
    /// No connection has been greeted, or it was lost.
    #[default]
    Connecting,
    /// Greeted.
    Live,
    /// Only a person can mend it.
    Halted {
        /// What is wrong and what to do.
        reason: String,
    },
}

/// The state machine.
#[derive(Debug)]
pub(super) struct Link {
    phase: Phase,
    attempt: Attempt,
    current: Option<Current>,
    /// Replaced, and read until then.
    old: Option<(Conn, Instant)>,
    next_conn: Conn,
    /// The next attempt is made at once: the first one of all, and the first one after a steady connection.
    eager: bool,
    backoff: Backoff,
    crowded: Backoff,
    chance: fastrand::Rng,
    refused: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Running,
    Halted(String),
    Stopped,
}

/// The making of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Attempt {
    None,
    Due(Instant),
    Dialing { conn: Conn, until: Instant },
}

/// The connection that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Current {
    conn: Conn,
    since: Instant,
    heard: Instant,
    pinged: Instant,
    /// The server has asked it to leave.
    leaving: bool,
}

impl Link {
    /// A link that wants a connection at once.
    pub(super) fn new(now: Instant, seed: u64) -> Self {
        Self {
            phase: Phase::Running,
            attempt: Attempt::Due(now),
            current: None,
            old: None,
            next_conn: 0,
            eager: true,
            backoff: Backoff::new(RETRY.0, RETRY.1),
            crowded: Backoff::new(TOO_MANY.0, TOO_MANY.1),
            chance: fastrand::Rng::with_seed(seed),
            refused: None,
        }
    }

    /// How it stands.
    pub(super) fn state(&self) -> LinkState {
        match (&self.phase, &self.current) {
            (Phase::Halted(reason), _) => LinkState::Halted { reason: reason.clone() },
            (_, Some(_)) => LinkState::Live,
            _ => LinkState::Connecting,
        }
    }

    /// Slack's word for refusing the token, while it does.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// When the next connection is dialled, where that is planned.
    pub(super) fn next_attempt(&self) -> Option<Instant> {
        match self.attempt {
            Attempt::Due(at) => Some(at),
            Attempt::None | Attempt::Dialing { .. } => None,
        }
    }

    /// When [`Input::Timer`] is due next. `None` only when stopped.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let attempt = match &self.attempt {
            Attempt::None => None,
            Attempt::Due(at) => Some(*at),
            Attempt::Dialing { until, .. } => Some(*until),
        };
        let current = self.current.as_ref().map(|current| self.next_look(current));
        let old = self.old.map(|(_, until)| until);
        [attempt, current, old].into_iter().flatten().min()
    }

    /// Takes what happened and says what is to be done, in order.
    pub(super) fn on(&mut self, input: Input, now: Instant) -> Vec<Action> {
        if self.phase == Phase::Stopped {
            return Vec::new();
        }
        match input {
            Input::Timer => self.on_timer(now),
            Input::Heard(conn, at) => {
                if let Some(current) = self.current.as_mut().filter(|current| current.conn == conn) {
                    current.heard = current.heard.max(at);
                }
                Vec::new()
            }
            Input::Greeted(conn) => self.on_greeted(conn, now),
            Input::Disconnect(conn, reason) => self.on_disconnect(conn, reason, now),
            Input::Lost(conn, loss) => {
                self.on_lost(conn, loss, now);
                Vec::new()
            }
            Input::Finish => {
                self.phase = Phase::Stopped;
                self.close_all()
            }
        }
    }

    fn on_timer(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some((conn, _)) = self.old.take_if(|(_, until)| *until <= now) {
            actions.push(Action::Close(conn));
        }
        if let Some(silent) = self.current.take_if(|current| current.heard + DEAD_AFTER <= now) {
            actions.push(Action::Close(silent.conn));
            self.replace(&silent, silent.heard, now);
        }
        if let Some(current) = &mut self.current {
            if current.pinged + PING_EVERY <= now {
                current.pinged = now;
                actions.push(Action::Ping(current.conn));
            }
            if current.heard + SUSPECT_AFTER <= now {
                let silent = current.clone();
                self.replace(&silent, silent.heard, now);
            }
        }
        self.attempt_timer(now, &mut actions);
        actions
    }

    fn attempt_timer(&mut self, now: Instant, actions: &mut Vec<Action>) {
        match self.attempt {
            Attempt::Dialing { conn, until } if until <= now => {
                actions.push(Action::Close(conn));
                self.retry(now);
            }
            Attempt::Due(at) if at <= now => {
                // Never a third: what was replaced before goes first.
                actions.extend(self.old.take().map(|(conn, _)| Action::Close(conn)));
                self.next_conn += 1;
                self.attempt = Attempt::Dialing { conn: self.next_conn, until: now + GREETED_WITHIN };
                actions.push(Action::Dial(self.next_conn));
            }
            _ => {}
        }
    }

    fn on_greeted(&mut self, conn: Conn, now: Instant) -> Vec<Action> {
        if !self.is_dialing(conn) {
            return Vec::new();
        }
        self.attempt = Attempt::None;
        self.phase = Phase::Running;
        self.refused = None;
        let fresh = Current { conn, since: now, heard: now, pinged: now, leaving: false };
        match self.current.replace(fresh) {
            // It may still hold deliveries for us.
            Some(previous) if previous.leaving => {
                self.old = Some((previous.conn, now + OVERLAP));
                Vec::new()
            }
            Some(silent) => vec![Action::Close(silent.conn)],
            None => Vec::new(),
        }
    }

    fn on_disconnect(&mut self, conn: Conn, reason: Reason, now: Instant) -> Vec<Action> {
        if !self.is_current(conn) && !self.is_dialing(conn) {
            return Vec::new();
        }
        match reason {
            Reason::TooMany => {
                if let Some(current) = self.current.clone() {
                    self.credit(&current, now);
                }
                let actions = self.close_all();
                self.attempt = Attempt::Due(now + self.crowded.next(&mut self.chance));
                actions
            }
            Reason::Disabled => {
                let actions = self.close_all();
                self.halt(
                    "Socket Mode is switched off for this app: switch it on under Settings, Socket Mode, on its page at api.slack.com/apps",
                    now,
                );
                actions
            }
            Reason::Warning | Reason::Refresh | Reason::Unknown => self.on_leave(conn, now),
        }
    }

    fn on_leave(&mut self, conn: Conn, now: Instant) -> Vec<Action> {
        if self.is_dialing(conn) {
            self.retry(now);
            return vec![Action::Close(conn)];
        }
        if let Some(current) = &mut self.current {
            current.leaving = true;
            let leaving = current.clone();
            self.replace(&leaving, now, now);
        }
        Vec::new()
    }

    fn on_lost(&mut self, conn: Conn, loss: Loss, now: Instant) {
        if self.old.take_if(|(old, _)| *old == conn).is_some() {
            return;
        }
        if let Some(current) = self.current.take_if(|current| current.conn == conn) {
            self.replace(&current, now, now);
            return;
        }
        if !self.is_dialing(conn) {
            return;
        }
        match loss {
            Loss::Transient => self.retry(now),
            Loss::Rate(after) => {
                let delay = self.backoff.next(&mut self.chance).max(after);
                self.attempt = Attempt::Due(now + delay);
            }
            Loss::Auth(code) => {
                self.halt(&format!("Slack refused the app token ({code}): put a valid one into slack.app_token"), now);
                self.refused = Some(code);
            }
        }
    }

    /// Wants a replacement for a connection that worked until `worked`, unless one is already on its way.
    fn replace(&mut self, connection: &Current, worked: Instant, now: Instant) {
        if self.attempt == Attempt::None {
            self.credit(connection, worked);
            self.retry(now);
        }
    }

    /// The next attempt: at once after a steady connection, else after the back-off.
    fn retry(&mut self, now: Instant) {
        let delay = if self.eager { Duration::ZERO } else { self.backoff.next(&mut self.chance) };
        self.eager = false;
        self.attempt = Attempt::Due(now + delay);
    }

    /// A connection that has lived earns a fresh start.
    fn credit(&mut self, connection: &Current, worked: Instant) {
        if connection.since + STEADY <= worked {
            self.eager = true;
        }
        if connection.since + LIVED <= worked {
            self.backoff.reset();
            self.crowded.reset();
        }
    }

    fn halt(&mut self, reason: &str, now: Instant) {
        self.phase = Phase::Halted(reason.to_owned());
        self.attempt = Attempt::Due(now + PROBE_EVERY);
    }

    fn close_all(&mut self) -> Vec<Action> {
        let attempt = match std::mem::replace(&mut self.attempt, Attempt::None) {
            Attempt::Dialing { conn, .. } => Some(conn),
            _ => None,
        };
        let current = self.current.take().map(|current| current.conn);
        let old = self.old.take().map(|(conn, _)| conn);
        [attempt, current, old].into_iter().flatten().map(Action::Close).collect()
    }

    fn is_current(&self, conn: Conn) -> bool {
        self.current.as_ref().is_some_and(|current| current.conn == conn)
    }

    fn is_dialing(&self, conn: Conn) -> bool {
        matches!(self.attempt, Attempt::Dialing { conn: dialing, .. } if dialing == conn)
    }

    fn next_look(&self, current: &Current) -> Instant {
        let ping = current.pinged + PING_EVERY;
        let silence = if self.attempt == Attempt::None { SUSPECT_AFTER } else { DEAD_AFTER };
        ping.min(current.heard + silence)
    }
}

#[cfg(test)]
mod tests;
