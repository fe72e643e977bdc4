//! Packing blocks into parts, and cutting those that are longer than a part.

/// A block of Slack's markup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    /// Lines of text.
    Text(String),
    /// A list's item or another block that stands close to the one before.
    Close(String),
    /// The content of a code block, escaped.
    Code(String),
}

const FENCE: &str = "```";
/// The characters that a code block's fences take.
const FENCES: usize = 8;

impl Block {
    fn written(&self) -> String {
        match self {
            Self::Text(text) | Self::Close(text) => text.clone(),
            Self::Code(code) => format!("{FENCE}\n{code}\n{FENCE}"),
        }
    }

    fn separator(&self) -> &'static str {
        if matches!(self, Self::Close(_)) { "\n" } else { "\n\n" }
    }
}

/// Packs `blocks` into parts of at most `limit` characters.
pub(super) fn pack(blocks: Vec<Block>, limit: usize) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut part = String::new();
    for block in blocks {
        let text = block.written();
        let separator = if part.is_empty() { "" } else { block.separator() };
        if length(&part) + separator.len() + length(&text) <= limit {
            part.push_str(separator);
            part.push_str(&text);
            continue;
        }
        flush(&mut part, &mut parts);
        if length(&text) <= limit {
            part = text;
            continue;
        }
        let mut pieces = cut_block(&block, limit);
        part = pieces.pop().unwrap_or_default();
        parts.append(&mut pieces);
    }
    flush(&mut part, &mut parts);
    parts
}

fn flush(part: &mut String, parts: &mut Vec<String>) {
    let done = std::mem::take(part);
    if !done.trim().is_empty() {
        parts.push(done);
    }
}

fn cut_block(block: &Block, limit: usize) -> Vec<String> {
    match block {
        Block::Text(text) | Block::Close(text) => cut(text, limit, true),
        Block::Code(code) => {
            let pieces = cut(code, limit.saturating_sub(FENCES), false);
            pieces.into_iter().map(|piece| format!("{FENCE}\n{piece}\n{FENCE}")).collect()
        }
    }
}

/// Cuts text into pieces of at most `limit` characters: at a line's end in the second half, else, in prose, at a space, else anywhere
/// between two characters that belong to no link or entity.
fn cut(text: &str, limit: usize, prose: bool) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while length(rest) > limit {
        let most = fitting(rest, limit);
        let head = &rest[..most];
        let line = head.rfind('\n').filter(|at| *at > most / 2);
        let at = line.or_else(|| if prose { space(head) } else { None }).unwrap_or(most);
        pieces.push(rest[..at].to_owned());
        // The character at which it is cut is the border itself.
        let border = rest[at..].chars().next().filter(|c| at < most && (*c == '\n' || *c == ' '));
        rest = &rest[at + border.map_or(0, char::len_utf8)..];
    }
    pieces.push(rest.to_owned());
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

/// The last space of the second half that stands in no link.
fn space(head: &str) -> Option<usize> {
    let spaces = head.rmatch_indices(' ').map(|(at, _)| at).take_while(|at| *at > head.len() / 2);
    spaces.into_iter().find(|at| !in_token(&head[..*at]))
}

fn in_token(before: &str) -> bool {
    before.rfind('<') > before.rfind('>')
}

/// How many bytes of `text` fit into `limit` characters without cutting a link or an entity.
fn fitting(text: &str, limit: usize) -> usize {
    let most = text.char_indices().nth(limit).map_or(text.len(), |(at, _)| at);
    let head = &text[..most];
    let open = head.rfind('<').filter(|_| in_token(head));
    let entity = head.rfind('&').filter(|at| most - at < 6 && !head[*at..].contains(';'));
    let at = open.or(entity).unwrap_or(most);
    // A token longer than a whole part can't be kept whole.
    if at == 0 { most } else { at }
}

fn length(text: &str) -> usize {
    text.chars().count()
}
