//! `breakout`: a thread's session gets a private channel of its own, which is one conversation as a whole.

use std::sync::Arc;

use super::answer::{Answer, post};
use super::{Asked, words};
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::ChannelId;
use crate::domain::outgoing::Body;
use crate::domain::ports::{WriteError, WriteErrorKind};
use crate::domain::session::SessionRecord;
use crate::session::lines::Later;
use crate::session::manager::Inner;
use crate::session::relocation::Relocated;
use crate::session::roster::Doing;

/// How long a channel's name may be, in characters (docs.slack.dev/reference/methods/conversations.create).
const NAME: usize = 80;
/// How much of a session's description becomes a name.
const FROM_DESCRIPTION: usize = 40;
/// How many names are tried while each is taken.
const ATTEMPTS: usize = 5;

impl Inner {
    /// `breakout [NAME]`
    pub(super) async fn breakout(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        record: &SessionRecord,
        name: Option<String>,
    ) -> Result<Answer, Later> {
        let overview = self.overview(record.clone()).await.map_err(|error| Later::because(asked.key, &error))?;
        let refused = if asked.key.is_channel_wide() || asked.key.is_web() {
            Some(words::BREAKOUT_THREADS_ONLY)
        } else if !asked.by.may_decide_for(&record.creator) {
            Some(words::BREAKOUT_NOT_YOURS)
        } else if !self.parts.gate.is_open_everywhere() {
            Some(words::BREAKOUT_CHANNELS)
        } else if overview.doing == Doing::Working || overview.waiting > 0 {
            Some(words::BREAKOUT_BUSY)
        } else {
            None
        };
        match refused {
            Some(why_not) => Ok(Answer::open(why_not)),
            None => self.move_out(asked, record, name).await,
        }
    }

    async fn move_out(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        record: &SessionRecord,
        name: Option<String>,
    ) -> Result<Answer, Later> {
        let channel = match self.make_channel(asked, record, name).await {
            Ok(channel) => channel,
            Err(error) => return Ok(Answer::open(words::no_channel(&error))),
        };
        let to = ConversationKey::channel_wide(asked.key.team.clone(), channel);
        let relocated = self.relocate(record, &to).await;
        match relocated.map_err(|error| Later::because(asked.key, &error))? {
            Relocated::Done => {}
            // Between the look at it and now.
            Relocated::Busy | Relocated::Occupied => {
                return Ok(Answer::marked_change(words::broken_out_in_vain(&to)));
            }
            Relocated::Ended => return Ok(Answer::open(words::CONNECT_ENDED)),
        }
        let welcome = Body::Text(words::broken_out(record, asked.key));
        self.mention(post(&to, welcome)).await;
        Ok(Answer::marked_change(words::gone_to(asked.at.markup(), &record.id.short(), &to)))
    }

    /// Makes a private channel with whoever asked, under the first name that Slack takes.
    async fn make_channel(
        &self,
        asked: &Asked<'_>,
        record: &SessionRecord,
        name: Option<String>,
    ) -> Result<ChannelId, WriteError> {
        // Whoever started the session belongs to it, whoever breaks it out.
        let mut members = vec![asked.by.user().clone(), record.creator.clone()];
        members.dedup();
        let plain = format!("session-{}", record.id.short());
        let mut name = channel_name(name.as_deref(), &record.description).unwrap_or_else(|| plain.clone());
        let mut attempt = 1;
        loop {
            let tried = numbered(&name, attempt);
            let error = match self.parts.slack.create_channel(&tried, &members).await {
                Ok(channel) => return Ok(channel),
                Err(error) => error,
            };
            tracing::info!(conversation = %asked.key, attempt, %error, "A channel for a session was not made");
            attempt += 1;
            if error.kind != WriteErrorKind::Permanent || attempt > ATTEMPTS {
                return Err(error);
            }
            // A name that Slack does not like, such as one of the words that it keeps for itself.
            if error.code.starts_with("invalid_name") && name != plain {
                name.clone_from(&plain);
            } else if error.code != "name_taken" {
                return Err(error);
            }
        }
    }
}

/// A name from what was given, or else from what the session is about, as Slack takes it: lower case letters, digits, hyphens and
/// underscores. Nothing when nothing of it is left.
fn channel_name(given: Option<&str>, description: &str) -> Option<String> {
    let (text, most) = given.map_or((description, FROM_DESCRIPTION), |given| (given, NAME));
    let mut name = String::new();
    for c in text.to_lowercase().chars() {
        let fits = c.is_alphanumeric() || c == '_';
        if fits {
            name.push(c);
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
    }
    let name: String = name.chars().take(most).collect();
    let name = name.trim_end_matches('-');
    name.contains(char::is_alphanumeric).then(|| name.to_owned())
}

/// The name for an attempt: the second one ends with 2.
fn numbered(name: &str, attempt: usize) -> String {
    if attempt == 1 {
        return name.to_owned();
    }
    let suffix = format!("-{attempt}");
    let kept: String = name.chars().take(NAME - suffix.len()).collect();
    kept + &suffix
}

#[cfg(test)]
mod tests {
    use super::*;

    // holds: M-5
    #[test]
    fn a_name_is_what_slack_takes_and_no_longer() {
        let cases = [
            (Some("Fix the Parser!"), "", Some("fix-the-parser")),
            (Some("a_b -- c"), "", Some("a_b-c")),
            (Some("#general"), "", Some("general")),
            (Some("!!"), "why", None),
            (None, "Why does `make` fail?\nIt did not.", Some("why-does-make-fail-it-did-not")),
            (None, "  …", None),
            (Some("Größe"), "", Some("größe")),
        ];
        for (given, description, expected) in cases {
            assert_eq!(channel_name(given, description).as_deref(), expected, "{given:?} {description:?}");
        }
        let long = "ä".repeat(200);
        assert_eq!(channel_name(Some(&long), "").unwrap().chars().count(), NAME);
        assert_eq!(channel_name(None, &long).unwrap().chars().count(), FROM_DESCRIPTION);
        let second = numbered(&"ä".repeat(NAME), 2);
        assert!(second.chars().count() == NAME && second.ends_with("ä-2"), "{second}");
        assert_eq!((numbered("x", 1), numbered("x", 12)), ("x".into(), "x-12".into()));
    }
}
