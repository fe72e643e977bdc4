use std::os::unix::fs::PermissionsExt;

use super::backends::is_found;
use super::*;
use crate::backend::config::{Acp, Amplifierd, Config as Backend, Opencode, Tmux};

fn findings(change: impl FnOnce(&mut Settings)) -> Findings {
    let mut settings = Settings::default();
    settings.slack.bot_token = Some("xoxb-1-a".to_owned().into());
    settings.slack.app_token = Some("xapp-1-a".to_owned().into());
    settings.access.users = vec!["*".to_owned()];
    settings.store.dir = std::env::temp_dir().join("not-there/hitchline");
    change(&mut settings);
    let mut findings = Findings::default();
    let environment = Environment::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    check(&settings, false, &environment, &mut findings);
    findings
}

/// The one problem that a change makes.
fn problem(change: impl FnOnce(&mut Settings)) -> String {
    let found = findings(change);
    assert_eq!(found.problems.len(), 1, "{found:?}");
    found.problems[0].to_string()
}

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

#[test]
fn good_settings_have_neither_problems_nor_warnings() {
    assert_eq!(findings(|_| {}), Findings::default());
}

#[test]
fn tokens_have_their_shape() {
    let secret = |text: &str| Some(text.to_owned().into());
    assert!(problem(|s| s.slack.bot_token = None).starts_with("slack.bot_token: is missing; set it"));
    for wrong in ["", "xoxb-", "xapp-1", "xoxb-1 2", "xoxb-1\n", "\"xoxb-1\""] {
        let text = problem(|s| s.slack.bot_token = secret(wrong));
        assert!(text.starts_with("slack.bot_token: is no bot token: one begins with xoxb-"), "{wrong:?}: {text}");
    }
    assert!(problem(|s| s.slack.app_token = secret("xoxb-1")).contains("is no app-level token"));
}

#[test]
fn the_simulator_asks_for_no_token() {
    let mut findings = Findings::default();
    let mut settings = Settings::default();
    settings.store.dir = std::env::temp_dir().join("not-there");
    check(&settings, true, &Environment::new(), &mut findings);
    assert_eq!(findings.problems, []);
}

#[test]
fn only_this_machine_is_spoken_to_in_the_clear() {
    for good in ["https://slack.com/api/", "http://127.0.0.1:8080/api/", "http://[::1]/", "http://localhost/api/"] {
        assert_eq!(api_url(good), Ok(()), "{good}");
    }
    for bad in ["http://slack.com/api/", "http://127.0.0.1.example.com/", "ftp://slack.com", "slack.com", ""] {
        assert!(api_url(bad).is_err(), "{bad}");
    }
}

#[test]
fn ids_look_like_ids() {
    let wrong_people = ["@ann", "ann", "u123", "C1", "U", "U1 ", "t:U1", "*U1"];
    for id in wrong_people {
        assert!(problem(|s| s.access.users = list(&[id])).starts_with("access.users[0]: "), "{id}");
    }
    assert_eq!(findings(|s| s.access.users = list(&["U1", "W0AB"])).problems, []);
    // Everybody as an admin, or every bot, can't be meant.
    assert!(problem(|s| s.access.admins = list(&["*"])).starts_with("access.admins[0]"));
    assert!(problem(|s| s.access.bots = list(&["B1", "*"])).starts_with("access.bots[1]"));
    assert!(problem(|s| s.access.channels = list(&["#general"])).contains("`#general` is not a channel id"));
}

#[test]
fn names_lead_somewhere() {
    let route = |channel: &str, backend: Option<&str>, dir: Option<&str>| Route {
        channel: channel.to_owned(),
        backend: backend.map(str::to_owned),
        working_dir: dir.map(Into::into),
    };
    let text = problem(|s| s.sessions.backend = "claude".to_owned());
    assert_eq!(text, "sessions.backend: no backend is called `claude`; there are: echo; or add [backends.claude]");
    assert!(problem(|s| s.routes = vec![route("C1", Some("x"), None)]).starts_with("routes[0].backend: no backend"));
    assert!(
        problem(|s| s.routes = vec![route("C1", None, Some("/nowhere"))])
            .starts_with("routes[0].working_dir: /nowhere")
    );
    let twice = vec![route("C1", None, None), route("C1", None, None)];
    assert!(problem(|s| s.routes = twice).starts_with("routes[1].channel: `C1` has a route already"));
    assert!(problem(|s| s.access.roots = vec!["/nowhere".into()]).starts_with("access.roots[0]: /nowhere"));
}

