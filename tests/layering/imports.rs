//! Which rooms a source file names, whatever way it reaches them.

use std::path::Path;

use crate::tokens::Token;

/// A place where a file names another room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// The room; `*` or `self` where the file takes the whole crate.
    pub(crate) room: String,
    /// Where, from 1.
    pub(crate) line: usize,
}

/// The module path of a file below `src/`: `slack/socket.rs` is `["slack", "socket"]`.
pub(crate) fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if path.last().is_some_and(|name| matches!(name.as_str(), "mod" | "lib" | "main")) {
        path.pop();
    }
    path
}

/// Every path in `tokens` that starts at the crate's root: `crate::x`, our own name, or enough `super`s.
pub(crate) fn imports(module: &[String], tokens: &[Token]) -> Vec<Import> {
    let mut found = Vec::new();
    let mut inline = InlineModules::default();
    let mut at = 0;
    while at < tokens.len() {
        inline.see(tokens, at);
        let end = root_path(tokens, at, module.len() + inline.depth());
        if let Some(end) = end {
            found.extend(rooms_after(tokens, end));
        }
        at = end.unwrap_or(at + 1);
    }
    found
}

/// Where the path goes on after the crate's root, if one starts at `at` and leads there.
fn root_path(tokens: &[Token], at: usize, depth: usize) -> Option<usize> {
    let follows_path = at > 1 && text(tokens, at - 1) == "::" && text(tokens, at - 2) != "self";
    match text(tokens, at) {
        "crate" => Some(at + 1),
        "hitchline" if !follows_path => Some(at + 1),
        "super" if !follows_path && depth > 0 => {
            let climbs = |step| text(tokens, at + 2 * step) == "super" && separator(tokens, at + 2 * step);
            (0..depth).all(climbs).then_some(at + 2 * depth - 1)
        }
        _ => None,
    }
}

/// Whether the name at `at` is followed by more of the path, or by a new name for it.
fn separator(tokens: &[Token], at: usize) -> bool {
    text(tokens, at + 1) == "::" || text(tokens, at + 1) == "as"
}

/// The rooms named after the root: one, or each of a group; nothing for `pub(crate)`.
fn rooms_after(tokens: &[Token], at: usize) -> Vec<Import> {
    let import = |at: usize| Import { room: text(tokens, at).to_owned(), line: line(tokens, at) };
    match (text(tokens, at), text(tokens, at + 1)) {
        ("as", _) => vec![Import { room: "self".to_owned(), line: line(tokens, at) }],
        ("::", "{") => group(tokens, at + 2).into_iter().map(import).collect(),
        ("::", _) => vec![import(at + 1)],
        _ => Vec::new(),
    }
}

/// Where each element of the group that opened before `at` starts.
fn group(tokens: &[Token], at: usize) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut depth = 0_usize;
    let mut expects_element = true;
    for position in at..tokens.len() {
        match text(tokens, position) {
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            "{" => depth += 1,
            "," if depth == 0 => expects_element = true,
            _ if expects_element => {
                starts.push(position);
                expects_element = false;
            }
            _ => {}
        }
    }
    starts
}

fn text(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| token.text.as_str())
}

fn line(tokens: &[Token], at: usize) -> usize {
    tokens.get(at).map_or(0, |token| token.line)
}

/// The `mod x { … }` that we are inside of: each is one more `super` away from the root.
#[derive(Debug, Default)]
struct InlineModules {
    braces: usize,
    opened_at: Vec<usize>,
}

impl InlineModules {
    fn see(&mut self, tokens: &[Token], at: usize) {
        match text(tokens, at) {
            "{" => {
                if at >= 2 && text(tokens, at - 2) == "mod" {
                    self.opened_at.push(self.braces);
                }
                self.braces += 1;
            }
            "}" => {
                self.braces = self.braces.saturating_sub(1);
                self.opened_at.pop_if(|braces| *braces == self.braces);
            }
            _ => {}
        }
    }

    fn depth(&self) -> usize {
        self.opened_at.len()
    }
}
