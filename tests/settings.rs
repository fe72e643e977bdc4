//! Where settings come from, and that nothing is lost on the way.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test that called it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use hitchline::backend::config::Config as Backend;
use hitchline::secret::ExposeSecret;
use hitchline::session::config::{External, OnInterrupt, Route, WhenBusy};
use hitchline::settings::show::to_toml;
use hitchline::settings::sources::{Flags, LoadError, Loaded, load};
use hitchline::settings::{DEFAULT_FILE, Environment, Settings};
use proptest::prelude::*;
use tempfile::TempDir;

/// Names and values of environment variables.
type Variables<'a> = &'a [(&'a str, &'a str)];

fn environment(variables: Variables) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Loads a file with this text, from a folder of its own, which is kept as long as the result.
fn load_text(text: &str, environment: &Environment, flags: Flags) -> (Result<Loaded, LoadError>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hitchline.toml");
    std::fs::write(&file, text).unwrap();
    (load(&Flags { config: Some(file), ..flags }, environment), folder)
}

fn loaded(text: &str, environment: &Environment) -> Loaded {
    let (read, _folder) = load_text(text, environment, Flags::default());
    let mut loaded = read.unwrap();
    loaded.read_secrets();
    loaded
}

fn settings(text: &str, variables: Variables) -> Settings {
    let loaded = loaded(text, &environment(variables));
    assert_eq!(loaded.findings.problems, [], "{text} {variables:?}");
    loaded.settings
}

/// The keys of the problems, in order.
fn problem_keys(text: &str, variables: Variables) -> Vec<String> {
    loaded(text, &environment(variables)).findings.problems.into_iter().map(|problem| problem.key).collect()
}

// === The order of the sources ===

#[test]
fn each_layer_wins_over_the_ones_below() {
    let file = "log.level = 'warn'";
    let variable = environment(&[("HITCHLINE__LOG__LEVEL", "debug")]);
    let flag = Flags { log_level: Some("trace".to_owned()), ..Flags::default() };
    let none = Environment::new();
    let cases = [
        ("", &none, Flags::default(), "info"),
        (file, &none, Flags::default(), "warn"),
        ("", &variable, Flags::default(), "debug"),
        (file, &variable, Flags::default(), "debug"),
        ("", &none, flag.clone(), "trace"),
        (file, &none, flag.clone(), "trace"),
        (file, &variable, flag, "trace"),
    ];
    for (text, environment, flags, expected) in cases {
        let level = load_text(text, environment, flags.clone()).0.unwrap().settings.log.level;
        assert_eq!(level, expected, "{text:?} {environment:?} {flags:?}");
    }
}

#[test]
fn our_own_variable_wins_over_the_name_people_have() {
    let file = "slack.bot_token = 'xoxb-file'";
    let token = |variables| settings(file, variables).slack.bot_token.unwrap().expose_secret().to_owned();
    assert_eq!(token(&[]), "xoxb-file");
    assert_eq!(token(&[("SLACK_BOT_TOKEN", "xoxb-known")]), "xoxb-known");
    assert_eq!(token(&[("SLACK_BOT_TOKEN", "")]), "xoxb-file");
    let both = [("SLACK_BOT_TOKEN", "xoxb-known"), ("HITCHLINE__SLACK__BOT_TOKEN", "xoxb-own")];
    assert_eq!(token(&both), "xoxb-own");
}

#[test]
fn a_variable_is_text_that_takes_the_keys_type() {
    let variables = [
        ("HITCHLINE__ACCESS__USERS", "U1, U2 ,"),
        ("HITCHLINE__ACCESS__CHANNELS", ""),
        ("HITCHLINE__SLACK__SOCKETS", "3"),
        ("HITCHLINE__SESSIONS__AUTO_SESSION", "false"),
        ("HITCHLINE__SESSIONS__IDLE_EXPIRY", "0"),
        ("HITCHLINE__SESSIONS__BACKEND", "0123"),
        ("HITCHLINE__STORE__MIN_FREE", "1GiB"),
        ("HITCHLINE__HTTP__LISTEN", ""),
        ("HITCHLINE__BACKENDS__0123__KIND", "echo"),
    ];
    let settings = settings("", &variables);
    assert_eq!(settings.access.users, ["U1", "U2"]);
    assert!(settings.access.channels.is_empty());
    assert_eq!(settings.slack.sockets, 3);
    assert!(!settings.sessions.auto_session);
    assert_eq!(settings.sessions.idle_expiry, Duration::ZERO);
    // Leading zeros belong to a name.
    assert_eq!(settings.sessions.backend, "0123");
    assert_eq!(settings.store.min_free, 1 << 30);
    assert_eq!(settings.http.listen, None);
    assert_eq!(settings.backends.keys().collect::<Vec<_>>(), ["0123", "echo"]);
}

