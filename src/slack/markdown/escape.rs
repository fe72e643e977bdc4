//! Making text harmless: the three entities.

/// Zero width: it keeps characters apart without being seen.
pub(super) const APART: char = '\u{200b}';

/// Escapes the three characters that mean something in Slack's markup, once.
pub fn escape(plain: &str) -> String {
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_is_escaped_once() {
        assert_eq!(escape("<&lt;>"), "&lt;&amp;lt;&gt;");
    }
}
