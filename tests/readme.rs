//! What the documents tell people to do works as it stands there.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test that called it")]

use std::fs;
use std::io::{BufRead, BufReader, Write, stderr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

#[path = "tools/contract.rs"]
mod contract;

/// What stands before the arguments of the program wherever a document runs it from the source.
const FROM_SOURCE: &str = "cargo run --locked -- ";
/// The first line of a block that can't be run here.
const NOT_RUN: &str = "# Not run by the tests: ";
/// The documents.
const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(document: &str) -> String {
    fs::read_to_string(repository().join(document)).unwrap()
}

/// The fenced blocks of a language, without the indentation that a list gives them.
fn blocks(document: &str, language: &str) -> Vec<Vec<String>> {
    let text = read(document);
    let mut lines = text.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line.trim_start() == format!("```{language}") {
            let indent = line.len() - line.trim_start().len();
            let block = lines.by_ref().take_while(|line| line.trim() != "```");
            found.push(block.map(|line| line.get(indent..).unwrap_or_default().to_owned()).collect());
        }
    }
    found
}

/// The commands of all documents that can run here.
fn commands() -> Vec<String> {
    let blocks = DOCUMENTS.iter().flat_map(|document| blocks(document, "sh"));
    blocks.filter(|block| !block[0].starts_with(NOT_RUN)).flatten().filter(|line| !line.starts_with('#')).collect()
}

/// Starts a command in `home`, where the program is installed; a daemon takes the shell's place, so that signals reach it.
fn start(command: &str, home: &Path) -> Child {
    let program = Path::new(env!("CARGO_BIN_EXE_hitchline"));
    let path = std::env::var("PATH").unwrap();
    let exec = if is_daemon(command) { "exec " } else { "" };
    let command = command.replace(FROM_SOURCE, "hitchline ");
    Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("{exec}{command}")])
        .current_dir(home)
        .env("PATH", format!("{}:{path}", program.parent().unwrap().display()))
        .env("HOME", home)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_STATE_HOME")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn is_daemon(command: &str) -> bool {
    command.contains("-- run") || command.contains("-- simulator")
}

/// Waits until a daemon says that it is ready, stops it, and returns what it said and its exit code.
fn until_ready(mut daemon: Child) -> (Vec<String>, Option<i32>) {
    let said = BufReader::new(daemon.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut lines = Vec::new();
    for line in said {
        lines.push(line);
        if lines.last().is_some_and(|line| line == "ready") {
            kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
        }
    }
    (lines, daemon.wait().unwrap().code())
}

#[test]
fn the_first_screen_has_two_commands() {
    let first: Vec<String> = blocks("README.md", "sh").into_iter().take(2).flatten().collect();
    assert_eq!(first, ["cargo run --locked -- run --simulator", "cargo test --locked"]);
}

#[test]
fn every_command_does_what_it_is_there_for() {
    let home = tempfile::tempdir().unwrap();
    let commands = commands();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        // These tests are run by it.
        if command == "cargo test --locked" {
            continue;
        }
        let child = start(&command, home.path());
        if is_daemon(&command) {
            let (said, code) = until_ready(child);
            assert!(said.iter().any(|line| line.starts_with("simulator: http://127.0.0.1:")), "{command}: {said:?}");
            assert_eq!(code, Some(0), "{command}");
        } else {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{command}: {output:?}");
            assert!(
                command.starts_with("chmod ") || command.contains('>') || !output.stdout.is_empty(),
                "{command} says nothing"
            );
        }
    }
}

