use proptest::prelude::*;

use super::*;

fn one(markdown: &str) -> String {
    render(markdown, PART_LIMIT).join("\n---\n")
}

#[test]
fn markdown_becomes_what_slack_renders() {
    let cases = [
        ("", ""),
        ("  \n ", ""),
        ("plain words, 2 of them.", "plain words, 2 of them."),
        ("# Title\n\ntext", "*Title*\n\ntext"),
        ("## A **bold** title", "*A bold title*"),
        ("**bold** *em* __b__ _i_ ~~s~~", "*bold* _em_ *b* _i_ ~s~"),
        ("a**b**c", "a\u{200b}*b*\u{200b}c"),
        ("`x < y` & z", "`x &lt; y` &amp; z"),
        ("```rust\nlet a = b && c;\n```", "```\nlet a = b &amp;&amp; c;\n```"),
        ("    indented\n    code", "```\nindented\ncode\n```"),
        ("- a\n- b\n  - c\n- d", "• a\n• b\n  • c\n• d"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("- [x] done\n- [ ] open", "☑ done\n☐ open"),
        ("text\n\n- a\n- b", "text\n\n• a\n• b"),
        ("- a\n\n  more of a\n- b", "• a\n\n  more of a\n\n• b"),
        ("> quoted\n> twice", "> quoted\n> twice"),
        ("> - item", "> • item"),
        ("[label](https://a.b/c?x=1&y=2)", "<https://a.b/c?x=1&amp;y=2|label>"),
        ("[a|b](https://a.b)", "<https://a.b|a∣b>"),
        ("<https://a.b>", "<https://a.b>"),
        ("[mail](mailto:a@b.c)", "<mailto:a@b.c|mail>"),
        ("[x](javascript:alert(1))", "x (javascript:alert(1))"),
        ("![alt](https://a.b/i.png)", "<https://a.b/i.png|alt>"),
        ("see https://a.b/x_y_z.", "see https://a.b/x_y_z."),
        ("snake_case_name and 2 * 3", "snake_case_name and 2 \u{200b}*\u{200b} 3"),
        ("\\*not bold\\*", "\u{200b}*\u{200b}not bold\u{200b}*\u{200b}"),
        ("<b>html</b>", "&lt;b&gt;html&lt;/b&gt;"),
        ("<!here> <@U1> <#C1>", "&lt;!here&gt; &lt;@U1&gt; &lt;#C1&gt;"),
        ("a\n\n---\n\nb", "a\n\n──────────\n\nb"),
        ("line one\nline two", "line one\nline two"),
        ("| a | b |\n|---|---|\n| 1 | long <x> |", "```\na | b\n--+---------\n1 | long &lt;x&gt;\n```"),
    ];
    for (markdown, expected) in cases {
        assert_eq!(one(markdown), expected, "{markdown}");
    }
}

#[test]
fn a_wide_table_is_shown_row_by_row() {
    let wide = "x".repeat(90);
    let table = format!("| name | value |\n|---|---|\n| a | {wide} |\n| b | c |");
    assert_eq!(one(&table), format!("name: a\nvalue: {wide}\n\nname: b\nvalue: c"));
}

#[test]
fn code_survives_whatever_it_holds() {
    assert_eq!(one("````\na ``` b\n````"), "```\na ``\u{200b}` b\n```");
    let code = "if a < b && c > d { *p = _x_; } // ~tilde~ <!here>";
    let shown = one(&format!("```\n{code}\n```"));
    let back = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    assert_eq!(back, format!("```\n{code}\n```"));
}

#[test]
fn a_long_answer_is_cut_between_its_blocks() {
    let paragraph = "word ".repeat(30).trim().to_owned();
    let text = [paragraph.as_str(); 4].join("\n\n");
    let parts = render(&text, 320);
    assert_eq!(parts, [format!("{paragraph}\n\n{paragraph}"), format!("{paragraph}\n\n{paragraph}")]);
}

#[test]
fn a_long_code_block_is_closed_and_opened_again() {
    let code = (0..40).map(|n| format!("line number {n}")).collect::<Vec<_>>().join("\n");
    let parts = render(&format!("```\n{code}\n```"), 200);
    assert!(parts.len() > 2);
    for part in &parts {
        assert!(part.starts_with("```\nline") && part.ends_with("\n```"), "{part}");
    }
    let lines: Vec<&str> = parts.iter().flat_map(|part| part.lines()).filter(|line| *line != "```").collect();
    assert_eq!(lines.join("\n"), code);
}

#[test]
fn a_growing_message_pings_nobody_wherever_it_is_cut() {
    for token in ["<!here>", "<@U1>", "<#C1>", "<!subteam^S1>", "<!date^1^{date}|x>"] {
        for at in 0..=token.len() {
            let shown = live(&token[..at]) + &live(&token[at..]);
            assert!(!shown.contains("<!") && !shown.contains("<@") && !shown.contains("<#"), "{shown}");
            assert_eq!(shown.replace('\u{200b}', ""), token);
        }
    }
    assert_eq!(live("a <b> **c**"), "a <b> **c**");
}

/// Pieces of Markdown and of what people try with it.
fn markdown() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z0-9 ]{1,20}",
        "\\PC{1,10}",
        Just("\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("**".to_owned()),
        Just("_".to_owned()),
        Just("`".to_owned()),
        Just("\n```\n".to_owned()),
        Just("<!here>".to_owned()),
        Just("<@U123>".to_owned()),
        Just("<!channel|x>".to_owned()),
        Just("[<!here>](https://a.b/<!here>)".to_owned()),
        Just("[x](<https://a.b/ |<!everyone>>)".to_owned()),
        Just("&lt;!here&gt;".to_owned()),
        Just("\n| a | b |\n|---|---|\n| <!here> | ``` |\n".to_owned()),
        Just("\n> ".to_owned()),
        Just("\n- ".to_owned()),
        Just("\n# ".to_owned()),
        Just("![<@U1>](http://x)".to_owned()),
        Just("<b>".to_owned()),
        Just("&".to_owned()),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Every angle bracket that opens something, with what it opens.
fn tokens(part: &str) -> Vec<&str> {
    part.match_indices('<').map(|(at, _)| &part[at + 1..]).collect()
}

/// Text without white space and fences: what must survive a cut.
fn content(parts: &[String]) -> String {
    parts.concat().replace("```", "").chars().filter(|c| !c.is_whitespace()).collect()
}

proptest! {
    #[test]
    fn no_special_mention_ever_comes_out(text in markdown(), wild in "\\PC*") {
        for text in [&text, &wild] {
            for part in render(text, PART_LIMIT).iter().chain(&render(text, 200)) {
                for token in tokens(part) {
                    let link = ["http://", "https://", "mailto:"].iter().any(|scheme| token.to_lowercase().starts_with(scheme));
                    prop_assert!(link, "{part}");
                    let inside = token.split('>').next().unwrap_or_default();
                    prop_assert!(!inside.contains('<'), "{part}");
                }
            }
        }
    }

    #[test]
    fn splitting_loses_no_character_and_keeps_to_the_limit(text in markdown(), limit in 120usize..400) {
        let parts = render(&text, limit);
        for part in &parts {
            prop_assert!(part.chars().count() <= limit, "{} > {limit}", part.chars().count());
            prop_assert!(!part.trim().is_empty());
        }
        prop_assert_eq!(content(&parts), content(&render(&text, usize::MAX)));
    }

    #[test]
    fn live_pieces_never_form_a_token(text in markdown(), cuts in proptest::collection::vec(0usize..200, 0..5)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|at| text.floor_char_boundary(at)).collect();
        cuts.sort_unstable();
        let mut shown = String::new();
        let mut from = 0;
        for at in cuts.into_iter().chain([text.len()]) {
            shown.push_str(&live(&text[from..at.max(from)]));
            from = at.max(from);
        }
        prop_assert!(!shown.contains("<!") && !shown.contains("<@") && !shown.contains("<#"));
        prop_assert_eq!(shown.replace('\u{200b}', ""), text.replace('\u{200b}', ""));
    }
}
