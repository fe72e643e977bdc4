//! Text within a block: emphasis, code, links, and characters that must not become any of them.

use super::escape::{APART, escape};

/// A link whose address is longer is shown as text, so that a link never has to be cut.
const LONGEST_URL: usize = 1_000;
/// How much of a link's label is kept.
const LONGEST_LABEL: usize = 500;

/// The kinds of emphasis that Slack knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Bold,
    Italic,
    Strike,
}

/// A line of Slack's markup in the making.
#[derive(Debug, Default)]
pub(super) struct Inline {
    out: String,
    /// How deep we are in each kind of emphasis; only the outermost is written.
    depth: [usize; 3],
    /// A mark was just closed: a letter right behind it would undo it.
    closed: bool,
}

impl Inline {
    /// What was written so far; starts over.
    pub(super) fn take(&mut self) -> String {
        self.closed = false;
        std::mem::take(&mut self.out)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Plain text, in which nothing may turn into markup.
    pub(super) fn text(&mut self, text: &str) {
        for piece in text.split_inclusive(char::is_whitespace) {
            let guarded =
                if is_address(piece) { escape(piece) } else { guard(&escape(piece), self.out.chars().last()) };
            self.raw(&guarded);
        }
    }

    /// Text as it is written in the source, escaped only.
    pub(super) fn source(&mut self, text: &str) {
        self.raw(&escape(text));
    }

    pub(super) fn code(&mut self, code: &str) {
        self.border();
        self.out.push_str(&super::escape::inline_code(code));
        self.closed = true;
    }

    pub(super) fn line_break(&mut self) {
        self.out.push('\n');
        self.closed = false;
    }

    pub(super) fn open(&mut self, mark: Mark) {
        self.depth[mark as usize] += 1;
        if self.depth[mark as usize] == 1 {
            self.border();
            self.out.push(mark.sign());
        }
    }

    pub(super) fn close(&mut self, mark: Mark) {
        self.depth[mark as usize] -= 1;
        if self.depth[mark as usize] == 0 {
            self.out.push(mark.sign());
            self.closed = true;
        }
    }

    /// A link, or its words where the address is none that people should click on.
    pub(super) fn link(&mut self, url: &str, label: &str) {
        let label: String =
            label.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_LABEL).collect();
        let bare = label.is_empty() || label == url || url.strip_prefix("mailto:") == Some(&label);
        if !is_clickable(url) || url.len() > LONGEST_URL {
            self.text(&if bare { url.to_owned() } else { format!("{label} ({url})") });
            return;
        }
        let (url, label) = (address(url), escape(&label.replace('|', "∣")));
        self.border();
        self.out.extend(["<", &url, if bare { "" } else { "|" }, if bare { "" } else { &label }, ">"]);
    }

    fn raw(&mut self, text: &str) {
        if self.closed && text.starts_with(char::is_alphanumeric) {
            self.out.push(APART);
        }
        if !text.is_empty() {
            self.closed = false;
        }
        self.out.push_str(text);
    }

    /// Sets what comes now off from a letter before it.
    fn border(&mut self) {
        if self.closed || self.out.ends_with(char::is_alphanumeric) {
            self.out.push(APART);
        }
        self.closed = false;
    }
}

impl Mark {
    fn sign(self) -> char {
        match self {
            Self::Bold => '*',
            Self::Italic => '_',
            Self::Strike => '~',
        }
    }
}

/// Keeps signs at a word's border from being read as markup; within a word Slack leaves them alone.
fn guard(text: &str, mut before: Option<char>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let inside =
            before.is_some_and(char::is_alphanumeric) && rest.peek().is_some_and(|next| next.is_alphanumeric());
        if "*_~`".contains(c) && (c == '`' || !inside) {
            out.extend([APART, c, APART]);
        } else {
            out.push(c);
        }
        before = Some(c);
    }
    out
}

/// A bare address in the text; Slack makes it clickable, and it must stay exact.
fn is_address(word: &str) -> bool {
    let word = word.trim_start_matches(['(', '"', '\'']);
    word.starts_with("http://") || word.starts_with("https://")
}

fn is_clickable(url: &str) -> bool {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https" | "mailto"))
}

/// An address in which nothing ends the token that it stands in.
fn address(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for c in url.chars() {
        match c {
            '<' => out.push_str("%3C"),
            '>' => out.push_str("%3E"),
            '|' => out.push_str("%7C"),
            '&' => out.push_str("&amp;"),
            c if c.is_whitespace() || c.is_control() => out.push_str("%20"),
            c => out.push(c),
        }
    }
    out
}
