//! What is read back, from when on, and in which order. Pure.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ChannelId, Ts};
use crate::domain::inbound::ChannelKind;
use crate::domain::ports::Joined;

/// How far before the moment up to which everything is known the reading begins: what was said then may still have been on its way.
/// What comes twice is known by its keys.
const OVERLAP: Duration = Duration::from_mins(1);
/// How far back it goes at the most: a little less far than keys are kept.
const REACH: Duration = Duration::from_hours(7 * 24 - 1);

/// A place that is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Its channel.
    pub(super) channel: Joined,
    /// A thread in it; without one, all that stands in none.
    pub(super) thread: Option<Ts>,
}

impl Place {
    /// The conversation, or the channel as such.
    pub(super) fn key(&self) -> ConversationKey {
        let Joined { team, channel, .. } = &self.channel;
        let thread = self.thread.clone().unwrap_or_else(|| "".into());
        ConversationKey { team: team.clone(), channel: channel.clone(), thread }
    }
}

/// The places in the order in which they are read: DMs, what has a session by its last use, and then the channels. Of `channels` all that
/// we are in are known if they are `complete`; else sessions may be elsewhere, too.
pub(super) fn order(channels: Vec<Joined>, sessions: Vec<ConversationKey>, complete: bool) -> Vec<Place> {
    let known: HashMap<ChannelId, Joined> =
        channels.iter().map(|joined| (joined.channel.clone(), joined.clone())).collect();
    let guessed = |key: &ConversationKey| Joined {
        team: key.team.clone(),
        channel: key.channel.clone(),
        kind: ChannelKind::Unknown,
        shared: true,
    };
    let followed = sessions.into_iter().filter(|key| !key.is_web()).filter_map(|key| {
        let channel = known.get(&key.channel).cloned().or_else(|| (!complete).then(|| guessed(&key)))?;
        let thread = (!key.is_channel_wide()).then_some(key.thread);
        Some(Place { channel, thread })
    });
    let whole = |channel: Joined| Place { channel, thread: None };
    let (direct, others): (Vec<_>, Vec<_>) =
        channels.into_iter().partition(|joined| matches!(joined.kind, ChannelKind::Direct | ChannelKind::Group));
    let mut places: Vec<Place> = direct.into_iter().map(whole).collect();
    for place in followed.chain(others.into_iter().map(whole)) {
        // A channel that is one conversation stands among the sessions already.
        if place.thread.is_some() || !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// From when on a place is read at the moment `now_us`, when everything is known up to `heard_us`, and in this place up to `cursor`, but
/// for what was said `earlier` than that. Moments are in microseconds of Slack's time.
pub(super) fn since(heard_us: i64, cursor: Option<i64>, earlier: Duration, now_us: i64) -> Ts {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let known = cursor.map_or(heard_us, |cursor| cursor.max(heard_us));
    Ts::from_micros((known - micros(OVERLAP + earlier)).max(now_us - micros(REACH)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(channel: &str, kind: ChannelKind) -> Joined {
        Joined { team: "T".into(), channel: channel.into(), kind, shared: false }
    }

    fn key(channel: &str, thread: &str) -> ConversationKey {
        ConversationKey { team: "T".into(), channel: channel.into(), thread: thread.into() }
    }

    fn read(channels: &[Joined], sessions: &[ConversationKey], complete: bool) -> Vec<String> {
        order(channels.to_vec(), sessions.to_vec(), complete).iter().map(|place| place.key().to_string()).collect()
    }

    #[test]
    fn dms_come_first_then_sessions_by_use_then_channels() {
        use ChannelKind::{Channel, Direct, Group};
        let channels = [joined("C1", Channel), joined("D1", Direct), joined("C2", Channel), joined("G1", Group)];
        let sessions = [key("C2", "5.0"), key("D1", "4.0"), key("C1", ""), key("C9", "1.0"), ConversationKey::web("x")];
        let all = ["T/D1/", "T/G1/", "T/C2/5.0", "T/D1/4.0", "T/C1/", "T/C2/"];
        assert_eq!(read(&channels, &sessions, true), all, "a channel that we have left is not read");
        let all = ["T/D1/", "T/G1/", "T/C2/5.0", "T/D1/4.0", "T/C1/", "T/C9/1.0", "T/C2/"];
        assert_eq!(read(&channels, &sessions, false), all);
        assert!(read(&[], &[], true).is_empty());
    }

    #[test]
    fn the_reading_begins_a_little_before_what_is_known_and_never_where_keys_are_forgotten() {
        const MINUTE: i64 = 60_000_000;
        const HOUR: i64 = 60 * MINUTE;
        let now = 1_800_000_000_000_000;
        let cases = [
            (now - HOUR, None, 0, now - HOUR - MINUTE),
            (now - HOUR, None, 2, now - HOUR - 3 * MINUTE),
            (now - HOUR, Some(now - 2 * HOUR), 0, now - HOUR - MINUTE),
            (now - HOUR, Some(now - MINUTE), 0, now - 2 * MINUTE),
            (now - HOUR, Some(now - MINUTE), 2, now - 4 * MINUTE),
            (now - 1_000 * HOUR, None, 2, now - 167 * HOUR),
        ];
        for (heard, cursor, earlier, expected) in cases {
            let since = since(heard, cursor, Duration::from_mins(earlier), now);
            assert_eq!(since, Ts::from_micros(expected), "{heard} {cursor:?} {earlier}");
        }
    }
}