#[test]
fn the_first_usual_place_is_used_alone() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("xdg/hitchline");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("hitchline.toml"), "slack.sockets = 4").unwrap();
    let xdg = home.path().join("xdg");
    let found = load(&Flags::default(), &environment(&[("XDG_CONFIG_HOME", xdg.to_str().unwrap())])).unwrap();
    assert_eq!((found.settings.slack.sockets, found.file), (4, Some(folder.join("hitchline.toml"))));
}

#[test]
fn the_state_directory_follows_the_environment() {
    let cases: [(Variables, bool, &str); 6] = [
        (&[("HOME", "/home/ann")], false, "/home/ann/.local/state/hitchline"),
        (&[("HOME", "/home/ann"), ("XDG_STATE_HOME", "/s")], false, "/s/hitchline"),
        (&[("XDG_STATE_HOME", "/s"), ("STATE_DIRECTORY", "/var/lib/h:/x")], false, "/var/lib/h"),
        (&[("HOME", "/home/ann")], true, "/home/ann/.local/state/hitchline-simulator"),
        (&[("STATE_DIRECTORY", "/var/lib/h")], true, "/var/lib/h/simulator"),
        (&[("HOME", "/h"), ("HITCHLINE__STORE__DIR", "/own")], true, "/own"),
    ];
    for (variables, simulator, expected) in cases {
        let flags = Flags { simulator, ..Flags::default() };
        let loaded = load_text("", &environment(variables), flags).0.unwrap();
        assert_eq!(loaded.settings.store.dir, Path::new(expected), "{variables:?}");
    }
}

#[test]
fn only_the_simulator_without_a_directory_has_a_fresh_one() {
    let cases: [(&str, Variables, bool, bool); 6] = [
        ("", &[("HOME", "/home/ann")], true, true),
        ("", &[("HOME", "/home/ann"), ("XDG_STATE_HOME", "/s")], true, true),
        ("", &[("HOME", "/home/ann")], false, false),
        ("", &[("STATE_DIRECTORY", "/var/lib/h")], true, false),
        ("", &[("HITCHLINE__STORE__DIR", "/own")], true, false),
        ("store.dir = '/own'", &[], true, false),
    ];
    for (text, variables, simulator, fresh) in cases {
        let flags = Flags { simulator, ..Flags::default() };
        let loaded = load_text(text, &environment(variables), flags).0.unwrap();
        assert_eq!(loaded.fresh_state, fresh, "{text} {variables:?}");
    }
}

// === Secrets ===

#[test]
fn a_secret_and_its_file_are_one_setting() {
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("bot");
    std::fs::write(&file, "xoxb-from-file\n").unwrap();
    let path = file.to_str().unwrap();
    let in_file = format!("slack.bot_token_file = '{path}'");
    let token = |text: &str, variables: Variables| {
        settings(text, variables).slack.bot_token.map(|token| token.expose_secret().to_owned())
    };
    assert_eq!(token(&in_file, &[]).as_deref(), Some("xoxb-from-file"));
    assert_eq!(token(&in_file, &[("SLACK_BOT_TOKEN", "xoxb-v")]).as_deref(), Some("xoxb-v"));
    let twin = [("HITCHLINE__SLACK__BOT_TOKEN_FILE", path)];
    assert_eq!(token("slack.bot_token = 'xoxb-t'", &twin).as_deref(), Some("xoxb-from-file"));
    let over_known = [("HITCHLINE__SLACK__BOT_TOKEN_FILE", path), ("SLACK_BOT_TOKEN", "xoxb-known")];
    assert_eq!(token("", &over_known).as_deref(), Some("xoxb-from-file"));
    assert_eq!(token("", &[("SLACK_BOT_TOKEN_FILE", path)]).as_deref(), Some("xoxb-from-file"));
    let two = [("SLACK_BOT_TOKEN_FILE", path), ("SLACK_BOT_TOKEN", "xoxb-known")];
    assert_eq!(problem_keys("", &two), ["slack.bot_token"]);
    let both = format!("slack.bot_token = 'xoxb-t'\n{in_file}");
    assert_eq!(problem_keys(&both, &[]), ["slack.bot_token"]);
    assert_eq!(problem_keys(&both, &[("SLACK_BOT_TOKEN", "xoxb-v")]), ["slack.bot_token"]);
    assert_eq!(problem_keys("http.token_file = 'nowhere'", &[]), ["http.token_file"]);
}

