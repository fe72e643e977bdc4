//! Response URLs: a short-lived right to answer a command or a click without a token.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::ids::Ts;

/// Slack's limits for one URL.
const USES: u32 = 5;
const LIFETIME: Duration = Duration::from_mins(30);
/// How many URLs are remembered; beyond that the oldest expire.
const KEPT: usize = 10_000;

/// The URLs that were given out.
#[derive(Debug, Default)]
pub(super) struct ResponseUrls {
    by_number: BTreeMap<u64, Grant>,
    next: u64,
}

/// Where an answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) channel: String,
    /// Who asked, and alone sees ephemeral answers.
    pub(super) user: String,
    pub(super) thread_ts: Option<Ts>,
    /// The message whose button was pressed.
    pub(super) message: Option<Ts>,
}

#[derive(Debug)]
struct Grant {
    target: Target,
    secret: String,
    uses_left: u32,
    until: Instant,
}

/// Why a URL can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Expired,
    Used,
}

impl ResponseUrls {
    /// A new URL's last two path segments.
    pub(super) fn issue(&mut self, target: Target, now: Instant) -> String {
        if self.by_number.len() >= KEPT {
            self.by_number.pop_first();
        }
        self.next += 1;
        let secret: String = std::iter::repeat_with(fastrand::alphanumeric).take(24).collect();
        let path = format!("{}/{secret}", self.next);
        self.by_number.insert(self.next, Grant { target, secret, uses_left: USES, until: now + LIFETIME });
        path
    }

    /// Uses a URL once.
    pub(super) fn redeem(&mut self, number: u64, secret: &str, now: Instant) -> Result<Target, Refused> {
        let grant = self.by_number.get_mut(&number).filter(|grant| grant.secret == secret && grant.until > now);
        let grant = grant.ok_or(Refused::Expired)?;
        grant.uses_left = grant.uses_left.checked_sub(1).ok_or(Refused::Used)?;
        Ok(grant.target.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_url_is_good_five_times_within_its_life() {
        let now = Clock::system().now();
        let target = Target { channel: "C1".to_owned(), user: "U1".to_owned(), thread_ts: None, message: None };
        let mut urls = ResponseUrls::default();
        let path = urls.issue(target.clone(), now);
        let (number, secret) = path.split_once('/').unwrap();
        assert_eq!(urls.redeem(1, "guessed", now), Err(Refused::Expired));
        assert_eq!(urls.redeem(1, secret, now + LIFETIME), Err(Refused::Expired));
        for _ in 0..USES {
            assert_eq!(urls.redeem(number.parse().unwrap(), secret, now), Ok(target.clone()));
        }
        assert_eq!(urls.redeem(1, secret, now), Err(Refused::Used));
    }
}
