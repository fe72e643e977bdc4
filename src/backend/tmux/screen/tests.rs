use proptest::prelude::*;

use super::*;

/// The answer on a screen that was `before` when `typed` was typed.
fn answer(before: &str, now: &str, typed: &str, ends_with_prompt: bool) -> String {
    let (before, now) = (Picture::of(before), Picture::of(now));
    now.since(&before, typed).answer(ends_with_prompt).join("\n")
}

#[test]
fn the_answer_is_what_came_between_the_prompt_and_the_next_one() {
    let cases = [
        // A program with a prompt line, of which older lines are still to be seen.
        ("> a\nA\n> ", "> a\nA\n> hello\nhi there\n> ", "hello", "hi there"),
        ("> ", "> hello\nhello\n> ", "hello", "hello"),
        ("> hello\nhi\n> ", "> hello\nhi\n> hello\nhi\n> ", "hello", "hi"),
        // Nothing yet, half of it, nothing at all.
        ("> ", "> hel", "hello", "> hel"),
        ("> ", "> hello", "hello", ""),
        ("> ", "> hello\nhi", "hello", "hi"),
        ("> ", "> hello\n> ", "hello", ""),
        ("> ", "> ", "hello", ""),
        // Another prompt line than before, as that of a shell in another folder; then only its pattern tells.
        ("~ $ ", "~ $ cd /\n/ $ ", "cd /", "/ $"),
        // Several lines, with a mark before the further ones, and blank lines among them.
        ("> ", "> one\n... two\n... three\nanswer\n> ", "one\ntwo\nthree", "answer"),
        ("> ", "> one\n\n  two\nanswer\n> ", "one\n\ntwo", "answer"),
        (">>> ", ">>> def f():\n...   return 7\n...\n>>> f()\n7\n>>> ", "def f():\n  return 7\n\nf()", "7"),
        // Blank lines around the answer, and in it.
        ("> ", "> x\n\n\na\n\nb\n\n> ", "x", "a\n\nb"),
        // It was stopped before it could begin.
        ("> ", "> hello^C\nstopped\n> ", "hello", "stopped"),
        // A program that does not show what is typed.
        ("name:", "name:\nwelcome\nname:", "secret", "welcome"),
        // A program that fills its screen: header, input box and footer stay.
        ("HEADER\n\n| |\nhelp", "HEADER\n\nyou: hi\nbot: hello\n| |\nhelp", "hi", "bot: hello"),
        // The screen was cleared.
        ("old\n> ", "> x\nfresh\n> ", "x", "fresh"),
    ];
    for (before, now, typed, expected) in cases {
        assert_eq!(answer(before, now, typed, false), expected, "{before:?} → {now:?}");
    }
    assert_eq!(answer("~ $ ", "~ $ cd /\n/ $ ", "cd /", true), "");
    assert_eq!(answer("~ $ ", "~ $ pwd\n/root\n~ $ ", "pwd", true), "/root", "a prompt line is cut once");
}

#[test]
fn only_what_stands_below_the_typed_line_can_end_a_turn() {
    let below = |before, now, typed| Picture::of(now).since(&Picture::of(before), typed).is_something_below();
    assert!(!below("> ", "> ", "hello"));
    assert!(!below("> ", "> hel", "hello"));
    assert!(!below("> ", "> hello", "hello"));
    assert!(below("> ", "> hello\n> ", "hello"));
    assert!(below("> ", "> \nsilently done\n> ", "hello"));
}

#[test]
fn a_picture_ends_with_its_last_line() {
    let picture = Picture::of("a  \n\nb \n   \n\n");
    assert_eq!(picture.last(), Some(["b ", "b"]));
    assert_eq!(picture.tail(100), "a\n\nb");
    assert_eq!(picture.tail(3), "b");
    assert_eq!(picture.tail(0), "");
    assert_eq!(Picture::of("\n \n").last(), None);
}

/// What is told at each look, then at the end.
fn told(looks: &[&str]) -> Vec<(u32, String)> {
    let mut told = Told::default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (last, others) = looks.split_last().unwrap();
    let mut pieces: Vec<Piece> = others.iter().filter_map(|look| told.look(&lines(look))).collect();
    pieces.extend(told.finish(&lines(last)));
    pieces.into_iter().map(|Piece { message, delta }| (message, delta)).collect()
}

#[test]
fn lines_are_told_when_they_stand_still() {
    let said = |pieces: &[&str]| pieces.iter().map(|piece| (0, (*piece).to_owned())).collect::<Vec<_>>();
    assert_eq!(told(&["a", "a\nb", "a\nb\nc", "a\nb\nc"]), said(&["a", "\nb", "\nc"]));
    assert_eq!(told(&["wor", "wor", "work", "work"]), said(&["work"]), "a line that may still grow waits");
    assert_eq!(told(&["a\nb\n-", "a\nb\n\\", "a\nb\n|", "a\nb"]), said(&["a\nb"]));
    assert_eq!(told(&["", ""]), []);
    // Drawn anew: what was told stands, and the rest follows.
    let changed = told(&["a\nb\nc", "a\nb\nc", "a\nX\nc", "a\nX\nc\nd"]);
    assert_eq!(changed, [(0, "a\nb".to_owned()), (1, "X\nc\nd".to_owned())]);
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-zäß日]{1,12}( [a-z]{1,9}){0,6}", 1..8)
}

/// Lines as a program shows them that breaks them by itself.
fn wrapped(lines: &[String], width: usize) -> Vec<String> {
    let broken = |line: &String| {
        let chars: Vec<char> = line.chars().collect();
        chars.chunks(width).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>()
    };
    lines.iter().flat_map(broken).collect()
}

proptest! {
    #[test]
    fn whatever_is_typed_and_however_it_is_broken_the_answer_is_left(
        older in words(), typed in words(), said in words(), width in 9..200_usize
    ) {
        let prompt: Vec<String> = format!("> {}", typed.join("\n")).lines().map(str::to_owned).collect();
        let shown = wrapped(&prompt, width);
        let before = format!("{}\n> ", older.join("\n"));
        // Marked, so that no answer begins like what was typed.
        let said: Vec<String> = said.into_iter().map(|line| format!("# {line}")).collect();
        let now = format!("{}\n{}\n{}\n> ", older.join("\n"), shown.join("\n"), said.join("\n"));
        prop_assert_eq!(answer(&before, &now, &typed.join("\n"), true), said.join("\n"));
    }

    #[test]
    fn all_of_an_answer_is_told_once_however_it_comes(lines in words(), cuts in prop::collection::vec(0..80_usize, 0..9)) {
        let whole = lines.join("\n");
        let mut looks: Vec<String> = cuts.into_iter().map(|cut| whole.chars().take(cut).collect()).collect();
        looks.sort_by_key(String::len);
        looks.push(whole.clone());
        let looks: Vec<&str> = looks.iter().map(String::as_str).collect();
        let pieces = told(&looks);
        prop_assert!(pieces.iter().all(|(message, _)| *message == 0), "{:?}", pieces);
        prop_assert_eq!(pieces.into_iter().map(|(_, delta)| delta).collect::<String>(), whole);
    }

    #[test]
    fn no_two_screens_are_too_strange(before in any::<String>(), now in any::<String>(), typed in any::<String>()) {
        let (before, now) = (Picture::of(&before), Picture::of(&now));
        let since = now.since(&before, &typed);
        for ends_with_prompt in [false, true] {
            let answer = since.answer(ends_with_prompt);
            prop_assert!(answer.len() <= now.lines.len());
        }
    }
}