#[test]
fn the_secret_of_an_agents_server_has_a_twin_too_and_is_not_shown() {
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("key");
    std::fs::write(&file, "from-file\n").unwrap();
    let path = file.to_str().unwrap();
    let of = |kind: &str, text: &str, variables: Variables| {
        let text = format!("[backends.a]\nkind = '{kind}'\n{text}");
        let settings = settings(&text, variables);
        let shown = to_toml(&settings).unwrap();
        let secret = settings.backends["a"].secret().unwrap().1.map(|secret| secret.expose().to_owned());
        assert!(secret.as_ref().is_none_or(|secret| !shown.contains(secret)), "{shown}");
        (secret, shown.contains("(hidden)"))
    };
    for (kind, key) in [("amplifierd", "api_key"), ("opencode", "password")] {
        let variable = format!("HITCHLINE__BACKENDS__A__{}", key.to_uppercase());
        assert_eq!(of(kind, "", &[]), (None, false));
        assert_eq!(of(kind, &format!("{key} = 'written'"), &[]), (Some("written".to_owned()), true));
        assert_eq!(of(kind, &format!("{key}_file = '{path}'"), &[]), (Some("from-file".to_owned()), true));
        let over = [(variable.as_str(), "from-variable")];
        assert_eq!(of(kind, &format!("{key}_file = '{path}'"), &over), (Some("from-variable".to_owned()), true));
        let both = format!("[backends.a]\nkind = '{kind}'\n{key} = 'x'\n{key}_file = '{path}'");
        assert_eq!(problem_keys(&both, &[]), [format!("backends.a.{key}")]);
    }
    let missing = "[backends.a]\nkind = 'opencode'\npassword_file = '/nowhere/password'";
    assert_eq!(problem_keys(missing, &[]), ["backends.a.password_file"]);
}

#[test]
fn a_secret_that_others_may_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("bot");
    std::fs::write(&file, "xoxb-1").unwrap();
    for (mode, warned) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let loaded = loaded(&format!("slack.bot_token_file = '{}'", file.display()), &Environment::new());
        let keys: Vec<_> = loaded.findings.warnings.iter().map(|warning| warning.key.as_str()).collect();
        assert_eq!(keys, if warned { vec!["slack.bot_token_file"] } else { vec![] }, "{mode:o}");
    }
}

#[test]
fn the_simulator_and_a_real_token_exclude_each_other() {
    let simulator = Flags { simulator: true, ..Flags::default() };
    let cases: [(&str, Variables, Option<&str>); 6] = [
        ("", &[], None),
        ("", &[("SLACK_BOT_TOKEN", "xoxb-1")], Some("slack.bot_token")),
        ("", &[("SLACK_APP_TOKEN", "xapp-1")], Some("slack.app_token")),
        ("", &[("HITCHLINE__SLACK__APP_TOKEN_FILE", "/x")], Some("slack.app_token_file")),
        ("slack.bot_token = 'xoxb-1'", &[], Some("slack.bot_token")),
        ("slack.bot_token_file = 'x'", &[], Some("slack.bot_token_file")),
    ];
    for (text, variables, expected) in cases {
        let refused = match load_text(text, &environment(variables), simulator.clone()).0 {
            Err(LoadError::SimulatorWithToken { key, .. }) => Some(key),
            other => other.map(|_| None).unwrap(),
        };
        assert_eq!(refused.as_deref(), expected, "{text} {variables:?}");
    }
}

