//! The built binary: what it says to mistakes, and with which exit code.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test that called it")]

use std::path::{Path, PathBuf};

use std::process::Stdio;

use assert_cmd::Command;
use tempfile::TempDir;

const GOOD_TOKENS: [(&str, &str); 2] = [("SLACK_BOT_TOKEN", "xoxb-1-good"), ("SLACK_APP_TOKEN", "xapp-1-good")];

/// Names and values of environment variables.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// A HOME of its own, so that nobody's configuration plays a part.
struct Home(TempDir);

/// What one run of the binary left.
#[derive(Debug)]
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a configuration file and returns its path.
    fn write(&self, text: &str) -> String {
        let path = self.path("hitchline.toml");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str], variables: Variables) -> Run {
        let mut command = Command::cargo_bin("hitchline").unwrap();
        command.env_clear().env("HOME", self.0.path()).env("PATH", "/usr/bin:/bin");
        let output = command.args(arguments).envs(variables.iter().copied()).output().unwrap();
        Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs `check` and `run` on a configuration: both must refuse it in the same words, before anything is started.
    fn refused(&self, text: &str, variables: Variables) -> String {
        let file = self.write(text);
        let checked = self.run(&["check", "--config", &file], variables);
        let ran = self.run(&["run", "--config", &file], variables);
        assert_eq!((checked.code, ran.code), (78, 78), "{checked:?} {ran:?}");
        assert_eq!((checked.stdout.as_str(), ran.stdout.as_str()), ("", ""));
        assert!(!self.path(".local").exists(), "nothing may be made before the configuration is good");
        let said = checked.stderr.lines().filter(|line| !line.starts_with("hitchline: warning: "));
        let said: Vec<&str> = said.collect();
        assert_eq!(said, ran.stderr.lines().collect::<Vec<_>>());
        said.join("\n").replace(&file, "FILE")
    }
}

#[test]
fn each_mistake_gets_one_sentence() {
    let cases: [(&str, Variables, &str); 8] = [
        (
            "",
            &[("SLACK_APP_TOKEN", "xapp-1")],
            "hitchline: slack.bot_token: is missing; set it, slack.bot_token_file or SLACK_BOT_TOKEN to the bot token \
             (xoxb-…) from your app's page “OAuth & Permissions”",
        ),
        (
            "",
            &[("SLACK_BOT_TOKEN", "xoxb-1"), ("SLACK_APP_TOKEN", "xoxb-2")],
            "hitchline: slack.app_token: is no app-level token: one begins with xapp-, then letters, digits and dashes; \
             copy it from your app's page “Basic Information, App-Level Tokens”",
        ),
        (
            "[slack]\nsokets = 2",
            &GOOD_TOKENS,
            "hitchline: slack.sokets: unknown key (in FILE); did you mean `sockets`?",
        ),
        (
            "[http]\ntoken = 'a'\ntoken_file = 'b'",
            &GOOD_TOKENS,
            "hitchline: http.token: stands beside http.token_file (in FILE); keep one of the two",
        ),
        (
            "[backends.claude]\nkind = 'acp'\ncommand = ['no-such-agent', '--acp']",
            &GOOD_TOKENS,
            "hitchline: backends.claude.command: `no-such-agent` is not found or can't be executed; install it, or write \
             its whole path",
        ),
        (
            "[slack]\nbot_token_file = '/nowhere/bot'",
            &[("SLACK_APP_TOKEN", "xapp-1")],
            "hitchline: slack.bot_token_file: /nowhere/bot can't be read: No such file or directory (os error 2); name a \
             file that this user may read",
        ),
        (
            "[slack]\nsockets =",
            &GOOD_TOKENS,
            "hitchline: FILE, line 2: string values must be quoted, expected literal string",
        ),
        (
            "log.level = 'warn'\nlog.level = 'info'",
            &GOOD_TOKENS,
            "hitchline: FILE, line 2: `level` stands here a second time; keep one of the two",
        ),
    ];
    for (text, variables, expected) in cases {
        assert_eq!(Home::new().refused(text, variables), expected, "{text}");
    }
}

