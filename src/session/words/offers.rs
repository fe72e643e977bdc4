//! What came while nobody listened.

use super::pieces::ago;
use crate::domain::ports::Away;
use crate::store::OfferEnd;

/// The choices that people have: whether it is answered, what that means, and the button.
pub(in crate::session) const AWAY_CHOICES: [(bool, &str, &str); 2] = [
    (true, "Answer what still matters, each in its own thread:", "Answer now"),
    (false, "Or leave it as it is:", "Leave them"),
];

/// What came to a place, and was not answered.
pub(in crate::session) fn away(away: Away) -> String {
    let Away { offered, oldest_ms, expired } = away;
    let when = ago(oldest_ms, 0);
    let left = match expired {
        0 => String::new(),
        1 => " 1 more is too old, or too much at once, and I leave it.".to_owned(),
        many => format!(" {many} more are too old, or too many, and I leave them."),
    };
    match (offered, expired) {
        (0, 1) => "1 message that came while I was away is older than a day, so I leave it.".to_owned(),
        (0, many) => format!("{many} messages that came while I was away are older than a day, so I leave them."),
        (1, _) => format!("1 message came while I was away, {when}.{left}"),
        (many, _) => format!("{many} messages came while I was away (the oldest {when}).{left}"),
    }
}

/// What became of an offer.
pub(in crate::session) fn offer_ended(end: OfferEnd) -> String {
    match end {
        OfferEnd::Accepted(1) => "1 message came while I was away. I am answering it now.".to_owned(),
        OfferEnd::Accepted(many) => format!("{many} messages came while I was away. I am answering them now."),
        OfferEnd::Left(1) => "1 message came while I was away. It is left as it is.".to_owned(),
        OfferEnd::Left(many) => format!("{many} messages came while I was away. They are left as they are."),
        OfferEnd::TooLate(_) => {
            "Some messages came while I was away. More than a day has gone by since, so they are left as they are."
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_how_many_came_how_old_they_are_and_what_is_left() {
        let told = |offered, oldest_min: i64, expired| away(Away { offered, oldest_ms: oldest_min * 60_000, expired });
        let cases = [
            (told(3, 180, 0), "3 messages came while I was away (the oldest 3 h ago)."),
            (told(1, 20, 0), "1 message came while I was away, 20 min ago."),
            (
                told(2, 20, 1),
                "2 messages came while I was away (the oldest 20 min ago). 1 more is too old, or too much at once, and I leave it.",
            ),
            (
                told(1, 60, 4),
                "1 message came while I was away, 1 h ago. 4 more are too old, or too many, and I leave them.",
            ),
            (told(0, 0, 1), "1 message that came while I was away is older than a day, so I leave it."),
            (told(0, 0, 7), "7 messages that came while I was away are older than a day, so I leave them."),
        ];
        for (note, expected) in cases {
            assert_eq!(note, expected);
        }
    }
}
