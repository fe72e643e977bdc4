//! Text within a block: emphasis, code, links, and characters that must not become any of them.

use super::escape::{APART, escape};

/// A link that takes more bytes than this is shown as text, so that a link never has to be cut.
const LONGEST_LINK: usize = 1_500;

/// The kinds of emphasis that Slack knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Bold,
    Italic,
    Strike,
}

/// A kind of emphasis that we are in.
#[derive(Debug)]
struct Open {
    mark: Mark,
    /// Whether its sign stands on this line. It is written right before the first words, for a sign alone would be a letter.
    written: bool,
}

/// Lines of Slack's markup in the making.
#[derive(Debug, Default)]
pub(super) struct Inline {
    out: String,
    /// The emphasis we are in, the outermost first.
    marks: Vec<Open>,
    /// A mark was just closed: a letter right behind it would undo it.
    closed: bool,
}

impl Inline {
    /// What was written so far; starts over, in the same emphasis.
    pub(super) fn take(&mut self) -> String {
        self.close_all();
        self.closed = false;
        std::mem::take(&mut self.out)
    }

    /// Plain text, in which nothing may turn into markup; addresses become links.
    pub(super) fn text(&mut self, text: &str) {
        for piece in text.split_inclusive(char::is_whitespace) {
            if let Some((before, url, after)) = find_address(piece) {
                self.words(before);
                self.link(url, "");
                self.text(after);
            } else {
                self.words(piece);
            }
        }
    }

    /// Code without a backtick.
    pub(super) fn code(&mut self, code: &str) {
        self.write_marks();
        self.border();
        self.out.extend(["`", &escape(code), "`"]);
        self.closed = true;
    }

    /// Ends the line. Slack's emphasis ends with it, so it begins again on the next one.
    pub(super) fn line_break(&mut self) {
        self.close_all();
        self.out.push('\n');
        self.closed = false;
    }

    pub(super) fn open(&mut self, mark: Mark) {
        self.marks.push(Open { mark, written: false });
    }

    /// Closes what was opened last.
    pub(super) fn close(&mut self) {
        if let Some(Open { mark, written: true }) = self.marks.pop() {
            self.out.push(mark.sign());
            self.closed = true;
        }
    }

    /// A link, or its words and its address where that is none that people should click on.
    pub(super) fn link(&mut self, url: &str, label: &str) {
        let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
        let bare = label.is_empty() || label == url || url.strip_prefix("mailto:") == Some(&label);
        let shown = if bare { String::new() } else { format!("|{}", escape(&label.replace('|', "∣"))) };
        let link = format!("<{}{shown}>", address(url));
        if is_clickable(url) && link.len() <= LONGEST_LINK {
            self.write_marks();
            self.border();
            self.out.push_str(&link);
        } else if !bare {
            self.words(&format!("{label} ("));
            self.link(url, "");
            self.words(")");
        } else if is_clickable(url) {
            // It must stay exact.
            self.raw(&escape(url));
        } else {
            self.words(url);
        }
    }

    /// Text without links.
    fn words(&mut self, text: &str) {
        let opened = !text.trim().is_empty() && self.write_marks();
        let guarded = guard(&escape(text), self.out.chars().last(), opened);
        self.raw(&guarded);
    }

    fn raw(&mut self, text: &str) {
        let begins_line = self.out.is_empty() || self.out.ends_with('\n');
        // Slack takes the entity too for a quote's sign.
        if (self.closed && text.starts_with(char::is_alphanumeric)) || (begins_line && text.starts_with("&gt;")) {
            self.out.push(APART);
        }
        if !text.is_empty() {
            self.closed = false;
        }
        self.out.push_str(text);
    }

    /// Writes the signs of the emphasis we are in where they are missing, each kind once; tells whether it wrote any.
    fn write_marks(&mut self) -> bool {
        let mut wrote = false;
        for at in 0..self.marks.len() {
            let mark = self.marks[at].mark;
            if !self.marks.iter().any(|open| open.written && open.mark == mark) {
                self.border();
                self.out.push(mark.sign());
                self.marks[at].written = true;
                wrote = true;
            }
        }
        wrote
    }

    /// Closes what is written, for the time being. Signs count only right behind a word.
    fn close_all(&mut self) {
        self.out.truncate(self.out.trim_end_matches(' ').len());
        for open in self.marks.iter_mut().rev().filter(|open| open.written) {
            self.out.push(open.mark.sign());
            open.written = false;
        }
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

/// Keeps signs at a word's border from being read as markup; within a word Slack leaves them alone. Right behind an opening sign nothing
/// can be closed, and that sign needs its word.
fn guard(text: &str, mut before: Option<char>, opened: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let inside =
            before.is_some_and(char::is_alphanumeric) && rest.peek().is_some_and(|next| next.is_alphanumeric());
        if "*_~`".contains(c) && (c == '`' || !inside) {
            if !(opened && out.is_empty()) {
                out.push(APART);
            }
            out.extend([c, APART]);
        } else {
            out.push(c);
        }
        before = Some(c);
    }
    out
}

/// The first address that stands bare in a word, with what is before and behind it, such as the sentence's full stop.
fn find_address(word: &str) -> Option<(&str, &str, &str)> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| word.contains(scheme))?;
    let (before, from) = word.split_at(word.find(scheme)?);
    let mut url = from.split(|c: char| c.is_whitespace() || "<>\"`".contains(c)).next()?;
    while let Some(last) = url.chars().last() {
        let closes = last == ')' && url.matches(')').count() > url.matches('(').count();
        if !closes && !".,;:!?'*_~]".contains(last) {
            break;
        }
        url = &url[..url.len() - last.len_utf8()];
    }
    let whole = url.len() > scheme.len() && !before.ends_with(|c: char| c.is_ascii_alphanumeric());
    whole.then(|| (before, url, &from[url.len()..]))
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
