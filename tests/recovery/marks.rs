//! Marks by which a text can be followed from a person to the agent and back: `q7` asks, `q7l0of2` is the first line of two of the
//! answer. They are plain words, which no markup changes.

/// One line of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    /// Which message is answered.
    pub(crate) number: u32,
    /// Its place in the answer.
    pub(crate) at: u32,
    /// How many lines the answer has.
    pub(crate) of: u32,
}

impl Line {
    pub(crate) fn mark(self) -> String {
        format!("q{}l{}of{}", self.number, self.at, self.of)
    }
}

/// The lines of answers in a text, in order.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    words(text).filter_map(line).collect()
}

/// The number of the last question in a text: what comes before it is quoted.
pub(crate) fn asked(text: &str) -> Option<u32> {
    words(text).filter_map(|word| word.strip_prefix('q')?.parse().ok()).last()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_ascii_alphanumeric())
}

fn line(word: &str) -> Option<Line> {
    let (number, rest) = word.strip_prefix('q')?.split_once('l')?;
    let (at, of) = rest.split_once("of")?;
    Some(Line { number: number.parse().ok()?, at: at.parse().ok()?, of: of.parse().ok()? })
}

#[test]
fn marks_are_found_whatever_stands_around_them() {
    let line = Line { number: 17, at: 2, of: 9 };
    assert_eq!(lines(&format!("*{}*, and {}.\nq1 qx", line.mark(), line.mark())), [line, line]);
    assert_eq!(asked("<@U1>: q3 ask\n> q4\n---\n@hitchline q17, parts"), Some(17));
    assert_eq!((asked("go on"), lines("q1l2of")), (None, vec![]));
}
