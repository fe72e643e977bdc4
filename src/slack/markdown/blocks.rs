//! From Markdown's events to blocks of Slack's markup.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::escape::{escape, guard_fences};
use super::inline::{Inline, Mark};
use super::split::Block;
use super::table::Table;

/// Reads Markdown into blocks.
pub(super) fn read(markdown: &str) -> Vec<Block> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut reader = Reader::default();
    for event in Parser::new_ext(markdown, options) {
        reader.on(event);
    }
    reader.end_leaf();
    reader.blocks
}

/// What a line stands in.
#[derive(Debug)]
enum Container {
    Quote,
    List {
        next: Option<u64>,
    },
    /// Its marker, until it has been written.
    Item {
        marker: Option<String>,
        width: usize,
    },
}

#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    inline: Inline,
    containers: Vec<Container>,
    code: Option<String>,
    table: Option<Table>,
    /// The address and the label of the link or image that is being read.
    links: Vec<(String, String)>,
    heading: bool,
}

impl Reader {
    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text(&text);
            }
            Event::Code(code) => self.inline_code(&code),
            Event::Html(html) | Event::InlineHtml(html) => self.html(&html),
            Event::SoftBreak | Event::HardBreak => self.line_break(),
            Event::Rule => self.push("──────────"),
            Event::TaskListMarker(done) => self.mark_task(done),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.heading = level <= HeadingLevel::H6;
                self.inline.open(Mark::Bold);
            }
            Tag::BlockQuote(_) => self.enter(Container::Quote),
            Tag::List(first) => self.enter(Container::List { next: first }),
            Tag::Item => self.start_item(),
            Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => {
                self.end_leaf();
                self.code = Some(String::new());
            }
            Tag::Table(_) => self.table = Some(Table::default()),
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.rows.push(Vec::new());
                }
            }
            Tag::Strong => self.inline.open(Mark::Bold),
            Tag::Emphasis => self.inline.open(Mark::Italic),
            Tag::Strikethrough => self.inline.open(Mark::Strike),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.links.push((dest_url.to_string(), String::new()));
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                self.inline.close(Mark::Bold);
                self.heading = false;
                self.end_leaf();
            }
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.end_leaf(),
            TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item => {
                self.end_leaf();
                self.containers.pop();
            }
            TagEnd::CodeBlock => {
                let code = self.code.take().unwrap_or_default();
                self.blocks.push(Block::Code(guard_fences(&escape(code.trim_end_matches('\n')))));
            }
            TagEnd::TableCell => self.end_cell(),
            TagEnd::Table => self.blocks.extend(self.table.take().and_then(Table::into_block)),
            TagEnd::Strong => self.inline.close(Mark::Bold),
            TagEnd::Emphasis => self.inline.close(Mark::Italic),
            TagEnd::Strikethrough => self.inline.close(Mark::Strike),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            _ => {}
        }
    }

    fn enter(&mut self, container: Container) {
        self.end_leaf();
        self.containers.push(container);
    }

    fn start_item(&mut self) {
        self.end_leaf();
        let marker = match self.containers.last_mut() {
            Some(Container::List { next: Some(number) }) => {
                *number += 1;
                format!("{}. ", *number - 1)
            }
            _ => "• ".to_owned(),
        };
        let width = marker.chars().count();
        self.containers.push(Container::Item { marker: Some(marker), width });
    }

    fn mark_task(&mut self, done: bool) {
        if let Some(Container::Item { marker, .. }) = self.containers.last_mut() {
            *marker = Some(if done { "☑ " } else { "☐ " }.to_owned());
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(code) = &mut self.code {
            code.push_str(text);
        } else if let Some((_, label)) = self.links.last_mut() {
            label.push_str(text);
        } else if self.table.is_some() {
            self.inline.source(text);
        } else {
            self.inline.text(text);
        }
    }

    fn inline_code(&mut self, code: &str) {
        if let Some((_, label)) = self.links.last_mut() {
            label.push_str(code);
        } else if self.table.is_some() {
            self.inline.source(code);
        } else {
            self.inline.code(code);
        }
    }

    fn html(&mut self, html: &str) {
        self.text(html.trim_end_matches('\n'));
        if html.ends_with('\n') {
            self.line_break();
        }
    }

    fn line_break(&mut self) {
        match self.links.last_mut() {
            Some((_, label)) => label.push(' '),
            // Slack's bold ends with its line.
            None if self.heading || self.table.is_some() => self.inline.text(" "),
            None => self.inline.line_break(),
        }
    }

    fn end_link(&mut self) {
        let Some((url, label)) = self.links.pop() else { return };
        if let Some((_, outer)) = self.links.last_mut() {
            // An image within a link: its words are the link's.
            outer.push_str(if label.is_empty() { &url } else { &label });
        } else if self.table.is_some() {
            self.inline.source(&if label.is_empty() || label == url { url } else { format!("{label} ({url})") });
        } else {
            self.inline.link(&url, &label);
        }
    }

    fn end_cell(&mut self) {
        let cell = unescaped(&self.inline.take());
        if let Some(row) = self.table.as_mut().and_then(|table| table.rows.last_mut()) {
            row.push(cell.trim().to_owned());
        }
    }

    fn end_leaf(&mut self) {
        if !self.inline.is_empty() {
            let text = self.inline.take();
            self.push(text.trim_end_matches('\n'));
        }
    }

    /// Writes a leaf's lines behind what they stand in.
    fn push(&mut self, text: &str) {
        let (mut first, mut others) = (String::new(), String::new());
        let mut begins_item = false;
        for container in &mut self.containers {
            match container {
                Container::Quote => {
                    first.push_str("> ");
                    others.push_str("> ");
                }
                Container::List { .. } => {}
                Container::Item { marker, width } => {
                    let indent = " ".repeat(*width);
                    begins_item |= marker.is_some();
                    first.push_str(marker.take().as_deref().unwrap_or(&indent));
                    others.push_str(&indent);
                }
            }
        }
        let text = format!("{first}{}", text.replace('\n', &format!("\n{others}")));
        let follows = matches!(self.blocks.last(), Some(Block::Text(_) | Block::Close(_)));
        let nested = self.containers.iter().filter(|container| matches!(container, Container::Item { .. })).count() > 0;
        let block =
            if follows && begins_item && nested && self.after_item() { Block::Close(text) } else { Block::Text(text) };
        self.blocks.push(block);
    }

    /// Whether the block before is an item too, so that the list's lines stand close together.
    fn after_item(&self) -> bool {
        let marks = |line: &str| {
            let line = line.trim_start_matches(['>', ' ']);
            let numbered = line.split_once(". ").is_some_and(|(number, _)| number.parse::<u64>().is_ok());
            numbered || ["• ", "☐ ", "☑ "].iter().any(|marker| line.starts_with(marker))
        };
        match self.blocks.last() {
            Some(Block::Text(text) | Block::Close(text)) => text.lines().next().is_some_and(marks),
            _ => false,
        }
    }
}

/// A cell is escaped again with its table.
fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}