#[test]
fn each_value_that_can_not_work_gets_one_sentence() {
    let cases: [(&str, Variables, &str); 8] = [
        (
            "[sessions]\napproval_timeout = 10",
            &GOOD_TOKENS,
            "hitchline: sessions.approval_timeout: `10` is no duration (in FILE); write one such as 30s, 5m or 1h",
        ),
        (
            "[sessions]\nqueue_limit = -1",
            &GOOD_TOKENS,
            "hitchline: sessions.queue_limit: `-1` is too small (in FILE); write a positive whole number",
        ),
        (
            "[sessions]\nqueue_limit = 4294967296",
            &GOOD_TOKENS,
            "hitchline: sessions.queue_limit: `4294967296` is too large (in FILE); 4294967295 is the most",
        ),
        (
            "[sessions]\nqueue_limit = 0",
            &GOOD_TOKENS,
            "hitchline: sessions.queue_limit: is 0, so that nothing could be taken on; write at least 1",
        ),
        (
            "[backends.a]\nkind = 'screen'",
            &GOOD_TOKENS,
            "hitchline: backends.a.kind: `screen` is not `acp`, `amplifierd`, `echo`, `opencode` or `tmux` (in FILE)",
        ),
        (
            "[http]\ntoken_file = '/dev/null'",
            &GOOD_TOKENS,
            "hitchline: http.token_file: /dev/null is empty; write the secret into it",
        ),
        (
            "",
            &[("SLACK_BOT_TOKEN", "xoxb-1"), ("SLACK_APP_TOKEN_FILE", "/dev/null")],
            "hitchline: slack.app_token_file: /dev/null is empty; write the secret into it",
        ),
        (
            "[http_client]\nca_file = '/dev/null'",
            &GOOD_TOKENS,
            "hitchline: http_client.ca_file: /dev/null holds no certificate; name a PEM file with `-----BEGIN \
             CERTIFICATE-----` in it",
        ),
    ];
    for (text, variables, expected) in cases {
        assert_eq!(Home::new().refused(text, variables), expected, "{text}");
    }
}

#[test]
fn each_mistake_about_an_agent_names_its_key() {
    let cases = [
        ("process = 'none'", "process: `none` is not `per-session` or `shared` (in FILE)"),
        ("on_shutdown = 'detach'", "on_shutdown: `detach` is not supported (in FILE); only `end` is"),
        ("create_timeout = 30", "create_timeout: `30` is no duration (in FILE); write one such as 30s, 5m or 1h"),
        (
            "create_timeout = '0s'",
            "create_timeout: is 0, so that everything would time out at once; write one such as 10m",
        ),
    ];
    for (key, expected) in cases {
        let text = format!("[backends.claude]\nkind = 'acp'\ncommand = ['sh']\n{key}");
        let said = Home::new().refused(&text, &GOOD_TOKENS);
        assert_eq!(said, format!("hitchline: backends.claude.{expected}"), "{key}");
    }
}

#[test]
fn no_token_is_ever_repeated() {
    let home = Home::new();
    let text = "[slack]\nbot_token = 'xoxp-canary-1'\napp_token = 'canary 2'\nsockets = 'xoxb-canary-3'\n[log]\nlevel = 'xapp-canary-4'";
    let said = home.refused(text, &[]);
    assert!(!said.contains("canary") && said.lines().count() == 4, "{said}");
    let broken = home.refused("[slack]\nbot_token = 'xoxb-canary", &[]);
    assert!(!broken.contains("canary"), "{broken}");
}

#[test]
fn a_file_that_is_no_text_is_told_from_one_that_can_not_be_read() {
    let home = Home::new();
    let path = home.path("hitchline.toml");
    std::fs::write(&path, b"# caf\xe9\n").unwrap();
    let run = home.run(&["check", "--config", path.to_str().unwrap()], &GOOD_TOKENS);
    let expected = format!("hitchline: {} is no UTF-8 text; save it as such\n", path.display());
    assert_eq!((run.code, run.stderr), (78, expected));
}

