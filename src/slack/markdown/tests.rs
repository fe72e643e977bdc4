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
        ("see https://a.b/x_y_z.", "see <https://a.b/x_y_z>."),
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
fn a_mark_ends_with_its_line_and_begins_again() {
    let cases = [
        ("**a\nb**", "*a*\n*b*"),
        ("**a\n*b\nc* d**", "*a*\n*_b_*\n*_c_ d*"),
        ("a ~~b  \nc~~", "a ~b~\n~c~"),
        ("Title\nof two lines\n====", "*Title*\n*of two lines*"),
        ("**a `` b`c `` d**", "*a*\n\n```\nb`c\n```\n\n*d*"),
        ("**Note: *a **b** c* d**", "*Note: _a b c_ d*"),
        ("[**label**](https://a.b)", "<https://a.b|label>"),
        ("***a***", "_*a*_"),
        ("**~5 minutes**", "*~\u{200b}5 minutes*"),
    ];
    for (markdown, expected) in cases {
        assert_eq!(one(markdown), expected, "{markdown}");
    }
}

#[test]
fn code_that_no_line_can_hold_stands_in_a_block_of_its_own() {
    let cases = [
        ("use `` a`b `` here", "use\n\n```\na`b\n```\n\nhere"),
        ("- use `` ` ``\n- b", "• use\n\n```\n`\n```\n\n• b"),
        ("1. `` `x` ``", "1.\n\n```\n`x`\n```"),
        ("a ```` ``` ```` b", "a\n\n````\n```\n````\n\nb"),
        ("````\na ``` b\n````", "````\na ``` b\n````"),
        ("~~~~\n```sh\nls <x>\n```\n~~~~", "````\n```sh\nls &lt;x&gt;\n```\n````"),
        ("~~~\n`````\n~~~", "``````\n`````\n``````"),
    ];
    for (markdown, expected) in cases {
        assert_eq!(one(markdown), expected, "{markdown}");
    }
}

#[test]
fn what_stands_behind_a_fence_is_kept_unless_it_names_a_language() {
    let cases = [
        ("a\n``` tail text", "a\n\ntail text"),
        ("a\n```tail", "a\n\ntail"),
        (
            "hello ```rust\nlet a = 1;\n``` and then *b* this",
            "hello \u{200b}`\u{200b}\u{200b}`\u{200b}\u{200b}`\u{200b}rust\nlet a = 1;\n\nand then \u{200b}*\u{200b}b\u{200b}*\u{200b} this",
        ),
        ("``` two words\nx\n```", "two words\n\n```\nx\n```"),
        ("- ``` in an item", "• in an item"),
        ("```rust\nx\n```", "```\nx\n```"),
        ("```sh\n```", "sh"),
    ];
    for (markdown, expected) in cases {
        assert_eq!(one(markdown), expected, "{markdown}");
    }
}

#[test]
fn tables_hold_plain_text_in_columns() {
    let cases = [
        (
            "| **a** | `b` |\n|---|---|\n| [x](https://a.b) | _y_*z* |",
            "```\na               | b\n----------------+---\nx (https://a.b) | yz\n```",
        ),
        ("| 名前 | b |\n|---|---|\n| é\u{301} | 1 |", "```\n名前 | b\n-----+--\né\u{301}    | 1\n```"),
        ("| a |\n|---|\n| x<br>y &amp; \\| z |", "```\na\n---------\nx y &amp; | z\n```"),
        ("| a | n |\n|---|--:|\n| b | 10 |\n| c | 7 |", "```\na |  n\n--+---\nb | 10\nc |  7\n```"),
        ("- | a |\n  |---|\n  | 1 |\n- b", "•\n\n```\na\n-\n1\n```\n\n• b"),
        ("| `a``` |\n|---|\n| x |", "````\n`a```\n-----\nx\n````"),
    ];
    for (markdown, expected) in cases {
        assert_eq!(one(markdown), expected, "{markdown}");
    }
    let wide = format!("| {} |\n|---|", "x".repeat(100));
    assert!(one(&wide).contains(&"x".repeat(100)), "a header alone is shown too");
}

#[test]
fn what_people_do_not_think_of() {
    let cases = [
        // Code keeps its blank lines, and its carriage returns are line ends.
        ("```\r\na\r\n\r\n  b\r\n```\r\n", "```\na\n\n  b\n```"),
        ("```\na\n\n\n```", "```\na\n\n\n```"),
        ("```\n```", ""),
        ("- ```\n  x\n  ```\n- b", "•\n\n```\nx\n```\n\n• b"),
        ("1. a\n2.\n3. c", "1. a\n2.\n3. c"),
        ("> a\n>\n> ```\n> x\n> ```", "> a\n\n```\nx\n```"),
        ("- a\n  1. b\n  2. c\n     - d", "• a\n  1. b\n  2. c\n     • d"),
        ("- a\n  - b\n- c\n\n1. d", "• a\n  • b\n• c\n\n1. d"),
        ("a\n\\> no quote", "a\n\u{200b}&gt; no quote"),
        ("&gt; no quote", "\u{200b}&gt; no quote"),
        ("(see https://a.b/~me/x*y_(z)?q=1&r=2).", "(see <https://a.b/~me/x*y_(z)?q=1&amp;r=2>)."),
        ("https://a.b|c>d", "<https://a.b%7Cc>&gt;d"),
        ("**https://a.b/**", "*<https://a.b/>*"),
        ("http:// alone", "http:// alone"),
        ("[x](<https://a.b/|c>)", "<https://a.b/%7Cc|x>"),
        ("![](https://a.b/i.png)", "<https://a.b/i.png>"),
        ("[![alt](https://a.b/i.png)](https://a.b)", "<https://a.b|alt>"),
        ("![<!channel>](https://a.b)", "<https://a.b|&lt;!channel&gt;>"),
        ("`<!channel>`", "`&lt;!channel&gt;`"),
        ("a[^1]\n\n[^1]: the note", "a[^1]\n\n[^1]: the note"),
        ("a*b and x\\*y", "a*b and x*y"),
        (
            "<details>\n<summary>s</summary>\n\ntext\n\n</details>",
            "&lt;details&gt;\n&lt;summary&gt;s&lt;/summary&gt;\n\ntext\n\n&lt;/details&gt;",
        ),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("שלום **עולם**", "שלום *עולם*"),
    ];
    for (markdown, expected) in cases {
        assert_eq!(one(markdown), expected, "{markdown}");
    }
    let label = "l".repeat(2_000);
    assert_eq!(one(&format!("[{label}](https://a.b)")), format!("{label} (<https://a.b>)"), "no label is cut");
}

