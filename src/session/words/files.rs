//! What is said of files that did not reach the agent, or did not come from it.

use crate::domain::ports::WriteError;
use crate::domain::visible::hides;

/// The prompt for an agent that is given files without a word.
pub(in crate::session) const FILES_ALONE: &str = "See the attached files.";

/// How much of a file's name is shown.
const NAME: usize = 60;

/// For people: one line. Nothing when none is missing.
pub(in crate::session) fn files_missing(missing: &[(String, String)]) -> Option<String> {
    let each: Vec<String> = missing.iter().map(|(name, why)| format!("`{}` ({why})", shown(name))).collect();
    (!each.is_empty()).then(|| format!("_Not every file has reached the agent:_ {}.", each.join(", ")))
}

/// For the agent: a line for each.
pub(in crate::session) fn files_missing_for_agent(missing: &[(String, String)]) -> Option<String> {
    let line = |(name, why): &(String, String)| format!("[attached file {} could not be fetched: {why}]", shown(name));
    let lines: Vec<String> = missing.iter().map(line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// A command that is too long for its card, and that Slack did not take as a file.
pub(in crate::session) fn not_attached(error: &WriteError) -> String {
    let scope = if error.code == "missing_scope" { " (the bot token lacks the scope `files:write`)" } else { "" };
    format!("_The whole command could not be attached{scope}. Allow only what you can see above._")
}

/// A name in which nothing can pass for anything else.
fn shown(name: &str) -> String {
    let plain = |c: char| if hides(c) || matches!(c, '`' | '[' | ']') { '_' } else { c };
    name.chars().map(plain).take(NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_file_is_named_with_its_reason_in_a_line_of_its_own() {
        let missing =
            [("a.bin".to_owned(), "it is too large".to_owned()), ("x`]\n[y".to_owned(), "it is gone".to_owned())];
        let people = files_missing(&missing).unwrap();
        assert_eq!(people, "_Not every file has reached the agent:_ `a.bin` (it is too large), `x____y` (it is gone).");
        let agent = files_missing_for_agent(&missing).unwrap();
        let expected = "[attached file a.bin could not be fetched: it is too large]\n\
                        [attached file x____y could not be fetched: it is gone]";
        assert_eq!(agent, expected);
        assert_eq!((files_missing(&[]), files_missing_for_agent(&[])), (None, None));
    }
}