#[test]
fn a_state_directory_that_can_not_be_made_is_found_by_the_check() {
    let home = Home::new();
    let blocked = home.path("hitchline.toml").join("state");
    let said = home.refused(&format!("store.dir = '{}'", blocked.display()), &GOOD_TOKENS);
    assert_eq!(said, "hitchline: store.dir: FILE is not a directory; name a directory that this user may write");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let run = Home::new().run(&["check", "--config", "/nowhere/h.toml"], &GOOD_TOKENS);
    let expected = "hitchline: /nowhere/h.toml can't be read: No such file or directory (os error 2); name a file that this user may read\n";
    assert_eq!((run.code, run.stderr.as_str()), (78, expected));
}

#[test]
fn without_any_configuration_it_says_what_to_write() {
    let home = Home::new();
    for command in ["run", "check"] {
        let run = home.run(&[command], &[]);
        let file = home.path(".config/hitchline/hitchline.toml");
        assert_eq!(run.code, 78);
        assert!(run.stderr.starts_with("hitchline: no configuration: there is no "), "{}", run.stderr);
        let folder = file.parent().unwrap().display();
        let write = format!("`mkdir -p {folder} && hitchline config default > {}`", file.display());
        assert!(run.stderr.contains(&write), "{}", run.stderr);
    }
}

#[test]
fn the_simulator_refuses_real_tokens() {
    let run = Home::new().run(&["run", "--simulator"], &GOOD_TOKENS);
    let expected = "hitchline: slack.bot_token is set (in SLACK_BOT_TOKEN), but `--simulator` talks to no real Slack; take the \
                    token away, or `--simulator`\n";
    assert_eq!((run.code, run.stderr.as_str()), (64, expected));
}

