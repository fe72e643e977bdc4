//! When a program is ready for input, and when its turn is over. No I/O.

use std::time::Duration;

use regex::Regex;

use super::screen::{Picture, Since};
use crate::backend::config::Tmux;

/// How long a screen must stand still with a prompt line: one that is just passing by does not count.
const SETTLE: Duration = Duration::from_millis(200);
/// How long it must stand still after the start where no pattern says when the program is ready.
const STARTED: Duration = Duration::from_secs(1);
/// How long it stands still at the end of a turn where nothing else is configured.
const IDLE: Duration = Duration::from_secs(2);
/// The same for a turn that was told to stop.
const IDLE_AFTER_STOP: Duration = Duration::from_secs(1);
/// How long a program that was left running is looked at, beside the time for which it must stand still.
const REST: Duration = Duration::from_secs(2);

/// What tells the end of a turn, as configured.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    ready: Option<Regex>,
    done: Option<Regex>,
    idle: Option<Duration>,
}

/// A pattern that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPattern {
    /// The key at which it stands.
    pub key: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Rules {
    /// Reads the patterns.
    pub(super) fn new(config: &Tmux) -> Result<Self, BadPattern> {
        let read = |key, pattern: &Option<String>| {
            let bad = |error: regex::Error| BadPattern { key, why: error.to_string() };
            pattern.as_deref().map(Regex::new).transpose().map_err(bad)
        };
        let (ready, done) = (read("ready", &config.ready)?, read("done", &config.done)?);
        let idle = config.idle.or(done.is_none().then_some(IDLE));
        Ok(Self { ready, done, idle })
    }

    /// Whether a program that shows this, and has not changed it for a while, is ready for input.
    pub(super) fn is_ready(&self, screen: &Picture, still: Duration) -> bool {
        match self.ready.as_ref().or(self.done.as_ref()) {
            Some(pattern) => still >= SETTLE && ends_with(screen, pattern),
            None => still >= STARTED && screen.last().is_some(),
        }
    }

    /// Whether a program that an earlier run of the daemon left running is ready for input: as at the end of a turn, or as it was after its
    /// start, because no turn may have run in it.
    pub(super) fn is_at_rest(&self, screen: &Picture, still: Duration) -> bool {
        let shows = |pattern: &Option<Regex>| pattern.as_ref().is_some_and(|pattern| ends_with(screen, pattern));
        let is_prompting = still >= SETTLE && (shows(&self.done) || shows(&self.ready));
        is_prompting || self.idle.is_some_and(|idle| still >= idle)
    }

    /// How long it takes at the most to see that a program is at rest.
    pub(super) fn rest_within(&self) -> Duration {
        REST + self.idle.unwrap_or_default()
    }

    /// Whether the last line is a prompt line.
    pub(super) fn ends_with_prompt(&self, screen: &Picture) -> bool {
        self.done.as_ref().is_some_and(|done| ends_with(screen, done))
    }

    /// Whether a turn is over: `since` is what came in it, on the whole `screen`, which has not changed for a while.
    pub(super) fn is_over(&self, since: &Since<'_>, screen: &Picture, still: Duration, is_stopped: bool) -> bool {
        let is_done = since.is_something_below() && still >= SETTLE && self.ends_with_prompt(screen);
        let idle = self.idle.map(|idle| if is_stopped { idle.min(IDLE_AFTER_STOP) } else { idle });
        is_done || idle.is_some_and(|idle| still >= idle)
    }
}