#[test]
fn the_simulator_has_defaults_of_its_own_below_the_file() {
    let simulator = Flags { simulator: true, ..Flags::default() };
    let (own, _folder) = load_text("", &Environment::new(), simulator.clone());
    let own = own.unwrap().settings;
    assert_eq!((own.access.users, own.http.listen), (vec!["*".to_owned()], Some(([127, 0, 0, 1], 0).into())));
    let (written, _folder) = load_text("access.users = ['U1']\nhttp.listen = ''", &Environment::new(), simulator);
    let written = written.unwrap().settings;
    assert_eq!((written.access.users, written.http.listen), (vec!["U1".to_owned()], None));
}

// === Mistakes ===

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = "
        [slack]
        sokets = 2
        sockets = 'many'
        pacing = 'fast'
        [sessions]
        idle_expiry = 30
        turn_timeout = 'soon'
        auto_session = 'yes'
        queue_limit = -1
        [access]
        channels = 'C1'
        users = ['U1', ['U2']]
        [backends.claude]
        kind = 'acp'
        comand = ['x']
        env_pass = 5
        [backends.other]
        kind = 'ehco'
        [backends.third]
        [log]
        level = { a = 1 }
        [[routes]]
        chanel = 'C1'
    ";
    let expected = [
        "access.channels",
        "access.users[1]",
        "backends.claude.comand",
        "backends.claude.env_pass",
        "backends.other.kind",
        "backends.third.kind",
        "http",
        "log.level",
        "routes[0].chanel",
        "sessions.auto_session",
        "sessions.idle_expiry",
        "sessions.queue_limit",
        "sessions.turn_timeout",
        "slack.pacing",
        "slack.sockets",
        "slack.sokets",
    ];
    assert_eq!(problem_keys(text, &[("HITCHLINE__HTTP", "on")]), expected);
}

#[test]
fn a_mistake_says_where_it_stands_and_what_was_meant() {
    let (read, folder) =
        load_text("slack.sokets = 1", &environment(&[("HITCHLINE__LOG__LEVL", "x")]), Flags::default());
    let lines: Vec<String> = read.unwrap().findings.problems.iter().map(ToString::to_string).collect();
    let file = folder.path().join("hitchline.toml");
    assert_eq!(
        lines,
        [
            "log.levl: unknown key (in HITCHLINE__LOG__LEVL); did you mean `level`?".to_owned(),
            format!("slack.sokets: unknown key (in {}); did you mean `sockets`?", file.display()),
        ]
    );
}

#[test]
fn how_an_agent_runs_is_set_per_backend() {
    let text = "[backends.a]\nkind = 'acp'\nprocess = 'per-session'\non_shutdown = 'end'\ncreate_timeout = '2m'\n\
                [backends.b]\nkind = 'acp'";
    let backends = settings(text, &[("HITCHLINE__BACKENDS__B__CREATE_TIMEOUT", "5s")]).backends;
    let timeouts = ["a", "b", "echo"].map(|name| backends[name].create_timeout());
    assert_eq!(timeouts, [Some(Duration::from_mins(2)), Some(Duration::from_secs(5)), None]);
    let wrong = [("HITCHLINE__BACKENDS__A__PROCESS", "none"), ("HITCHLINE__BACKENDS__A__ON_SHUTDOWN", "detach")];
    assert_eq!(problem_keys(text, &wrong), ["backends.a.on_shutdown", "backends.a.process"]);
    assert_eq!(problem_keys("[backends.echo]\nkind = 'echo'\nprocess = 'per-session'", &[]), ["backends.echo.process"]);
}

#[test]
fn a_file_that_is_not_toml_names_its_line() {
    let error = load_text("[slack]\nsockets =\n", &Environment::new(), Flags::default()).0.unwrap_err();
    assert!(matches!(error, LoadError::Syntax { line: 2, .. }), "{error}");
    let missing = load(&Flags { config: Some("/nowhere/h.toml".into()), ..Flags::default() }, &Environment::new());
    assert!(missing.unwrap_err().to_string().starts_with("/nowhere/h.toml can't be read: "));
}

