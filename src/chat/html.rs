//! Markdown as HTML that may be put into the page: no markup of the author's own, no image, and links to the web and to mail alone.

use pulldown_cmark::{Alignment, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};
use url::Url;

/// Where a link may lead.
const SCHEMES: [&str; 3] = ["http", "https", "mailto"];

/// Markdown as an agent writes it.
pub(super) fn of_markdown(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    // A link can't stand in another one.
    let mut in_link = false;
    let events = Parser::new_ext(markdown, options).filter_map(|event| safe(event, &mut in_link));
    let mut written = String::with_capacity(markdown.len() * 3 / 2);
    html::push_html(&mut written, events);
    written
}

/// Plain text, word for word.
pub(super) fn of_text(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text).replace('\n', "<br>\n"))
}

fn safe<'a>(event: Event<'a>, in_link: &mut bool) -> Option<Event<'a>> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        // What stands there in place of the image.
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        Event::Start(Tag::Link { dest_url, .. }) => {
            let opened = opened(&dest_url)?;
            *in_link = true;
            Some(Event::InlineHtml(opened.into()))
        }
        Event::End(TagEnd::Link) => std::mem::take(in_link).then_some(Event::InlineHtml(CowStr::Borrowed("</a>"))),
        // It would become a style, which the page's policy forbids.
        Event::Start(Tag::Table(columns)) => Some(Event::Start(Tag::Table(vec![Alignment::None; columns.len()]))),
        Event::Start(Tag::Heading { level, .. }) => {
            Some(Event::Start(Tag::Heading { level: below(level), id: None, classes: Vec::new(), attrs: Vec::new() }))
        }
        Event::End(TagEnd::Heading(level)) => Some(Event::End(TagEnd::Heading(below(level)))),
        other => Some(other),
    }
}

/// The start of a link, when it leads where a link may.
fn opened(dest: &str) -> Option<String> {
    let url = Url::parse(dest).ok().filter(|url| SCHEMES.contains(&url.scheme()))?;
    Some(format!(r#"<a href="{}" rel="noopener noreferrer" target="_blank">"#, escape(url.as_str())))
}

/// A message's headings stand below those of the page.
fn below(level: HeadingLevel) -> HeadingLevel {
    HeadingLevel::try_from(level as usize + 2).unwrap_or(HeadingLevel::H6)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A link as it is written.
    fn link(to: &str, text: &str) -> String {
        format!(r#"<p><a href="{to}" rel="noopener noreferrer" target="_blank">{text}</a></p>"#)
    }

    #[test]
    fn what_agents_write_is_shown_and_nothing_of_it_is_markup() {
        let cases = [
            ("**bold** `a<b`", "<p><strong>bold</strong> <code>a&lt;b</code></p>".to_owned()),
            ("# Title", "<h3>Title</h3>".to_owned()),
            ("```sh\nls <dir>\n```", "<pre><code class=\"language-sh\">ls &lt;dir&gt;\n</code></pre>".to_owned()),
            ("a <img src=x onerror=alert(1)> b", "<p>a &lt;img src=x onerror=alert(1)&gt; b</p>".to_owned()),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;".to_owned()),
            ("![a cat](https://evil.example/p.png)", "<p>a cat</p>".to_owned()),
            ("[ok](https://a.example/?x=1&y=%22)", link("https://a.example/?x=1&amp;y=%22", "ok")),
            (
                "|a|\n|-:|\n|1|",
                "<table><thead><tr><th>a</th></tr></thead><tbody>\n<tr><td>1</td></tr>\n</tbody></table>".to_owned(),
            ),
            ("[mail](mailto:a@b.example)", link("mailto:a@b.example", "mail")),
            ("[no](javascript:alert(1))", "<p>no</p>".to_owned()),
            ("[no](data:text/html,x) [no](/relative)", "<p>no no</p>".to_owned()),
            ("[![badge](https://a.example/b.svg)](https://a.example/)", link("https://a.example/", "badge")),
        ];
        for (markdown, expected) in cases {
            assert_eq!(of_markdown(markdown).trim_end(), expected, "{markdown}");
        }
        assert_eq!(of_text("a <b>\n*c*"), "<p>a &lt;b&gt;<br>\n*c*</p>\n");
    }

    proptest! {
        /// Whatever is written, every tag is one that a table of known ones holds, and no attribute is the author's.
        #[test]
        fn only_known_tags_are_written(markdown in r#"([<>"'&\[\]()!*_`~#|:/\-= a-z\n]|javascript:|<script|onerror=){0,60}"#) {
            const KNOWN: &[&str] = &[
                "p", "em", "strong", "del", "code", "pre", "ul", "ol", "li", "blockquote", "a", "hr", "br", "table", "thead", "tbody",
                "tr", "th", "td", "h3", "h4", "h5", "h6", "input",
            ];
            let html = of_markdown(&markdown);
            for tag in html.split('<').skip(1) {
                let name: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
                prop_assert!(KNOWN.contains(&name.as_str()), "{name}: {html}");
                let inside = tag.split('>').next().unwrap_or_default();
                prop_assert!(!inside.contains("onerror=") || inside.contains("href=\"http"), "{html}");
            }
        }
    }
}
