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
            let expected = row.read("");
            for entry in [Entry::InSession, Entry::Outside, Entry::Slash] {
                assert_eq!(read(word, entry), expected, "{word}");
                assert_eq!(read(&format!("  {}  ", word.to_uppercase()), entry), expected, "{word}");
            }
            assert_eq!(read(&format!("!{word}"), Entry::InSession), expected, "!{word}");
        }
    }
}

// holds: K-1
#[test]
fn every_command_is_there_with_its_aliases() {
    let expected: &[(&[&str], &str, Reading)] = &[
        (&["help", "?"], "", Reading::Command(Command::Help)),
        (&["new", "start", "create"], "--dir a --agent b hi", new(Some("a"), Some("b"), "hi")),
        (&["list", "ls"], "", Reading::Command(Command::List)),
        (&["sessions"], "", Reading::Command(Command::Sessions)),
        (&["projects"], "", Reading::Command(Command::Projects)),
        (&["connect", "attach", "join"], "0b1e", Reading::Command(Command::Connect("0b1e".into()))),
        (&["status", "info"], "", Reading::Command(Command::Status)),
        (&["end", "close", "quit", "disconnect"], "", Reading::Command(Command::End)),
        (&["stop"], "", Reading::Command(Command::Stop { waiting_too: false })),
        (&["stop"], "all", Reading::Command(Command::Stop { waiting_too: true })),
        (&["breakout"], "", Reading::Command(Command::Breakout(None))),
        (&["breakout"], "big plans", Reading::Command(Command::Breakout(Some("big plans".into())))),
        (&["discover"], "", Reading::Command(Command::Discover(10))),
        (&["discover"], "3", Reading::Command(Command::Discover(3))),
        (&["discover"], "1000", Reading::Command(Command::Discover(45))),
        (&["config"], "", Reading::Command(Command::Config)),
        (&["remember"], "this and that", Reading::Command(Command::Remember("this and that".into()))),
        (&["recall"], "this", Reading::Command(Command::Recall("this".into()))),
        (&["work-status"], "", Reading::Command(Command::WorkStatus)),
        (&["model"], "", Reading::Command(Command::Choose(OptionCategory::Model, None))),
        (&["mode"], "plan", Reading::Command(Command::Choose(OptionCategory::Mode, Some("plan".into())))),
    ];
    let mut words: Vec<&str> = expected.iter().flat_map(|(words, _, _)| *words).copied().collect();
    words.sort_unstable();
    words.dedup();
    let mut known: Vec<&str> = COMMANDS.iter().flat_map(|row| row.words).copied().collect();
    known.sort_unstable();
    assert_eq!(words, known);
    for (words, args, command) in expected {
        for word in *words {
            assert_eq!(read(&format!("!{word} {args}"), Entry::InSession), *command, "!{word} {args}");
            assert_eq!(read(&format!("{word} {args}"), Entry::Slash), *command, "/hitch {word} {args}");
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
fn arguments_need_a_mark_or_one_of_three_names_outside_a_session() {
    let connect = |id: &str| Reading::Command(Command::Connect(id.into()));
    assert_eq!(read("connect 0b1e2c3d", Entry::Outside), connect("0b1e2c3d"));
    assert_eq!(read("Connect `0b1e2c3d`", Entry::Outside), connect("0b1e2c3d"));
    assert_eq!(read("list", Entry::Outside), Reading::Command(Command::List));
    for text in ["connect 0b1e2c3d", "model opus", "stop all", "discover 5"] {
        assert_eq!(read(text, Entry::InSession), Reading::Prompt(text.into()));
    }
    for text in ["join 0b1e2c3d", "stop all", "remember this", "mode plan"] {
        assert_eq!(read(text, Entry::Outside), Reading::Prompt(text.into()));
    }
    assert_eq!(read("new fix it", Entry::Outside), new(None, None, "fix it"));
    assert_eq!(read("new fix it", Entry::InSession), Reading::Prompt("new fix it".into()));
    assert_eq!(read("!new --dir a --agent b fix  it", Entry::InSession), new(Some("a"), Some("b"), "fix  it"));
    assert_eq!(read("new --agent b", Entry::Slash), new(None, Some("b"), ""));
    assert_eq!(read("new --what", Entry::Slash), Reading::Misused(Misuse::UnknownOption("--what".into())));
    assert_eq!(read("new --dir", Entry::Slash), Reading::Misused(Misuse::MissingValue("--dir")));
    assert_eq!(read("!end now", Entry::InSession), Reading::Misused(Misuse::TakesNothing("end")));
    for text in ["connect", "!connect a b", "!stop now", "!discover 0", "!discover all", "remember"] {
        assert!(matches!(read(text, Entry::InSession), Reading::Misused(Misuse::Takes { .. })), "{text}");
    }
    let long = format!("!remember {}", "x".repeat(1_001));
    assert!(matches!(read(&long, Entry::InSession), Reading::Misused(Misuse::Takes { .. })));
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

// holds: K-3
#[test]
fn a_marked_word_of_the_agents_own_is_its_command() {
    let command =
        |name: &str| AgentCommand { name: name.into(), description: String::new(), hint: Some("text".into()) };
    let offered = [command("compact"), command("review:pr")];
    for (text, expected) in [
        ("!compact", Some("/compact")),
        (" !compact  now\nand then", Some("/compact  now\nand then")),
        ("!review:pr 7", Some("/review:pr 7")),
        ("!compactor", None),
        ("!Compact", None),
        ("compact", None),
        ("!", None),
        ("see !compact", None),
    ] {
        assert_eq!(for_agent(text, &offered).as_deref(), expected, "{text:?}");
    }
    assert_eq!(for_agent("!compact", &[]), None);
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
information please
list the open issues
list all files that import it
ls shows nothing, why?
connect the two modules
connect everything to everything
join both tables on id
attach a debugger to it
mode of the file is wrong
mode: strict
model the data as a tree
model is overfitting
remember to add tests
recall how we did it last time
config file is missing
config.toml is invalid
projects folder is empty
sessions expire too early
discover why it is slow
discover all endpoints
breakout game in Rust
break out of the loop
stop all running containers
work-status page answers 404
work status of the team";

// holds: K-3
#[test]
fn sentences_are_prompts_inside_a_session() {
    let sentences: Vec<&str> = SENTENCES.lines().map(str::trim).filter(|line| *line != "create").collect();
    assert!(sentences.len() >= 70, "{}", sentences.len());
    for sentence in sentences {
        assert_eq!(read(sentence, Entry::InSession), Reading::Prompt(sentence.into()));
        if !sentence.starts_with("new ") {
            assert_eq!(read(sentence, Entry::Outside), Reading::Prompt(sentence.into()));
        }
    }
}