// === The shipped file ===

/// Every key of a schema node, a table's as `table.key` and a list's tables' as the list's.
fn schema_keys(schema: &serde_json::Value, node: &serde_json::Value, path: &str, keys: &mut BTreeSet<String>) {
    if let Some(target) = node["$ref"].as_str().and_then(|reference| schema.pointer(&reference[1..])) {
        return schema_keys(schema, target, path, keys);
    }
    for option in node["oneOf"].as_array().into_iter().flatten().filter(|option| option["type"] == "object") {
        schema_keys(schema, option, path, keys);
    }
    if node["items"]["$ref"].is_string() {
        return schema_keys(schema, &node["items"], path, keys);
    }
    if node["additionalProperties"]["$ref"].is_string() {
        return schema_keys(schema, &node["additionalProperties"], &format!("{path}.*"), keys);
    }
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        keys.insert(key.clone());
        schema_keys(schema, child, &key, keys);
    }
}

fn file_keys(value: &toml::Value, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, child) in table {
                let name = if path == "backends" { "*" } else { name };
                let key = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                if name != "*" {
                    keys.insert(key.clone());
                }
                file_keys(child, &key, keys);
            }
        }
        toml::Value::Array(items) => {
            items.iter().filter(|item| item.is_table()).for_each(|item| file_keys(item, path, keys));
        }
        _ => {}
    }
}

/// The shipped file with every commented key set.
fn uncommented() -> toml::Table {
    let is_key = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let lines: Vec<&str> = DEFAULT_FILE.lines().map(|line| if is_key(&line) { &line[1..] } else { line }).collect();
    toml::from_str(&lines.join("\n")).unwrap()
}

#[test]
fn the_shipped_file_explains_every_key_and_no_other() {
    let schema = Settings::schema();
    let (mut wanted, mut written) = (BTreeSet::new(), BTreeSet::new());
    schema_keys(&schema, &schema, "", &mut wanted);
    file_keys(&toml::Value::Table(uncommented()), "", &mut written);
    assert_eq!(written, wanted);
}

#[test]
fn the_shipped_file_shows_the_true_defaults() {
    let shown = uncommented();
    let defaults = toml::Table::try_from(Settings::default()).unwrap();
    for (section, keys) in defaults {
        for (key, value) in keys.as_table().unwrap() {
            // Where the state lives depends on the environment.
            if (section.as_str(), key.as_str()) != ("store", "dir") {
                assert_eq!(shown[&section].get(key), Some(value), "{section}.{key}");
            }
        }
    }
}

// === Properties ===

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,8}"
}

fn id(letter: &'static str) -> impl Strategy<Value = String> {
    "[A-Z0-9]{1,9}".prop_map(move |rest| format!("{letter}{rest}"))
}

fn seconds() -> impl Strategy<Value = Duration> {
    (0_u64..1_000_000).prop_map(Duration::from_secs)
}

prop_compose! {
    fn sessions_and_access()(
        users in prop::collection::vec(id("U"), 0..4),
        roots in prop::collection::vec("/[a-z]{1,8}", 0..3),
        external in prop::bool::ANY,
        on_interrupt in prop::sample::select(vec![OnInterrupt::Ask, OnInterrupt::Resume, OnInterrupt::Retry, OnInterrupt::Drop]),
        interrupt in prop::bool::ANY,
        numbers in prop::array::uniform2(any::<u32>()),
        times in prop::array::uniform4(seconds()),
        truths in prop::array::uniform3(prop::bool::ANY),
        backend in word(),
    ) -> Settings {
        let mut settings = Settings::default();
        settings.access.users = users;
        settings.access.roots = roots.into_iter().map(Into::into).collect();
        settings.access.external_users = if external { External::Allow } else { External::Deny };
        let sessions = &mut settings.sessions;
        sessions.backend = backend;
        sessions.on_interrupt = on_interrupt;
        sessions.when_busy = if interrupt { WhenBusy::Interrupt } else { WhenBusy::Queue };
        [sessions.max_per_user, sessions.queue_limit] = numbers;
        [sessions.idle_expiry, sessions.create_timeout, sessions.turn_timeout, sessions.approval_timeout] = times;
        [sessions.auto_session, sessions.require_mention, sessions.history_on_loss] = truths;
        settings
    }
}

