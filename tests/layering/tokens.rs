//! Just enough of Rust's lexical grammar to see names and punctuation, and nothing of comments and literals.

/// A name or a punctuation mark of Rust source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// A name or number, `::`, or one punctuation character.
    pub(crate) text: String,
    /// The line it stands on, from 1.
    pub(crate) line: usize,
}

/// Cuts source into tokens; comments, strings, characters and lifetimes leave none.
pub(crate) fn tokenize(source: &str) -> Vec<Token> {
    let mut rest = source;
    let mut line = 1;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (length, is_token) = next(rest, first);
        let (text, tail) = rest.split_at(length);
        if is_token {
            tokens.push(Token { text: text.trim_start_matches("r#").to_owned(), line });
        }
        line += text.matches('\n').count();
        rest = tail;
    }
    tokens
}

/// The length of what `rest` starts with, and whether it is a token.
fn next(rest: &str, first: char) -> (usize, bool) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), false);
    }
    if let Some(length) = string(rest) {
        return (length, false);
    }
    match first {
        '\'' => (character_or_lifetime(rest), false),
        ':' if rest.starts_with("::") => (2, true),
        _ if is_name(first) => (name(rest), true),
        _ => (first.len_utf8(), !first.is_whitespace()),
    }
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn name(rest: &str) -> usize {
    let raw = if rest.starts_with("r#") { 2 } else { 0 };
    rest[raw..].find(|character| !is_name(character)).map_or(rest.len(), |length| raw + length)
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a string literal of any kind (`"`, `b"`, `c"`, `r#"`, …), if one starts here.
fn string(rest: &str) -> Option<usize> {
    let prefix = rest.find(|character| !matches!(character, 'b' | 'c' | 'r')).filter(|length| *length <= 2)?;
    let raw = rest[..prefix].contains('r');
    let hashes = rest[prefix..].len() - rest[prefix..].trim_start_matches('#').len();
    let body = prefix + hashes + 1;
    if !rest[prefix + hashes..].starts_with('"') || (hashes > 0 && !raw) {
        return None;
    }
    if raw {
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(rest[body..].find(&end).map_or(rest.len(), |length| body + length + end.len()));
    }
    Some(body + until_unescaped(&rest[body..], '"'))
}

/// The length up to and with the first `end` that no backslash precedes.
fn until_unescaped(rest: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices() {
        if character == end && !escaped {
            return at + end.len_utf8();
        }
        escaped = character == '\\' && !escaped;
    }
    rest.len()
}

/// `'x'` and `'\n'` are characters; a quote and a name without a closing quote is a lifetime.
fn character_or_lifetime(rest: &str) -> usize {
    let mut characters = rest[1..].char_indices().map(|(at, character)| (at + 1, character));
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), _) => 1 + until_unescaped(&rest[1..], '\''),
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1 + name(&rest[1..]),
    }
}