/// Whether the last line that is not blank fits, with the blanks at its end or without.
fn ends_with(screen: &Picture, pattern: &Regex) -> bool {
    screen.last().is_some_and(|line| line.iter().any(|line| pattern.is_match(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(ready: Option<&str>, done: Option<&str>, idle: Option<u64>) -> Rules {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let idle = idle.map(Duration::from_millis);
        Rules::new(&Tmux { ready: own(ready), done: own(done), idle, ..Tmux::default() }).unwrap()
    }

    #[test]
    fn a_program_is_ready_when_its_pattern_says_so_or_it_stands_still() {
        let ms = Duration::from_millis;
        let cases = [
            (Some("^ready$"), None, "ready", 200, true),
            (Some("^ready$"), None, "ready", 100, false),
            (Some("^ready$"), None, "ready\nnot", 900, false),
            (Some("^ready$"), Some("^> $"), "> ", 900, false),
            (None, Some("^> $"), "hello\n> ", 200, true),
            (None, Some("^>$"), "hello\n> ", 200, true),
            (None, None, "hello", 999, false),
            (None, None, "hello", 1_000, true),
            (None, None, "\n", 9_000, false),
        ];
        for (ready, done, screen, still, expected) in cases {
            let is_ready = rules(ready, done, None).is_ready(&Picture::of(screen), ms(still));
            assert_eq!(is_ready, expected, "{ready:?} {done:?} {screen:?} {still}");
        }
    }

    #[test]
    fn a_program_that_was_left_running_rests_as_after_a_turn_or_its_start() {
        let cases = [
            // A pattern for the start alone says nothing once there was a turn.
            (Some("^ready$"), Some("^> $"), None, "ready\n> go\ndone\n> ", 200, true),
            (Some("^ready$"), Some("^> $"), None, "ready", 200, true),
            (Some("^ready$"), Some("^> $"), None, "ready\n> go\nworking", 600_000, false),
            (None, Some("^> $"), None, "> ", 199, false),
            (Some("^ready$"), None, None, "ready\ngo\ndone", 2_000, true),
            (Some("^ready$"), None, None, "ready\ngo\ndone", 1_999, false),
            (None, Some("^> $"), Some(60_000), "> go\nasks something", 60_000, true),
            (None, Some("^> $"), Some(60_000), "> go\nasks something", 59_999, false),
        ];
        for (ready, done, idle, screen, still, expected) in cases {
            let rules = rules(ready, done, idle);
            let rests = rules.is_at_rest(&Picture::of(screen), Duration::from_millis(still));
            assert_eq!(rests, expected, "{ready:?} {done:?} {idle:?} {screen:?} {still}");
            assert!(rules.rest_within() > idle.map_or(SETTLE, Duration::from_millis), "there is time to see it");
        }
    }

    #[test]
    fn a_turn_is_over_at_a_prompt_line_or_when_nothing_moves() {
        let cases = [
            // The pattern, the idle time, the screen after `> `, how long it stands, whether it was told to stop.
            (Some("^> $"), None, "> hello\nhi\n> ", 200, false, true),
            (Some("^> $"), None, "> hello\nhi\n> ", 199, false, false),
            (Some("^> $"), None, "> hello\nhi", 600_000, false, false),
            (Some("^> $"), None, "> ", 600_000, false, false),
            // A pattern that also fits the line in which the prompt stands.
            (Some("^> "), None, "> hello", 600_000, false, false),
            (Some("^> "), None, "> hel", 600_000, false, false),
            (Some("^> $"), Some(3_000), "> hello\nhi", 3_000, false, true),
            (None, None, "> hello\nhi", 1_999, false, false),
            (None, None, "> hello\nhi", 2_000, false, true),
            (None, Some(60_000), "> hello\n^C", 2_000, false, false),
            (None, Some(60_000), "> hello\n^C", 1_000, true, true),
            (None, Some(500), "> hello\n^C", 500, true, true),
            (Some("^> $"), None, "> hello\n^C", 60_000, true, false),
        ];
        for (done, idle, screen, still, is_stopped, expected) in cases {
            let (before, screen) = (Picture::of("> "), Picture::of(screen));
            let since = screen.since(&before, "hello");
            let over = rules(None, done, idle).is_over(&since, &screen, Duration::from_millis(still), is_stopped);
            assert_eq!(over, expected, "{done:?} {idle:?} {screen:?} {still}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_names_its_key() {
        let bad = |ready: Option<&str>, done: &str| {
            let config = Tmux { ready: ready.map(str::to_owned), done: Some(done.to_owned()), ..Tmux::default() };
            Rules::new(&config).unwrap_err().key
        };
        assert_eq!(bad(None, "("), "done");
        assert_eq!(bad(Some("[z-a]"), "("), "ready");
    }
}
