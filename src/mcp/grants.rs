//! Who may come in: one grant for each live session's agent, known by its token alone.
//!
//! A token has two halves: by the first its grant is found, the second is the secret. Of the secret only the digest is kept.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::ids::{GrantId, SessionId};

/// How a token begins, by which [`redact`](crate::secret::redact) knows it wherever an agent writes it.
const PREFIX: &str = "hlmcp-";
/// How many calls may come at once, and how often one more.
const BURST: u32 = 30;
const EVERY: Duration = Duration::from_secs(1);

/// The grants of all live sessions.
#[derive(Debug, Default)]
pub(super) struct Grants(Mutex<Table>);

impl Grants {
    /// Makes a grant for a session; its id and its token. Nothing else knows the token.
    pub(super) fn issue(&self, session: SessionId, now: Instant) -> (GrantId, String) {
        let id = GrantId::new();
        // 244 random bits.
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        self.table().insert(id, session, &secret, now);
        (id, format!("{PREFIX}{id}.{secret}"))
    }

    /// Whose token this is, if it is still good.
    pub(super) fn find(&self, token: &str) -> Option<Holder> {
        self.table().find(token)
    }

    /// Counts a call.
    ///
    /// # Errors
    /// How long to wait, when there were too many.
    pub(super) fn count(&self, grant: GrantId, now: Instant) -> Result<(), Duration> {
        self.table().count(grant, now)
    }

    /// Forgets a grant; its token is good for nothing from then on.
    pub(super) fn revoke(&self, grant: GrantId) {
        self.table().0.remove(&grant);
    }

    /// Whether a grant is still good.
    pub(super) fn knows(&self, grant: GrantId) -> bool {
        self.table().0.contains_key(&grant)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who makes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) grant: GrantId,
    /// The session whose agent it is: it decides the conversation, whatever the request says.
    pub(super) session: SessionId,
}

#[derive(Debug, Default)]
struct Table(HashMap<GrantId, Entry>);

#[derive(Debug)]
struct Entry {
    session: SessionId,
    digest: [u8; 32],
    /// When all calls so far would have been made, had they come at their rate.
    due: Instant,
}

impl Table {
    fn insert(&mut self, id: GrantId, session: SessionId, secret: &str, now: Instant) {
        self.0.insert(id, Entry { session, digest: digest(secret), due: now });
    }

    fn find(&self, token: &str) -> Option<Holder> {
        let (id, secret) = token.strip_prefix(PREFIX)?.split_once('.')?;
        let grant = GrantId::parse(id)?;
        let entry = self.0.get(&grant)?;
        is_same(&entry.digest, &digest(secret)).then_some(Holder { grant, session: entry.session })
    }

    fn count(&mut self, id: GrantId, now: Instant) -> Result<(), Duration> {
        // A call whose grant was revoked meanwhile fails for that.
        let Some(entry) = self.0.get_mut(&id) else { return Ok(()) };
        let due = entry.due.max(now);
        let wait = due.saturating_duration_since(now + EVERY * (BURST - 1));
        if wait.is_zero() {
            entry.due = due + EVERY;
            return Ok(());
        }
        Err(wait)
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Compares in a time that tells nothing of where the two differ.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn now() -> Instant {
        Clock::system().now()
    }

    #[test]
    fn a_token_opens_its_own_session_until_it_is_revoked() {
        let (grants, one, two) = (Grants::default(), SessionId::new(), SessionId::new());
        let (first, token) = grants.issue(one, now());
        let (second, other) = grants.issue(two, now());
        assert_eq!(grants.find(&token), Some(Holder { grant: first, session: one }));
        assert_eq!(grants.find(&other), Some(Holder { grant: second, session: two }));
        grants.revoke(first);
        grants.revoke(first);
        assert_eq!((grants.find(&token), grants.knows(first)), (None, false));
        assert!(grants.find(&other).is_some() && grants.knows(second));
    }

    #[test]
    fn only_the_whole_token_opens_anything() {
        let grants = Grants::default();
        let (id, token) = grants.issue(SessionId::new(), now());
        let (_, other) = grants.issue(SessionId::new(), now());
        let (_, secret) = other.split_once('.').unwrap();
        let wrong = [
            String::new(),
            ".".into(),
            id.to_string(),
            format!("{PREFIX}{id}."),
            format!("{PREFIX}{id}.{secret}"),
            token[PREFIX.len()..].to_owned(),
            format!("{token}0"),
            token[..token.len() - 1].to_owned(),
            token.to_uppercase(),
            token.split_once('.').unwrap().1.to_owned(),
            format!("{PREFIX}{PREFIX}{token}"),
        ];
        for wrong in wrong {
            assert_eq!(grants.find(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_two_tokens_are_alike_and_none_is_kept() {
        let (grants, session) = (Grants::default(), SessionId::new());
        let (_, first) = grants.issue(session, now());
        let (_, second) = grants.issue(session, now());
        assert_ne!(first, second);
        assert_eq!(first.len(), PREFIX.len() + 32 + 1 + 64);
        assert_eq!(crate::secret::redact(&format!("env: {first}, cwd")), format!("env: {PREFIX}…, cwd"));
        let kept = format!("{grants:?}");
        assert!(!kept.contains(first.split_once('.').unwrap().1), "{kept}");
    }

    #[test]
    fn a_burst_passes_and_then_one_each_second() {
        let grants = Grants::default();
        let start = now();
        let (grant, _) = grants.issue(SessionId::new(), start);
        let (other, _) = grants.issue(SessionId::new(), start);
        let passed = (0..100).filter(|_| grants.count(grant, start).is_ok()).count();
        assert_eq!(passed, BURST as usize);
        assert_eq!(grants.count(grant, start), Err(EVERY));
        assert_eq!(grants.count(other, start), Ok(()), "each token has its own rate");
        assert_eq!(grants.count(grant, start + EVERY / 2), Err(EVERY / 2));
        assert_eq!(grants.count(grant, start + EVERY), Ok(()));
        let later = start + EVERY * 1_000;
        let passed = (0..100).filter(|_| grants.count(grant, later).is_ok()).count();
        assert_eq!(passed, BURST as usize, "what was not used before is not saved up");
    }
}