#[test]
fn the_first_command_works_as_it_stands() {
    let (state, cargo) = (tempfile::tempdir().unwrap(), env!("CARGO"));
    let mut words = "run --locked -- run --simulator".split(' ').collect::<Vec<_>>();
    words.insert(1, "--quiet");
    let daemon = Command::new(cargo)
        .args(words)
        .current_dir(repository())
        .env("HITCHLINE__STORE__DIR", state.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (said, code) = until_ready(daemon);
    assert!(said.iter().any(|line| line.starts_with("simulator: http://127.0.0.1:")), "{said:?}");
    assert_eq!(code, Some(0));
}

#[test]
fn the_configurations_are_valid() {
    let home = tempfile::tempdir().unwrap();
    for program in ["claude-agent-acp", "python3", "tmux"] {
        let path = home.path().join(program);
        fs::write(&path, "#!/bin/sh\necho tmux 3.5\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let password = home.path().join("opencode.password");
    fs::write(&password, "secret").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let blocks: Vec<Vec<String>> = DOCUMENTS.iter().flat_map(|document| blocks(document, "toml")).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let file = home.path().join("hitchline.toml");
        fs::write(&file, block.join("\n")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_hitchline"))
            .args(["check", "--config"])
            .arg(&file)
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", home.path())
            .env("SLACK_BOT_TOKEN", "xoxb-1-good")
            .env("SLACK_APP_TOKEN", "xapp-1-good")
            .env("ANTHROPIC_API_KEY", "key")
            .output()
            .unwrap();
        assert!(output.status.success(), "{block:#?}: {output:?}");
    }
}

#[test]
fn every_key_without_effect_is_listed() {
    let (readme, keys) = (read("README.md"), read("config/hitchline.toml"));
    let section = readme.split("## Not there yet").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let mut unlisted =
        keys.split("n this version").skip(1).filter_map(|rest| rest.split("\n#").find(|line| line.contains(" = ")));
    let listed = |line: &str| line.split(" = ").next().is_some_and(|key| section.contains(&format!(".{key}`")));
    assert_eq!(unlisted.find(|line| !listed(line)), None);
}

#[test]
fn every_file_that_is_linked_is_there() {
    for document in DOCUMENTS {
        let text = read(document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let is_file = !target.is_empty() && !target.contains("://");
            assert!(!is_file || repository().join(target).exists(), "{document}: {target}");
        }
    }
}

#[test]
fn every_test_that_a_promise_names_is_there() {
    let readme = read("README.md");
    let section = readme.split("## What it promises").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let named: Vec<&str> = section.split('`').skip(1).step_by(2).filter(|name| !name.contains(' ')).collect();
    assert!(named.len() > 12, "{named:?}");
    let mut sources = String::new();
    let mut open = vec![repository().join("src"), repository().join("tests")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    let missing: Vec<&str> = named.into_iter().filter(|name| !sources.contains(&format!("fn {name}"))).collect();
    assert_eq!(missing, [""; 0]);
}

/// Between these lines of the README is the table of what each kind of agent keeps.
const TABLE: [&str; 2] = ["<!-- contract: begin -->\n", "<!-- contract: end -->\n"];

#[test]
fn the_table_of_agents_is_what_their_tests_found() {
    let cells = contract::ROWS.iter().enumerate().map(|(at, _)| {
        let verdict = |column: &&str| fs::read_to_string(contract::note(at + 1, column)).ok();
        contract::COLUMNS.iter().map(verdict).collect::<Option<Vec<String>>>()
    });
    let Some(cells) = cells.collect::<Option<Vec<_>>>() else {
        assert!(std::env::var_os("CI").is_none(), "not every row came to a verdict: see the tests of the backends");
        // Straight to the terminal: what goes through `eprintln!` is kept from it when a test passes.
        return writeln!(stderr(), "NOT COMPARED: the README's table of agents; not every row was run").unwrap();
    };
    let (readme, table) = (read("README.md"), table(&cells));
    let (before, rest) = readme.split_once(TABLE[0]).unwrap();
    let (shown, after) = rest.split_once(TABLE[1]).unwrap();
    if std::env::var_os("HITCHLINE_WRITE_README").is_some() {
        let text = [before, TABLE[0], &table, TABLE[1], after].concat();
        return fs::write(repository().join("README.md"), text).unwrap();
    }
    assert_eq!(shown, table, "the sentence above the table says how it is made anew");
}

/// The table, and below it why cells hold a letter.
fn table(cells: &[Vec<String>]) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    let mut lines =
        vec![format!("| # | asked | {} |", contract::COLUMNS.join(" | ")), format!("|--:|---|{}", "---|".repeat(6))];
    for (at, (asked, verdicts)) in contract::ROWS.iter().zip(cells).enumerate() {
        let cells: Vec<String> = verdicts.iter().map(|verdict| cell(verdict, &mut reasons)).collect();
        lines.push(format!("| {} | {asked} | {} |", at + 1, cells.join(" | ")));
    }
    lines.push(String::new());
    lines.extend(reasons.iter().enumerate().map(|(at, reason)| format!("- {}: {reason}.", letter(at))));
    lines.join("\n") + "\n"
}

fn cell<'a>(verdict: &'a str, reasons: &mut Vec<&'a str>) -> String {
    let Some((kept, reason)) = verdict.split_once('\n') else { return "✓".to_owned() };
    let at = reasons.iter().position(|known| *known == reason).unwrap_or_else(|| {
        reasons.push(reason);
        reasons.len() - 1
    });
    format!("{}{}", if kept == "cannot" { "" } else { "✓ " }, letter(at))
}

fn letter(at: usize) -> char {
    ('a'..='z').nth(at).unwrap()
}
