//! From Markdown's events to blocks of Slack's markup.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd, TextMergeStream};

use super::escape::escape;
use super::inline::{Inline, Mark};
use super::split::Block;
use super::table::Table;

/// A longer code span is shown as a block, which can be cut.
const LONGEST_SPAN: usize = 500;

/// Reads Markdown into blocks.
pub(super) fn read(markdown: &str) -> Vec<Block> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut reader = Reader::default();
    for event in TextMergeStream::new(Parser::new_ext(markdown, options)) {
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

/// A code block that is being read.
#[derive(Debug, Default)]
struct Code {
    /// What stands behind its opening fence: a language's name, as a rule.
    info: String,
    text: String,
}

#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    inline: Inline,
    containers: Vec<Container>,
    code: Option<Code>,
    table: Option<Table>,
    /// The address and the label of the link or image that is being read.
    links: Vec<(String, String)>,
    /// Whether the block before begins an item, so that the list's lines stand close together.
    after_item: bool,
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
            Event::Rule => {
                self.end_leaf();
                self.push("──────────");
            }
            Event::TaskListMarker(done) => self.mark_task(done),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.end_leaf(),
            Tag::Heading { .. } => {
                self.end_leaf();
                self.inline.open(Mark::Bold);
            }
            Tag::BlockQuote(_) => self.enter(Container::Quote),
            Tag::List(first) => self.enter(Container::List { next: first }),
            Tag::Item => self.start_item(),
            Tag::CodeBlock(kind) => {
                self.end_leaf();
                let info = if let CodeBlockKind::Fenced(info) = kind { info.to_string() } else { String::new() };
                self.code = Some(Code { info, text: String::new() });
            }
            Tag::Table(alignments) => {
                self.end_leaf();
                self.table = Some(Table::new(alignments));
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.start_row();
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
                self.inline.close();
                self.end_leaf();
            }
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.end_leaf(),
            TagEnd::Item => {
                self.end_leaf();
                self.write_marker();
                self.containers.pop();
            }
            TagEnd::BlockQuote(_) | TagEnd::List(_) => {
                self.end_leaf();
                self.containers.pop();
                // Lists that follow one another stand apart.
                self.after_item &= self.containers.iter().any(|container| matches!(container, Container::Item { .. }));
            }
            TagEnd::CodeBlock => self.end_code(),
            TagEnd::TableCell => {
                if let Some(table) = &mut self.table {
                    table.end_cell();
                }
            }
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    self.push_block(table.into_block());
                }
            }
            TagEnd::Strong | TagEnd::Emphasis | TagEnd::Strikethrough => self.inline.close(),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            _ => {}
        }
    }

    /// Writes a code block. What stands behind its opening fence is text if it is more than a word, or if there is no code: then the
    /// fence was to close the block before, or nothing at all.
    fn end_code(&mut self) {
        let Code { info, text } = self.code.take().unwrap_or_default();
        let info = info.trim();
        if info.contains(char::is_whitespace) || text.trim().is_empty() {
            self.inline.text(info);
            self.end_leaf();
        }
        if !text.trim().is_empty() {
            self.push_block(Block::Code(escape(text.strip_suffix('\n').unwrap_or(&text))));
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

    /// What takes text as it is, without markup: a code block, a link's label, a table's cell.
    fn plain(&mut self) -> Option<&mut String> {
        let label = self.links.last_mut().map(|(_, label)| label);
        self.code.as_mut().map(|code| &mut code.text).or(label).or(self.table.as_mut().map(|table| &mut table.cell))
    }

    fn text(&mut self, text: &str) {
        match self.plain() {
            Some(plain) => plain.push_str(text),
            None => self.inline.text(text),
        }
    }

    /// A code span, or a block where Slack's markup has no span for it.
    fn inline_code(&mut self, code: &str) {
        match self.plain() {
            Some(plain) => plain.push_str(code),
            None if code.contains('`') || code.chars().count() > LONGEST_SPAN => {
                self.end_leaf();
                self.push_block(Block::Code(escape(code)));
            }
            None => self.inline.code(code),
        }
    }

    /// HTML as it is written, but for its line breaks, which tables have no other way to say.
    fn html(&mut self, html: &str) {
        let line = html.trim_end_matches('\n');
        let breaks = ["<br>", "<br/>", "<br />"].contains(&line);
        if !breaks {
            self.text(line);
        }
        if breaks || html.ends_with('\n') {
            self.line_break();
        }
    }

    fn line_break(&mut self) {
        match self.plain() {
            Some(plain) => plain.push(' '),
            None => self.inline.line_break(),
        }
    }

    fn end_link(&mut self) {
        let Some((url, label)) = self.links.pop() else { return };
        let words = if label.is_empty() { &url } else { &label };
        if let Some((_, outer)) = self.links.last_mut() {
            // An image within a link: its words are the link's.
            outer.push_str(words);
        } else if let Some(table) = &mut self.table {
            table.cell.push_str(words);
            if *words != url {
                table.cell.extend([" (", &url, ")"]);
            }
        } else {
            self.inline.link(&url, &label);
        }
    }

    fn end_leaf(&mut self) {
        let text = self.inline.take();
        let text = text.trim_matches([' ', '\n']);
        if !text.is_empty() {
            self.push(text);
        }
    }

    /// Writes a block that no item's marker can stand before.
    fn push_block(&mut self, block: Block) {
        self.write_marker();
        self.after_item = false;
        self.blocks.push(block);
    }

    /// Writes an item's marker alone if nothing has been written behind it.
    fn write_marker(&mut self) {
        if self.containers.iter().any(|container| matches!(container, Container::Item { marker: Some(_), .. })) {
            self.push("");
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
        let text = text.trim_end().to_owned();
        let close = begins_item && self.after_item;
        self.after_item = begins_item;
        self.blocks.push(if close { Block::Close(text) } else { Block::Text(text) });
    }
}