prop_compose! {
    fn any_settings()(
        mut settings in sessions_and_access(),
        backends in prop::collection::btree_map(word(), prop::bool::ANY, 0..3),
        variables in prop::collection::btree_map("[A-Za-z][A-Za-z0-9]{0,8}", "[ -~]{0,20}", 0..3),
        command in prop::collection::vec("[!-+.-~]{1,12}", 1..4),
        dir in "/[a-z ]{0,12}[a-z]",
        min_free in 0_u64..(1 << 50),
        port in prop::option::of(any::<u16>()),
        sockets in 1_u8..=4,
        grace in seconds(),
    ) -> Settings {
        for (name, speaks_acp) in backends {
            settings.backends.insert(name, backend(speaks_acp, &command, &variables));
        }
        settings.store.dir = dir.into();
        settings.store.min_free = min_free;
        settings.http.listen = port.map(|port| ([127, 0, 0, 1], port).into());
        settings.slack.sockets = sockets;
        settings.shutdown.turn_grace = grace;
        settings
    }
}

fn backend(speaks_acp: bool, command: &[String], variables: &BTreeMap<String, String>) -> Backend {
    let mut table = toml::Table::new();
    table.insert("kind".to_owned(), if speaks_acp { "acp" } else { "echo" }.into());
    if speaks_acp {
        // A relative path would rightly come back absolute.
        let command: Vec<String> = command.iter().map(|word| word.replace(['/', '~'], "_")).collect();
        table.insert("command".to_owned(), command.into());
        let variables: toml::Table =
            variables.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        table.insert("env".to_owned(), variables.into());
    }
    table.try_into().unwrap()
}

/// Writes a table as variables. Lists of tables have no such form.
fn as_variables(value: &toml::Value, name: &str, variables: &mut Environment) {
    let text = match value {
        toml::Value::Table(table) => {
            for (key, child) in table {
                let key = if name.ends_with("__ENV") { key.clone() } else { key.to_uppercase() };
                as_variables(child, &format!("{name}__{key}"), variables);
            }
            return;
        }
        toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(","),
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    variables.insert(name.to_owned(), text);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn settings_come_back_from_a_file(mut settings in any_settings(), channels in prop::collection::vec(id("C"), 0..3)) {
        settings.routes = channels.into_iter().map(|channel| Route { channel, ..Route::default() }).collect();
        let written = toml::Table::try_from(&settings).unwrap();
        let loaded = loaded(&toml::to_string(&settings).unwrap(), &Environment::new());
        prop_assert_eq!(&loaded.findings.problems, &[]);
        prop_assert_eq!(toml::Table::try_from(&loaded.settings).unwrap(), written);
    }

    #[test]
    fn settings_come_back_from_variables(settings in any_settings()) {
        let written = toml::Table::try_from(&settings).unwrap();
        let mut variables = Environment::new();
        as_variables(&toml::Value::Table(written.clone()), "HITCHLINE", &mut variables);
        let loaded = loaded("", &variables);
        prop_assert_eq!(&loaded.findings.problems, &[]);
        prop_assert_eq!(toml::Table::try_from(&loaded.settings).unwrap(), written);
    }

    #[test]
    fn an_unknown_key_is_always_reported_with_its_path(
        section in prop::sample::select(vec!["slack", "access", "sessions", "store", "http", "http_client", "shutdown", "log"]),
        key in "[a-z][a-z_]{0,10}x",
        as_variable in prop::bool::ANY,
    ) {
        // No key of ours ends in x; two underscores would separate.
        prop_assume!(!key.contains("__"));
        let path = format!("{section}.{key}");
        let keys = if as_variable {
            problem_keys("", &[(&format!("HITCHLINE__{}__{}", section.to_uppercase(), key.to_uppercase()), "1")])
        } else {
            problem_keys(&format!("{path} = 1"), &[])
        };
        prop_assert_eq!(keys, [path]);
    }
}
