use super::*;

fn new(dir: Option<&str>, agent: Option<&str>, text: &str) -> Reading {
    let args = NewArgs { dir: dir.map(Into::into), agent: agent.map(Into::into), text: text.into() };
    Reading::Command(Command::New(args))
}

// holds: K-1
#[test]
fn no_word_means_two_things() {
    let mut words: Vec<&str> = COMMANDS.iter().flat_map(|row| row.words).chain(ECHO_DIRECTIVES).copied().collect();
    let all = words.len();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), all);
}

// holds: K-1
#[test]
fn each_alias_is_its_command_when_it_is_the_whole_message() {
    for row in COMMANDS {
        for word in row.words {
            let expected = apply(row, "");
            for entry in [Entry::InSession, Entry::Outside, Entry::Slash] {
                assert_eq!(read(word, entry), expected, "{word}");
                assert_eq!(read(&format!("  {}  ", word.to_uppercase()), entry), expected, "{word}");
            }
            assert_eq!(read(&format!("!{word}"), Entry::InSession), expected, "!{word}");
        }
    }
}

// holds: K-2
#[test]
fn nothing_at_all_is_help_outside_and_status_inside() {
    assert_eq!(read(" ", Entry::Outside), Reading::Command(Command::Help));
    assert_eq!(read("", Entry::Slash), Reading::Command(Command::Help));
    assert_eq!(read("", Entry::InSession), Reading::Command(Command::Status));
}

// holds: K-3
#[test]
fn arguments_need_a_mark_or_new_outside_a_session() {
    assert_eq!(read("new fix it", Entry::Outside), new(None, None, "fix it"));
    assert_eq!(read("new fix it", Entry::InSession), Reading::Prompt("new fix it".into()));
    assert_eq!(read("!new --dir a --agent b fix  it", Entry::InSession), new(Some("a"), Some("b"), "fix  it"));
    assert_eq!(read("new --agent b", Entry::Slash), new(None, Some("b"), ""));
    assert_eq!(read("new --what", Entry::Slash), Reading::Misused(Misuse::UnknownOption("--what".into())));
    assert_eq!(read("new --dir", Entry::Slash), Reading::Misused(Misuse::MissingValue("--dir")));
    assert_eq!(read("!end now", Entry::InSession), Reading::Misused(Misuse::TakesNothing("end")));
    assert_eq!(read("dance", Entry::Slash), Reading::Misused(Misuse::Unknown("dance".into())));
}

// holds: K-1
#[test]
fn options_are_understood_as_people_type_them() {
    for (args, dir, agent, text) in [
        ("--dir=/a fix it", Some("/a"), None, "fix it"),
        ("--dir \"/my code\" fix it", Some("/my code"), None, "fix it"),
        ("--dir='/my code' --agent=b", Some("/my code"), Some("b"), ""),
        ("—dir “/my code” —agent b fix", Some("/my code"), Some("b"), "fix"),
        ("--agent b -- fix", None, Some("b"), "-- fix"),
        ("– a dash is no option", None, None, "– a dash is no option"),
        ("--dir \"/a", Some("\"/a"), None, ""),
    ] {
        assert_eq!(read(&format!("new {args}"), Entry::Slash), new(dir, agent, text), "{args}");
    }
    assert_eq!(read("new --agent=", Entry::Slash), Reading::Misused(Misuse::MissingValue("--agent")));
    assert_eq!(read("new --dir \"\" x", Entry::Slash), Reading::Misused(Misuse::MissingValue("--dir")));
}

// holds: K-3
#[test]
fn a_marked_word_that_is_no_command_goes_to_the_agent_unchanged() {
    for text in ["!stream 5", "!important: read this", "!", "!!end"] {
        assert_eq!(read(text, Entry::InSession), Reading::Prompt(text.into()));
    }
}

/// Sentences that begin with or consist of command words and are meant for the agent.
const SENTENCES: &str = "create a parser
close the PR
stop using tabs
start the server
end the loop when x is 0
help me with this test
info about the build please
status of the migration?
quit() is never called, why?
disconnect the websocket on error
create
 a file
stop, think, then answer
help!
help: what does this do
new line at the end of file is missing
end-to-end tests fail
start over with the second approach
close all open files first
stop words should be removed
status code 500 on login
info level logs are too noisy
create table users
quit smoking bot
new tests for the parser, please
end of file reached too early
help wanted label
close #42
stop the container and look at the logs
start with the README
disconnect() leaks a socket
status quo is fine
create-react-app or vite?
end user documentation
info.json is invalid
close enough?
stop it from crashing
help text is wrong
start.sh hangs
new.txt should be deleted
quit the vim tutorial
ends with a slash
creates two rows
statusbar flickers
stopwatch is off by one
helper functions everywhere
starting point?
newest version of serde?
closed issues only
information please";

// holds: K-3
#[test]
fn sentences_are_prompts_inside_a_session() {
    let sentences: Vec<&str> = SENTENCES.lines().map(str::trim).filter(|line| *line != "create").collect();
    assert!(sentences.len() >= 48, "{}", sentences.len());
    for sentence in sentences {
        assert_eq!(read(sentence, Entry::InSession), Reading::Prompt(sentence.into()));
        if !sentence.starts_with("new ") {
            assert_eq!(read(sentence, Entry::Outside), Reading::Prompt(sentence.into()));
        }
    }
}
