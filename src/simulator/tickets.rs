//! Tickets: the one-time right to open a socket.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::ids::uuid;

/// How long a ticket can be used.
const LIFETIME: Duration = Duration::from_secs(30);

/// The tickets that are out.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    good_until: HashMap<String, Instant>,
}

impl Tickets {
    /// A new ticket.
    pub(super) fn issue(&mut self, now: Instant) -> String {
        self.good_until.retain(|_, until| *until > now);
        let ticket = uuid();
        self.good_until.insert(ticket.clone(), now + LIFETIME);
        ticket
    }

    /// Uses a ticket up. False when it is unknown, used or too old.
    pub(super) fn redeem(&mut self, ticket: &str, now: Instant) -> bool {
        self.good_until.remove(ticket).is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_ticket_is_good_once_and_for_a_while() {
        let mut tickets = Tickets::default();
        let now = Clock::system().now();
        let (first, second) = (tickets.issue(now), tickets.issue(now));
        assert!(tickets.redeem(&first, now));
        assert!(!tickets.redeem(&first, now));
        assert!(!tickets.redeem(&second, now + LIFETIME));
        assert!(!tickets.redeem("never issued", now));
    }
}
