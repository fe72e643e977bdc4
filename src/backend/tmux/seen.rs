//! What was seen of a terminal in the course of a turn. No I/O.

use std::time::{Duration, Instant};

use super::screen::{Picture, Since};
use super::server::{HISTORY, Look};

/// When tmux has so many lines above the screen, it may have dropped some: it drops a tenth when it has as many as it may.
const FULL: usize = HISTORY / 10 * 9;

/// The terminal before the prompt and at the last look, both from the same row on.
#[derive(Debug)]
pub(super) struct Seen {
    before: Picture,
    now: Picture,
    /// How many lines had left the screen before the prompt.
    base: usize,
    /// How many had at the last look.
    scrolled: usize,
    /// When it was last seen to have changed.
    changed: Instant,
    /// Whether a part of the answer was dropped before it was seen.
    is_cut: bool,
}

impl Seen {
    /// The terminal before the prompt, of which the screen was looked at.
    pub(super) fn before(look: Look, now: Instant) -> Self {
        let Look { scrolled, picture, .. } = look;
        Self { before: picture.clone(), now: picture, base: scrolled, scrolled, changed: now, is_cut: false }
    }

    /// How many lines above the screen the next look must take in.
    pub(super) fn above(&self) -> usize {
        if self.is_cut { 0 } else { self.scrolled - self.base }
    }

    /// Takes a look that took in what was asked for. Says whether it shows all since the prompt; else the next one will.
    pub(super) fn take(&mut self, look: Look, now: Instant) -> bool {
        let Look { scrolled, picture, .. } = look;
        let before = std::mem::replace(&mut self.scrolled, scrolled);
        if self.is_cut {
            self.shows(picture, now);
            return true;
        }
        if scrolled >= FULL {
            self.is_cut = true;
            self.begin_anew(now);
            return false;
        }
        if scrolled < before {
            // The program, or a person, has cleared the terminal: all that is there has come since.
            self.base = 0;
            self.begin_anew(now);
            return false;
        }
        if scrolled > before {
            self.changed = now;
            return false;
        }
        self.shows(picture, now);
        true
    }

    fn begin_anew(&mut self, now: Instant) {
        (self.before, self.now) = (Picture::default(), Picture::default());
        self.changed = now;
    }

    fn shows(&mut self, picture: Picture, now: Instant) {
        if picture != self.now {
            self.now = picture;
            self.changed = now;
        }
    }

    /// A key was pressed: whatever follows from it may take as long as anything else.
    pub(super) fn disturb(&mut self, now: Instant) {
        self.changed = now;
    }

    /// What has come since the prompt, when `typed` was typed.
    pub(super) fn since(&self, typed: &str) -> Since<'_> {
        self.now.since(&self.before, typed)
    }

    /// The last look.
    pub(super) fn picture(&self) -> &Picture {
        &self.now
    }

    /// Whether it shows something new, and has shown that for `time`.
    pub(super) fn is_changed_and_still(&self, now: Instant, time: Duration) -> bool {
        self.now != self.before && self.still(now) >= time
    }

    /// How long it has not changed.
    pub(super) fn still(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.changed)
    }

    /// Whether the answer was longer than a terminal remembers.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }
}

#[cfg(test)]
mod tests {
    use super::super::server::Fate;
    use super::*;
    use crate::clock::Clock;

    fn look(scrolled: usize, text: &str) -> Look {
        Look { program: 1, fate: Fate::Runs, scrolled, picture: Picture::of(text) }
    }

    fn answer(seen: &Seen) -> String {
        seen.since("go").answer(false).join("\n")
    }

    #[test]
    fn an_answer_is_followed_beyond_the_screen() {
        let (clock, hand) = Clock::manual(0);
        let mut seen = Seen::before(look(100, "> "), clock.now());
        assert!(seen.take(look(100, "> go\na"), clock.now()));
        assert_eq!((answer(&seen).as_str(), seen.above()), ("a", 0));
        hand.advance(Duration::from_secs(1));
        assert!(!seen.take(look(103, "b\nc\nd"), clock.now()), "a look that begins too low shows nothing");
        assert_eq!((seen.above(), seen.still(clock.now())), (3, Duration::ZERO));
        assert!(seen.take(look(103, "> go\na\nb\nc\nd\n> "), clock.now()));
        assert_eq!(answer(&seen), "a\nb\nc\nd");
        hand.advance(Duration::from_secs(1));
        assert!(seen.take(look(103, "> go\na\nb\nc\nd\n> "), clock.now()));
        assert!(seen.is_changed_and_still(clock.now(), Duration::from_secs(1)));
    }

    #[test]
    fn a_terminal_that_is_cleared_shows_only_what_is_new() {
        let (clock, _hand) = Clock::manual(0);
        let mut seen = Seen::before(look(100, "old\n> "), clock.now());
        assert!(!seen.take(look(0, "fresh\n> "), clock.now()));
        assert_eq!(seen.above(), 0);
        assert!(seen.take(look(0, "fresh\n> "), clock.now()));
        assert_eq!(answer(&seen), "fresh\n>");
        assert!(!seen.is_cut());
    }

    #[test]
    fn an_answer_that_is_longer_than_the_terminal_remembers_is_cut() {
        let (clock, _hand) = Clock::manual(0);
        let mut seen = Seen::before(look(0, "> "), clock.now());
        assert!(!seen.take(look(FULL - 1, "x"), clock.now()));
        assert!(!seen.is_cut());
        assert!(!seen.take(look(FULL, "y"), clock.now()));
        assert!(seen.is_cut());
        assert_eq!(seen.above(), 0, "only the screen is looked at from now on");
        assert!(seen.take(look(FULL + 3, "z\n> "), clock.now()));
        assert_eq!(seen.picture(), &Picture::of("z\n> "));
    }
}