#[test]
fn limits_make_sense() {
    assert!(problem(|s| s.slack.sockets = 5).starts_with("slack.sockets: is 5; hold 1 to 4"));
    assert!(problem(|s| s.sessions.turn_timeout = Duration::ZERO).starts_with("sessions.turn_timeout: is 0"));
    assert_eq!(findings(|s| s.sessions.idle_expiry = Duration::ZERO).problems, []);
    let text = problem(|s| s.shutdown.turn_grace = s.shutdown.total);
    assert!(text.starts_with("shutdown.turn_grace: must be shorter"), "{text}");
    assert!(problem(|s| s.log.level = "loud".to_owned()).starts_with("log.level: `loud` is no log level"));
    assert!(problem(|s| s.slack.command = "hitch".to_owned()).starts_with("slack.command: is no slash command"));
}

#[test]
fn what_can_be_lived_with_is_a_warning() {
    let closed = findings(|s| s.access.users.clear());
    assert!(closed.is_ok() && closed.warnings[0].sentence.contains("nobody may prompt yet"));
    let silent = findings(|s| s.access.channels.clear());
    assert_eq!(silent.warnings[0].key, "access.channels");
    let kept_out = findings(|s| s.access.users = list(&["T1:U1"]));
    assert_eq!(kept_out.warnings[0].key, "access.external_users");
    let heard = findings(|s| {
        s.http.listen = Some(([0, 0, 0, 0], 4680).into());
        s.http.token = Some("secret".to_owned().into());
    });
    assert_eq!(heard.warnings[0].key, "http.listen");
    let probes_only = findings(|s| s.http.listen = Some(([0, 0, 0, 0], 4680).into()));
    assert!(probes_only.warnings.is_empty(), "{probes_only:?}");
}

#[test]
fn a_program_is_found_by_name_or_by_path() {
    for (program, search, found) in [
        ("sh", "/usr/bin:/bin", true),
        ("/bin/sh", "", true),
        ("sh", "", false),
        ("no-such-agent", "/usr/bin:/bin", false),
        ("/bin", "", false),
        ("/etc/passwd", "", false),
        ("", "/bin", false),
    ] {
        assert_eq!(is_found(program, search), found, "{program:?} in {search:?}");
    }
}

#[test]
fn no_time_limit_is_zero() {
    assert!(problem(|s| s.sessions.turn_timeout = Duration::ZERO).starts_with("sessions.turn_timeout: is 0"));
    let agent = Acp { command: list(&["sh"]), create_timeout: Some(Duration::ZERO), ..Acp::default() };
    let said = problem(|s| drop(s.backends.insert("a".to_owned(), Backend::Acp(agent))));
    assert!(said.starts_with("backends.a.create_timeout: is 0"), "{said}");
}

#[test]
fn a_state_directory_can_be_made_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let (file, open) = (folder.path().join("file"), folder.path().join("open"));
    std::fs::write(&file, "").unwrap();
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    for below in [file.clone(), file.join("state/deep")] {
        let said = problem(|s| s.store.dir = below);
        assert!(said.starts_with("store.dir: ") && said.contains("/file is not a directory; "), "{said}");
    }
    assert_eq!(findings(|s| s.store.dir = folder.path().join("state/deep")), Findings::default());
    assert!(!folder.path().join("state").exists(), "looking makes nothing");
    let warned = findings(|s| s.store.dir.clone_from(&open));
    assert!(warned.is_ok() && warned.warnings[0].to_string().contains("`chmod 700 "), "{warned:?}");
}

#[test]
fn a_mode_tells_who_surely_can_not_write() {
    let folder = tempfile::tempdir().unwrap();
    let is_root = rustix::process::geteuid().is_root();
    for (mode, refused) in [(0o500, true), (0o555, true), (0o700, false), (0o300, false)] {
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let metadata = folder.path().metadata().unwrap();
        assert_eq!(is_surely_read_only(&metadata), refused && !is_root, "{mode:o}");
    }
}

