//! What a program has answered, as the difference between two pictures of its terminal. No I/O.
//!
//! Both pictures begin at the same row, so that what stood there before the prompt is what both begin with. Then comes the prompt as the
//! program, or its terminal, showed it; the answer; and often what stood last before, such as the prompt line.

/// How much a program may put before each further line of a prompt that it shows, such as `... `.
const DECORATION: usize = 8;

/// A picture of a terminal from a row on: without blanks at the lines' ends, and without the blank lines below the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picture {
    lines: Vec<String>,
    /// The last line with its blanks, for patterns that want them.
    last: String,
}

/// What has come since a picture was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since<'a> {
    /// Whether what was typed is seen.
    pub(super) is_echoed: bool,
    /// The lines after that.
    lines: &'a [String],
    /// What stood there before, from the first line on that has changed; the last line in any case.
    replaced: &'a [String],
}

impl Picture {
    /// The picture of what `capture-pane -J` prints.
    pub(super) fn of(text: &str) -> Self {
        let mut lines: Vec<&str> = text.lines().collect();
        while lines.last().is_some_and(|line| line.trim_end().is_empty()) {
            lines.pop();
        }
        let last = lines.last().copied().unwrap_or_default().to_owned();
        Self { lines: lines.into_iter().map(|line| line.trim_end().to_owned()).collect(), last }
    }

    /// The last line, with and without the blanks at its end; nothing when all is blank.
    pub(super) fn last(&self) -> Option<[&str; 2]> {
        self.lines.last().map(|trimmed| [self.last.as_str(), trimmed.as_str()])
    }

    /// The last lines, `limit` bytes at the most.
    pub(super) fn tail(&self, limit: usize) -> String {
        let mut room = limit;
        let fits = |line: &&String| {
            let left = room.checked_sub(line.len() + 1);
            room = left.unwrap_or_default();
            left.is_some()
        };
        let kept = self.lines.iter().rev().take_while(fits).count();
        self.lines.get(self.lines.len() - kept..).unwrap_or_default().join("\n").trim().to_owned()
    }

    /// What has come since `before`, when `typed` was typed after that.
    pub(super) fn since<'a>(&'a self, before: &'a Self, typed: &str) -> Since<'a> {
        let same = common_start(&before.lines, &self.lines);
        let last = before.lines.len().saturating_sub(1);
        let (replaced, new) = (&before.lines[same.min(last)..], &self.lines[same..]);
        let typed: Vec<char> = squeeze(typed).collect();
        let echo = (0..new.len()).find_map(|start| Some(start + echo_at(&new[start..], &typed)?));
        Since { is_echoed: echo.is_some(), lines: &new[echo.unwrap_or(0)..], replaced }
    }
}

impl Since<'_> {
    /// Whether anything stands below what was typed. Where that is not shown, the line in which it could be does not count.
    pub(super) fn is_something_below(&self) -> bool {
        self.lines.len() > usize::from(!self.is_echoed)
    }

    /// The answer, without what stood last before and, when the last line is one, without the prompt line.
    pub(super) fn answer(&self, ends_with_prompt: bool) -> &[String] {
        let kept = self.lines.iter().rev().zip(self.replaced.iter().rev()).take_while(|(new, old)| new == old).count();
        let cut = kept.max(usize::from(ends_with_prompt)).min(self.lines.len());
        let mut answer = &self.lines[..self.lines.len() - cut];
        while let [first, rest @ ..] = answer
            && first.is_empty()
        {
            answer = rest;
        }
        while let [rest @ .., last] = answer
            && last.is_empty()
        {
            answer = rest;
        }
        answer
    }
}

/// How many lines at the beginning of `lines` show what was typed; nothing when they show something else.
///
/// The first may have anything before it, such as the prompt. Blanks don't count: programs break and indent lines as they like.
fn echo_at(lines: &[String], typed: &[char]) -> Option<usize> {
    let mut left = typed;
    for (index, line) in lines.iter().enumerate() {
        // A terminal shows the key that stops a program, too.
        let shown: Vec<char> = squeeze(line.strip_suffix("^C").unwrap_or(line)).collect();
        if shown.is_empty() && index > 0 {
            continue;
        }
        let longest = shown.len().min(left.len());
        let shortest = if index == 0 { 1 } else { shown.len().saturating_sub(DECORATION).max(1) };
        match (shortest..=longest).rev().find(|taken| shown[shown.len() - taken..] == left[..*taken]) {
            Some(taken) => left = &left[taken..],
            // A blank line of the prompt, with what the program puts before it.
            None if index > 0 && shown.len() <= DECORATION => {}
            None => return None,
        }
        if left.is_empty() {
            return Some(index + 1);
        }
    }
    None
}

fn squeeze(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|c| !c.is_whitespace())
}

fn common_start<T: PartialEq>(one: &[T], other: &[T]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// How much of an answer has been told while it grows.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The lines that were told, as far as the answer still begins with them.
    lines: Vec<String>,
    /// The answer at the last look.
    seen: Vec<String>,
    /// How often what was told had changed afterwards.
    changes: u32,
}

/// The next piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The message to which it belongs.
    pub(super) message: u32,
    /// The text that is added to it.
    pub(super) delta: String,
}

impl Told {
    /// Looks at an answer that still grows. Told are the lines that stood as they stand at the look before, but never the last one.
    pub(super) fn look(&mut self, answer: &[String]) -> Option<Piece> {
        let still = common_start(&self.seen, answer).min(answer.len().saturating_sub(1));
        self.seen = answer.to_vec();
        let goes_on = answer[..still].starts_with(&self.lines);
        if goes_on { self.tell(&answer[..still]) } else { None }
    }

    /// What is missing of an answer that is complete. Where lines that were told have changed since, as when a program draws its screen anew,
    /// all from the first such line on is told again, as another message.
    pub(super) fn finish(&mut self, answer: &[String]) -> Option<Piece> {
        let same = common_start(&self.lines, answer);
        if same < self.lines.len() {
            self.changes += 1;
            self.lines.clear();
            return self.tell(&answer[same..]);
        }
        self.tell(answer)
    }

    fn tell(&mut self, answer: &[String]) -> Option<Piece> {
        let new = answer.get(self.lines.len()..).filter(|new| !new.is_empty())?.join("\n");
        let delta = if self.lines.is_empty() { new } else { format!("\n{new}") };
        self.lines = answer.to_vec();
        Some(Piece { message: self.changes, delta })
    }
}

#[cfg(test)]
mod tests;