#[test]
fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    let home = Home::new();
    let wrong: [&[&str]; 6] = [
        &[],
        &["frobnicate"],
        &["run", "--simulater"],
        &["run", "--simulator-listen", "127.0.0.1:0"],
        &["simulator", "--listen", "here"],
        &["check", "--config"],
    ];
    for arguments in wrong {
        let run = home.run(arguments, &[]);
        assert_eq!((run.code, run.stdout.as_str()), (64, ""), "{arguments:?}");
        let helped = run.stderr.contains("Usage: hitchline") || run.stderr.contains("try '--help'");
        assert!(helped, "{}", run.stderr);
    }
    let unknown = home.run(&["frobnicate"], &[]);
    assert!(unknown.stderr.starts_with("error: unrecognized subcommand 'frobnicate'"), "{}", unknown.stderr);
    for command in ["run", "simulator"] {
        for (flag, wrong) in [("--log-level", "bogus"), ("--log-level", "lo ud"), ("--log-format", "xml")] {
            let run = home.run(&[command, flag, wrong], &[]);
            assert_eq!(run.code, 64, "{run:?}");
            assert!(run.stderr.starts_with(&format!("error: invalid value '{wrong}' for '{flag} <")), "{run:?}");
        }
    }
    let mood = home.run(&["simulator", "--personality", r#"{"mood":"good"}"#], &[]);
    assert_eq!(mood.code, 64, "{mood:?}");
    assert!(mood.stderr.contains("unknown field `mood`, expected one of `redelivers_offline`"), "{mood:?}");
    let watch = home.run(&["probe", "--channel", "C1", "--watch", "2h"], &[]);
    assert!(watch.stderr.contains("write a duration from 1s to 1h, such as 6m"), "{watch:?}");
    let listen = home.run(&["simulator", "--listen", "localhost:0"], &[]);
    assert!(listen.stderr.contains("write an IP address with a port, such as 127.0.0.1:0"), "{listen:?}");
}

#[test]
fn what_is_lost_on_its_way_out_is_no_success() {
    let home = Home::new();
    let file = home.write("");
    let commands: [&[&str]; 8] = [
        &["config", "default"],
        &["config", "schema"],
        &["config", "show", "--config", &file],
        &["completions", "bash"],
        &["manifest"],
        &["man"],
        &["check", "--config", &file],
        &["--help"],
    ];
    for arguments in commands {
        let run = |stdout: Stdio| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hitchline"));
            let command = command.args(arguments).env_clear().env("HOME", home.0.path()).envs(GOOD_TOKENS);
            let output = command.stdout(stdout).output().unwrap();
            (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
        };
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, said) = run(full.into());
        assert_eq!(code, 70, "{arguments:?}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(last, "hitchline: stdout can't be written: No space left on device (os error 28)", "{arguments:?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (code, said) = run(writer.into());
        assert!(code == 0 && !said.contains("stdout"), "{arguments:?}: {said}");
    }
}

#[test]
fn the_configuration_of_the_simulator_wants_no_token() {
    let home = Home::new();
    let checked = home.run(&["check", "--simulator"], &[]);
    assert_eq!((checked.code, checked.stdout.as_str()), (0, "the configuration is good\n"), "{checked:?}");
    let shown = home.run(&["config", "show", "--simulator"], &[]);
    assert!(shown.code == 0 && shown.stdout.contains("users = [\"*\"]"), "{shown:?}");
    assert_eq!(home.run(&["check", "--simulator"], &GOOD_TOKENS).code, 64);
}

#[test]
fn a_variable_that_is_not_read_is_named() {
    let home = Home::new();
    let file = home.write("access.users = ['*']");
    let variables = [GOOD_TOKENS[0], GOOD_TOKENS[1], ("HITCHLINE_SLACK_SOCKETS", "2")];
    let run = home.run(&["check", "--config", &file], &variables);
    let warning = "hitchline: warning: HITCHLINE_SLACK_SOCKETS: is not read; did you mean HITCHLINE__SLACK__SOCKETS?\n";
    assert_eq!((run.code, run.stderr.as_str()), (0, warning));
}

#[test]
fn help_and_version_are_no_errors() {
    let home = Home::new();
    let help = home.run(&["--help"], &[]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for command in ["run", "simulator", "check", "manifest", "healthcheck", "probe", "config", "completions", "man"] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command}: {}", help.stdout);
    }
    let version = home.run(&["--version"], &[]);
    assert_eq!((version.code, version.stdout), (0, format!("hitchline {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_effective_configuration_hides_what_is_secret() {
    let home = Home::new();
    let file = home.write(
        "[slack]\nbot_token = 'xoxb-canary'\nsockets = 2\n[http]\ntoken = 'canary'\n[backends.a]\nkind = 'acp'\ncommand = ['sh']\nenv = { KEY = 'canary' }",
    );
    let run = home.run(&["config", "show", "--config", &file], &[("SLACK_APP_TOKEN", "xapp-canary")]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stdout.contains("canary"), "{}", run.stdout);
    let shown: toml::Table = toml::from_str(&run.stdout).unwrap();
    let hidden = [
        &shown["slack"]["bot_token"],
        &shown["slack"]["app_token"],
        &shown["http"]["token"],
        &shown["backends"]["a"]["env"]["KEY"],
    ];
    assert!(hidden.iter().all(|value| value.as_str() == Some("(hidden)")), "{}", run.stdout);
    assert_eq!(shown["slack"]["sockets"].as_integer(), Some(2));
}

#[test]
fn the_printed_default_is_a_good_configuration() {
    let home = Home::new();
    let printed = home.run(&["config", "default"], &[]);
    let file = home.write(&printed.stdout);
    let checked = home.run(&["check", "--config", &file], &GOOD_TOKENS);
    assert_eq!((printed.code, checked.code), (0, 0), "{}", checked.stderr);
    assert_eq!(checked.stdout, format!("{file} is good\n"));
    // Nobody may prompt yet, which is worth a word.
    assert!(checked.stderr.starts_with("hitchline: warning: access.users: is empty"), "{}", checked.stderr);
}

#[test]
fn every_shipped_configuration_is_good() {
    let home = Home::new();
    let secret = home.path("secret");
    std::fs::write(&secret, "xoxb-1").unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config")).unwrap() {
        let path = entry.unwrap().path();
        let run = home.run(&["check", "--config", path.to_str().unwrap()], &GOOD_TOKENS);
        assert_eq!(run.code, 0, "{}: {}", path.display(), run.stderr);
        seen += 1;
    }
    assert!(seen >= 1);
}

#[test]
fn the_schema_describes_every_key() {
    let run = Home::new().run(&["config", "schema"], &[]);
    let schema: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let mut described = 0;
    assert_described(&schema, "", &mut described);
    assert!(described > 50, "{described}");
}

fn assert_described(node: &serde_json::Value, path: &str, described: &mut u32) {
    for (name, property) in node["properties"].as_object().into_iter().flatten() {
        let text = property["description"].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{path}/{name} has no description");
        *described += 1;
    }
    match node {
        serde_json::Value::Object(table) => {
            table.iter().for_each(|(name, child)| assert_described(child, &format!("{path}/{name}"), described));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| assert_described(item, path, described)),
        _ => {}
    }
}

#[test]
fn the_manifest_needs_no_token_and_follows_the_configuration() {
    let home = Home::new();
    let file = home.write("slack.command = '/ask'\nslack.bot_token_file = 'not-there-yet'");
    let json = home.run(&["manifest", "--config", &file], &[]);
    let manifest: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(manifest["features"]["slash_commands"][0]["command"], "/ask");
    let yaml = home.run(&["manifest", "--format", "yaml"], &[]);
    assert!(yaml.code == 0 && yaml.stdout.contains("/hitch"), "{yaml:?}");
    let url = home.run(&["manifest", "--format", "url"], &[]);
    assert!(url.stdout.starts_with("https://api.slack.com/apps?new_app=1&manifest_"), "{url:?}");
}

#[test]
fn completions_and_the_man_page_know_the_commands() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let run = home.run(&["completions", shell], &[]);
        assert!(run.code == 0 && run.stdout.contains("healthcheck"), "{shell}: {run:?}");
    }
    let man = home.run(&["man"], &[]);
    assert!(man.code == 0 && man.stdout.contains(".TH hitchline") && man.stdout.contains("healthcheck"), "{man:?}");
}

