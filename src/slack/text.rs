//! Slack's inbound markup, as plain text for an agent.
//!
//! Tokens in angle brackets are resolved first, and only then the three entities: a person who types `&lt;!here&gt;` mentions nobody.

/// A message's text in plain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// The text, without our own mention.
    pub text: String,
    /// Whether we were mentioned.
    pub mention: bool,
}

/// Resolves `text`; `me` is our own user id.
pub fn plain(text: &str, me: &str) -> Plain {
    let mut out = String::with_capacity(text.len());
    let mut mention = false;
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        let (before, after) = rest.split_at(open);
        out.push_str(&unescape(before));
        let Some(close) = after.find('>') else {
            rest = after;
            break;
        };
        let token = &after[1..close];
        if is_mention_of(token, me) {
            mention = true;
            // The word before and the word after stay apart by one space.
            if out.ends_with(' ') {
                rest = after[close + 1..].trim_start_matches(' ');
                continue;
            }
        } else {
            out.push_str(&resolve(token));
        }
        rest = &after[close + 1..];
    }
    out.push_str(&unescape(rest));
    let text = if mention { out.trim().to_owned() } else { out };
    Plain { text, mention }
}

fn is_mention_of(token: &str, me: &str) -> bool {
    token.strip_prefix('@').is_some_and(|user| user.split('|').next() == Some(me))
}

/// The words for a token without its angle brackets.
fn resolve(token: &str) -> String {
    let (target, label) =
        token.split_once('|').map_or((token, None), |(target, label)| (target, Some(unescape(label))));
    let named = |mark: char, id: &str| {
        format!("{mark}{}", label.clone().unwrap_or_else(|| id.to_owned()).trim_start_matches(mark))
    };
    match target.chars().next() {
        Some('@') => named('@', &target[1..]),
        Some('#') => named('#', &target[1..]),
        Some('!') => special(&target[1..], label.as_deref()),
        _ => link(&unescape(target), label.as_deref()),
    }
}

fn special(target: &str, label: Option<&str>) -> String {
    let fallback = label.map(|label| label.trim_start_matches('@').to_owned());
    if target.starts_with("date^") {
        return fallback.unwrap_or_default();
    }
    let name = target.split('^').next_back().unwrap_or(target);
    format!("@{}", fallback.unwrap_or_else(|| name.to_owned()))
}

fn link(url: &str, label: Option<&str>) -> String {
    let address = url.strip_prefix("mailto:").unwrap_or(url);
    match label {
        Some(label) if label != url && label != address && !url.ends_with(&format!("//{label}")) => {
            format!("{label} ({address})")
        }
        _ => address.to_owned(),
    }
}

/// Undoes [`escape`](super::markdown::escape), once.
pub(super) fn unescape(text: &str) -> String {
    if text.contains('&') {
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // holds: K-2
    #[test]
    fn a_mention_is_found_anywhere_and_taken_out() {
        let cases = [
            ("<@U1> hi", "hi", true),
            ("<@U1|bot> hi", "hi", true),
            ("hi <@U1> there", "hi there", true),
            ("hi <@U1>", "hi", true),
            ("<@U1>", "", true),
            ("<@U12> hi", "@U12 hi", false),
            ("<@U2|ann> hi", "@ann hi", false),
        ];
        for (text, expected, mention) in cases {
            assert_eq!(plain(text, "U1"), Plain { text: expected.into(), mention }, "{text}");
        }
    }

    #[test]
    fn tokens_become_words_and_entities_come_last() {
        let cases = [
            ("see <https://a.b/c?x=1&amp;y=2>", "see https://a.b/c?x=1&y=2"),
            ("<https://a.b|the page>", "the page (https://a.b)"),
            ("<https://a.b|a.b>", "https://a.b"),
            ("<mailto:a@b.c|a@b.c>", "a@b.c"),
            ("<#C1|general> <#C2>", "#general #C2"),
            ("<!here> <!subteam^S1|@devs> <!date^1^{date}|today>", "@here @devs today"),
            ("a &lt;b&gt; &amp;amp; c", "a <b> &amp; c"),
            ("1 < 2", "1 < 2"),
            ("&lt;@U1&gt; typed", "<@U1> typed"),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(text, "U1").text, expected, "{text}");
        }
        assert!(!plain("&lt;@U1&gt; typed", "U1").mention);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[<>@#!|&;a-zA-Z0-9:/ \\n^é]*") {
            let _plain = plain(&text, "U1");
        }
    }
}
