//! Secrets that can't be printed, and text from which they are taken out.

pub use secrecy::{ExposeSecret, SecretString};

/// The beginnings of Slack's tokens and of those that we make for agents; what follows one is never shown.
const TOKEN_STARTS: [&str; 7] = ["xoxb-", "xoxp-", "xoxa-", "xoxe", "xapp-", "xwfp-", "hlmcp-"];

/// Whether `sent` is the secret, found out in a time that tells nothing of where the two differ.
pub fn is_same(secret: &SecretString, sent: &str) -> bool {
    let (secret, sent) = (secret.expose_secret().as_bytes(), sent.as_bytes());
    secret.len() == sent.len() && secret.iter().zip(sent).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

/// Replaces every Slack token, agent's token, bearer value and connection ticket in `text` by `…`.
///
/// For text that comes from outside (an agent's stderr, an error with a URL in it) before it is logged or shown.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, keep)) = next_secret(rest) {
        out.push_str(&rest[..start + keep]);
        let tail = &rest[start + keep..];
        let end = tail.find(|c: char| !is_token_char(c)).unwrap_or(tail.len());
        // Only the beginning, as in a sentence about what tokens look like, is no secret.
        if end > 0 {
            out.push('…');
        }
        rest = &tail[end..];
    }
    out.push_str(rest);
    out
}

/// Where the first secret begins, and how much of its beginning may stay readable.
fn next_secret(text: &str) -> Option<(usize, usize)> {
    let tokens = TOKEN_STARTS.iter().map(|start| (*start, start.len()));
    let marks = ["Bearer ", "ticket=", "token=", "api_key="].into_iter().map(|mark| (mark, mark.len()));
    tokens.chain(marks).filter_map(|(mark, keep)| text.find(mark).map(|at| (at, keep))).min()
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.~+/=%".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_is_the_same() {
        let secret = SecretString::from("secret");
        assert!(is_same(&secret, "secret"));
        for other in ["secreT", "secret ", "secre", ""] {
            assert!(!is_same(&secret, other), "{other}");
        }
    }

    #[test]
    fn tokens_tickets_and_bearers_are_taken_out() {
        let cases = [
            ("plain words", "plain words"),
            ("a bot token (xoxb-…) is no xapp-, you see", "a bot token (xoxb-…) is no xapp-, you see"),
            ("bad xoxb-1-abc.", "bad xoxb-…"),
            ("wss://h/link/?ticket=abc&app_id=1", "wss://h/link/?ticket=…&app_id=1"),
            ("Authorization: Bearer abc.def, next", "Authorization: Bearer …, next"),
            ("xapp-1-A and xoxp-2", "xapp-… and xoxp-…"),
        ];
        for (text, expected) in cases {
            assert_eq!(redact(text), expected);
        }
    }
}