#[test]
fn a_healthcheck_without_a_daemon_fails_with_a_sentence() {
    let home = Home::new();
    let run = home.run(&["healthcheck"], &[]);
    let socket = home.path(".local/state/hitchline/ctl.sock");
    let expected = format!(
        "hitchline: no daemon listens on {}; is it running, with this state directory, as this user?\n",
        socket.display()
    );
    assert_eq!((run.code, run.stderr), (1, expected));
}

#[test]
fn a_taken_address_is_found_before_anything_is_started() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = home.run(&["run", "--simulator"], &[("HITCHLINE__HTTP__LISTEN", &address)]);
    assert_eq!((run.code, run.stdout.as_str()), (78, ""), "{run:?}");
    assert!(run.stderr.contains(&format!("hitchline: http.listen: {address} can't be opened")), "{run:?}");
    assert!(!home.path(".local").exists(), "no state is left behind");
}

#[test]
fn a_healthcheck_of_the_simulator_needs_one_that_runs() {
    let home = Home::new();
    let run = home.run(&["healthcheck", "--simulator"], &[]);
    assert_eq!((run.code, run.stderr.as_str()), (1, "hitchline: no `run --simulator` is running as this user\n"));
    let dir = home.path("state");
    let named = home.run(&["healthcheck", "--simulator"], &[("HITCHLINE__STORE__DIR", dir.to_str().unwrap())]);
    assert!(named.stderr.contains(&format!("no daemon listens on {}", dir.join("ctl.sock").display())), "{named:?}");
}