#[test]
fn what_can_not_work_is_found_before_anything_starts() {
    assert!(problem(|s| s.sessions.queue_limit = 0).starts_with("sessions.queue_limit: is 0, so that nothing"));
    assert!(problem(|s| s.sessions.max_file_size = 0).starts_with("sessions.max_file_size: is 0, so that no file"));
    assert!(problem(|s| s.http.token = Some(String::new().into())).starts_with("http.token: is empty"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n").unwrap();
    let said = problem(|s| s.http_client.ca_file = Some(file));
    assert!(said.starts_with("http_client.ca_file: ") && said.contains("holds no certificate"), "{said}");
}

#[test]
fn a_variable_that_an_agent_will_miss_is_named() {
    let agent = Acp { command: list(&["sh"]), env_pass: list(&["PATH", "NO_SUCH_KEY"]), ..Acp::default() };
    let found = findings(|s| drop(s.backends.insert("a".to_owned(), Backend::Acp(agent))));
    let said: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["backends.a.env_pass: `NO_SUCH_KEY` is not set here, so the agent does not get it"]);
    assert!(found.is_ok());
}

#[test]
fn the_server_of_an_agent_has_a_url_that_holds_no_secret() {
    let cases = [
        ("http://127.0.0.1:8410", None),
        ("https://agents.example/amplifier/", None),
        ("127.0.0.1:8410", Some("is no URL")),
        ("ftp://agents.example", Some("has the scheme `ftp`")),
        ("http://me:secret@agents.example", Some("holds a name or a password")),
        ("http://agents.example/?key=secret", Some("goes on after the path")),
    ];
    for (url, expected) in cases {
        let server = Amplifierd { url: url.to_owned(), ..Amplifierd::default() };
        let found = findings(|s| drop(s.backends.insert("a".to_owned(), Backend::Amplifierd(server))));
        let said = found.problems.first().map(ToString::to_string);
        assert_eq!(said.is_some(), expected.is_some(), "{url}: {said:?}");
        assert!(said.is_none_or(|said| said.starts_with(&format!("backends.a.url: {}", expected.unwrap()))), "{url}");
    }
}

#[test]
fn a_secret_goes_to_another_machine_in_the_clear_only_with_a_warning() {
    for (url, key, warned) in [
        ("http://agents.example", Some("k"), true),
        ("http://agents.example", None, false),
        ("https://agents.example", Some("k"), false),
        ("http://localhost:8410", Some("k"), false),
    ] {
        let api_key = key.map(|key| SecretString::from(key).into());
        let server = Amplifierd { url: url.to_owned(), api_key, ..Amplifierd::default() };
        let found = findings(|s| drop(s.backends.insert("a".to_owned(), Backend::Amplifierd(server))));
        assert_eq!((found.is_ok(), !found.warnings.is_empty()), (true, warned), "{url}");
    }
}

#[test]
fn a_model_is_named_with_its_provider_and_a_password_is_not_empty() {
    let with = |model: &str, password: &str| {
        let password = Some(SecretString::from(password).into());
        let server = Opencode { model: Some(model.to_owned()), password, ..Opencode::default() };
        findings(|s| drop(s.backends.insert("a".to_owned(), Backend::Opencode(server)))).problems
    };
    assert_eq!(with("anthropic/claude", "p"), []);
    assert!(with("claude", "p")[0].to_string().starts_with("backends.a.model: `claude` names no provider"));
    assert!(with("a/b", " ")[0].to_string().starts_with("backends.a.password: is empty"));
}

/// The one problem of a program in tmux that is configured so.
fn tmux_problem(change: impl FnOnce(&mut Tmux)) -> String {
    let mut tmux = Tmux { command: list(&["sh"]), ..Tmux::default() };
    change(&mut tmux);
    let settings = |settings: &mut Settings| {
        settings.backends.insert("repl".to_owned(), Backend::Tmux(tmux));
    };
    // Whether tmux is there is another matter.
    let mut found = findings(settings).problems;
    found.retain(|problem| problem.key != "backends.repl.kind");
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_program_in_a_terminal_has_patterns_times_and_a_size_that_make_sense() {
    assert_eq!(tmux_problem(|_| {}), "");
    let bad = tmux_problem(|tmux| tmux.done = Some("(".to_owned()));
    assert!(
        bad.starts_with("backends.repl.done: is no regular expression: ") && bad.contains("unclosed group"),
        "{bad}"
    );
    let bad = tmux_problem(|tmux| tmux.ready = Some("[z-a]".to_owned()));
    assert!(bad.starts_with("backends.repl.ready: ") && !bad.contains('\n'), "{bad}");
    let bad = tmux_problem(|tmux| tmux.idle = Some(Duration::ZERO));
    assert!(bad.starts_with("backends.repl.idle: is 0"), "{bad}");
    let bad = tmux_problem(|tmux| (tmux.columns, tmux.rows) = (5, 2_000));
    assert_eq!(
        bad,
        "backends.repl.columns: is 5; a screen has 20 to 1000\nbackends.repl.rows: is 2000; a screen has 5 to 1000"
    );
    let bad = tmux_problem(|tmux| tmux.command = list(&[]));
    assert!(bad.starts_with("backends.repl.command: is missing"), "{bad}");
}

#[test]
fn a_program_in_a_terminal_wants_tmux_and_room_for_its_socket() {
    let configure = |settings: &mut Settings| {
        let tmux = Tmux { command: list(&["/bin/sh"]), ..Tmux::default() };
        settings.backends.insert("repl".to_owned(), Backend::Tmux(tmux));
    };
    let mut settings = Settings::default();
    settings.store.dir = std::env::temp_dir().join("x".repeat(90));
    configure(&mut settings);
    let mut findings = Findings::default();
    check(&settings, true, &Environment::from([("PATH".to_owned(), "/nowhere".to_owned())]), &mut findings);
    let keys: Vec<&str> = findings.problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["backends.repl.kind", "store.dir"], "{findings:?}");
    assert!(findings.problems[0].to_string().contains("install it"), "{findings:?}");
}