#[test]
fn a_wide_table_is_shown_row_by_row() {
    let wide = "x".repeat(90);
    let table = format!("| name | value |\n|---|---|\n| a | {wide} |\n| b | c |");
    assert_eq!(one(&table), format!("name: a\nvalue: {wide}\n\nname: b\nvalue: c"));
}

#[test]
fn code_survives_whatever_it_holds() {
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
fn no_cut_goes_through_what_belongs_together() {
    let x = |length| "x".repeat(length);
    let cases = [
        (format!("{}&{}", x(58), x(40)), vec![x(58), format!("&amp;{}", x(40))]),
        (format!("{} `a b c` {}", x(55), x(40)), vec![x(55), format!("`a b c` {}", x(40))]),
        (format!("{} [a b](https://a.b)", x(50)), vec![x(50), "<https://a.b|a b>".to_owned()]),
        (format!("{}👩\u{200d}💻{}", x(58), x(40)), vec![x(58), format!("👩\u{200d}💻{}", x(40))]),
        (format!("{}e\u{301}{}", x(59), x(40)), vec![x(59), format!("e\u{301}{}", x(40))]),
        (
            format!("```\n{}<{}\n```", x(50), x(40)),
            vec![format!("```\n{}\n```", x(50)), format!("```\n&lt;{}\n```", x(40))],
        ),
        (format!("{}\n{}", x(60), x(40)), vec![x(60), x(40)]),
    ];
    for (markdown, expected) in cases {
        assert_eq!(render(&markdown, 60), expected);
    }
}

#[test]
fn a_message_holds_only_so_many_blocks() {
    let answer = "````\n```\n````\n\nx\n\n".repeat(60);
    for part in render(&answer, PART_LIMIT) {
        assert!(pieces(&part).len() <= 50, "{}", pieces(&part).len());
    }
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
        Just("https://a.b/c_d|<!here>".to_owned()),
        Just("\n~~~~\n".to_owned()),
        Just("```".to_owned()),
        Just("\r\n".to_owned()),
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

/// Text without white space and what fences are made of: what must survive a cut.
fn content(parts: &[String]) -> String {
    parts.concat().chars().filter(|c| !c.is_whitespace() && *c != '`').collect()
}

/// `text` without the single words that stand behind a fence on its line.
fn without_languages(text: &str) -> String {
    let keep = |line: &str| {
        let words = line.trim_start_matches(|c: char| c.is_whitespace() || "`~>*-".contains(c));
        let fenced = line.contains("```") || line.contains("~~~");
        if fenced && !words.trim().contains(char::is_whitespace) { String::new() } else { format!("{line}\n") }
    };
    text.lines().map(keep).collect()
}

/// All code in `parts` as people copy it, line by line.
fn code_in(parts: &[String]) -> String {
    let mut code = String::new();
    for piece in parts.iter().flat_map(|part| pieces(part)) {
        match piece {
            Piece::Code(lines) => code.push_str(lines),
            Piece::Markup(text) => code.extend(
                text.split("```").skip(1).step_by(2).map(|block| block[1..].strip_suffix('\n').unwrap_or_default()),
            ),
        }
    }
    code.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace('\n', "")
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
    fn no_letter_is_lost(text in "([a-z]{1,6}|[ *_~`#>-]|```|~~~|\n|\n\n|\n[>*-] |    |\\*\\*){0,40}") {
        // The word right behind a fence may name the language of its code.
        let wanted: String = without_languages(&text).chars().filter(char::is_ascii_lowercase).collect();
        let shown: String = render(&text, PART_LIMIT).concat();
        let mut shown = shown.chars();
        prop_assert!(wanted.chars().all(|letter| shown.any(|c| c == letter)), "{wanted}");
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
    fn code_is_never_touched(code in proptest::collection::vec("[a-z<&>*_~` ]{0,11}[a-z<&>*_~`]\n?", 0..60), limit in 60usize..300) {
        let code = format!("x{}", code.concat());
        let fence = "~".repeat(code.len() + 3);
        let block = format!("{fence}\n{code}\n{fence}");
        prop_assert_eq!(code_in(&render(&block, limit)), code.replace('\n', ""));
        let span = format!("x{}x", code.replace('\n', ""));
        let fence = "`".repeat(fence::fence_length(&span));
        let parts = render(&format!("a {fence}{span}{fence} b"), PART_LIMIT);
        if span.contains('`') {
            prop_assert_eq!(code_in(&parts), span);
        } else if span.len() < 500 {
            prop_assert_eq!(&parts[0], &format!("a `{}` b", escape(&span)));
        }
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
