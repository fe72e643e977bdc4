//! What makes no sense although it can be read: all of it at once, each with its key path.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use url::{Host, Url};

use super::{Environment, Findings, Settings, secrets};
use crate::backend::config::{Acp, Config as Backend, Opencode, Tmux};
use crate::backend::tmux::{BadPattern, check_patterns, socket_fits};
use crate::secret::{ExposeSecret, SecretString};
use crate::session::config::{Access, External, Route, Sessions};
use crate::slack::config::Config as Slack;

/// Checks `settings` and adds to `findings` what it finds. With `simulator` no token is asked for.
pub fn check(settings: &Settings, simulator: bool, environment: &Environment, findings: &mut Findings) {
    slack(&settings.slack, simulator, findings);
    access(&settings.access, findings);
    sessions(&settings.sessions, settings, findings);
    for (name, backend) in &settings.backends {
        backend_name(name, findings);
        match backend {
            Backend::Acp(agent) => acp(&format!("backends.{name}"), agent, environment, findings),
            Backend::Amplifierd(server) => http_agent(&format!("backends.{name}"), &server.url, backend, findings),
            Backend::Opencode(server) => opencode(&format!("backends.{name}"), server, backend, findings),
            Backend::Tmux(program) => tmux(&format!("backends.{name}"), program, environment, findings),
            Backend::Echo(_) => {}
        }
    }
    tmux_sockets(settings, findings);
    routes(settings, findings);
    operations(settings, findings);
}

// === [slack] ===

fn slack(slack: &Slack, simulator: bool, findings: &mut Findings) {
    if !simulator {
        token(&BOT_TOKEN, slack.bot_token.as_ref(), slack.bot_token_file.is_some(), findings);
        token(&APP_TOKEN, slack.app_token.as_ref(), slack.app_token_file.is_some(), findings);
    }
    if let Err(reason) = api_url(slack.api_url.as_ref()) {
        findings.problem("slack.api_url", reason);
    }
    if !(1..=4).contains(&slack.sockets) {
        findings.problem("slack.sockets", format!("is {}; hold 1 to 4 connections", slack.sockets));
    }
    let name = slack.command.strip_prefix('/').unwrap_or_default();
    if name.is_empty() || slack.command.len() > 32 || name.chars().any(|c| c.is_whitespace() || c.is_uppercase()) {
        findings.problem("slack.command", "is no slash command; write one such as `/hitch`: small letters, at most 32");
    }
}

struct Token {
    key: &'static str,
    variable: &'static str,
    start: &'static str,
    name: &'static str,
    where_it_is: &'static str,
}

const BOT_TOKEN: Token = Token {
    key: "slack.bot_token",
    variable: "SLACK_BOT_TOKEN",
    start: "xoxb-",
    name: "bot token",
    where_it_is: "OAuth & Permissions",
};

const APP_TOKEN: Token = Token {
    key: "slack.app_token",
    variable: "SLACK_APP_TOKEN",
    start: "xapp-",
    name: "app-level token",
    where_it_is: "Basic Information, App-Level Tokens",
};

fn token(kind: &Token, secret: Option<&SecretString>, has_file: bool, findings: &mut Findings) {
    let Token { key, variable, start, name, where_it_is } = kind;
    let text = secret.map(ExposeSecret::expose_secret).unwrap_or_default();
    let rest = text.strip_prefix(start).unwrap_or_default();
    match secret {
        // The file could not be read, which was said.
        None if has_file => {}
        None => findings.problem(
            *key,
            format!("is missing; set it, {key}_file or {variable} to the {name} ({start}…) from your app's page “{where_it_is}”"),
        ),
        Some(_) if rest.is_empty() || !rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => findings.problem(
            *key,
            format!("is no {name}: one begins with {start}, then letters, digits and dashes; copy it from your app's page “{where_it_is}”"),
        ),
        Some(_) => {}
    }
}

fn api_url(text: &str) -> Result<(), String> {
    let url =
        Url::parse(text).map_err(|error| format!("is no URL: {error}; write one such as https://slack.com/api/"))?;
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        "http" => Err("would send tokens in the clear; use https, or http to this machine only".to_owned()),
        other => Err(format!("has the scheme `{other}`; use https, or http to this machine only")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

// === [access] ===

fn access(access: &Access, findings: &mut Findings) {
    ids(
        "access.users",
        &access.users,
        |id| id == "*" || is_person(id),
        "a user id such as U0123ABCD, or `*`",
        findings,
    );
    ids("access.admins", &access.admins, is_person, "a user id such as U0123ABCD", findings);
    ids("access.channels", &access.channels, |id| id == "*" || is_channel(id), CHANNEL_OR_ALL, findings);
    ids("access.bots", &access.bots, |id| is_id(id, "B"), "a bot id such as B0123ABCD", findings);
    for (index, root) in access.roots.iter().enumerate() {
        directory(&format!("access.roots[{index}]"), root, findings);
    }
    if access.users.is_empty() && access.admins.is_empty() {
        findings
            .warning("access.users", "is empty, and so is access.admins: nobody may prompt yet; add user ids, or `*`");
    }
    if access.channels.is_empty() {
        findings.warning("access.channels", "is empty: only direct messages and admins are answered");
    }
    let foreign = access.users.iter().chain(&access.admins).any(|id| id.contains(':'));
    if foreign && access.external_users == External::Deny {
        findings.warning(
            "access.external_users",
            "is `deny`, so whoever is listed as team:user stays out; set it to `allow`",
        );
    }
}

const CHANNEL_OR_ALL: &str = "a channel id such as C0123ABCD, or `*`";

fn ids(key: &str, ids: &[String], fits: impl Fn(&str) -> bool, wanted: &str, findings: &mut Findings) {
    for (index, id) in ids.iter().enumerate().filter(|(_, id)| !fits(id)) {
        findings.problem(
            format!("{key}[{index}]"),
            format!("`{id}` is not {wanted}; Slack shows ids at the foot of “About”"),
        );
    }
}

fn is_person(id: &str) -> bool {
    match id.split_once(':') {
        Some((team, user)) => is_id(team, "TE") && is_id(user, "UW"),
        None => is_id(id, "UW"),
    }
}

fn is_channel(id: &str) -> bool {
    is_id(id, "CGD")
}

/// Whether `id` is one of the letters, then capitals and digits.
fn is_id(id: &str, letters: &str) -> bool {
    let mut chars = id.chars();
    chars.next().is_some_and(|first| letters.contains(first))
        && id.len() > 1
        && chars.all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

// === [sessions], [backends], [[routes]] ===

fn sessions(sessions: &Sessions, settings: &Settings, findings: &mut Findings) {
    known_backend("sessions.backend", &sessions.backend, settings, findings);
    let limits = [
        ("create_timeout", sessions.create_timeout),
        ("inactivity_timeout", sessions.inactivity_timeout),
        ("turn_timeout", sessions.turn_timeout),
        ("approval_timeout", sessions.approval_timeout),
    ];
    for (key, limit) in limits {
        not_zero(format!("sessions.{key}"), limit, findings);
    }
    if sessions.max_file_size == 0 {
        findings.problem("sessions.max_file_size", "is 0, so that no file could be taken; write a size such as 20MiB");
    }
    if sessions.queue_limit == 0 {
        findings.problem("sessions.queue_limit", "is 0, so that nothing could be taken on; write at least 1");
    }
}

fn not_zero(key: String, limit: Duration, findings: &mut Findings) {
    if limit == Duration::ZERO {
        findings.problem(key, "is 0, so that everything would time out at once; write one such as 10m");
    }
}

fn known_backend(key: &str, name: &str, settings: &Settings, findings: &mut Findings) {
    if !settings.backends.contains_key(name) {
        let known: Vec<&str> = settings.backends.keys().map(String::as_str).collect();
        let known = known.join(", ");
        findings.problem(key, format!("no backend is called `{name}`; there are: {known}; or add [backends.{name}]"));
    }
}

fn backend_name(name: &str, findings: &mut Findings) {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.contains("__") || !name.chars().all(allowed) {
        findings.problem(
            format!("backends.{name}"),
            "a backend's name is made of small letters, digits, `-` and single `_`, so that variables can name it too",
        );
    }
}

fn acp(key: &str, config: &Acp, environment: &Environment, findings: &mut Findings) {
    let Acp { command, working_dir, env, env_pass, env_file, create_timeout, .. } = config;
    let (working_dir, env_file) = (working_dir.as_deref(), env_file.as_deref());
    let program = Program { command, working_dir, env, env_pass, env_file, create_timeout: *create_timeout };
    program.check(key, environment, findings);
}

fn tmux(key: &str, config: &Tmux, environment: &Environment, findings: &mut Findings) {
    let Tmux { command, working_dir, env, env_pass, env_file, create_timeout, .. } = config;
    let (working_dir, env_file) = (working_dir.as_deref(), env_file.as_deref());
    let program = Program { command, working_dir, env, env_pass, env_file, create_timeout: *create_timeout };
    program.check(key, environment, findings);
    if !is_found("tmux", environment.get("PATH").map(String::as_str).unwrap_or_default()) {
        findings.problem(
            format!("{key}.kind"),
            "needs `tmux` 3.2 or newer, which is not found; install it (`apt install tmux`)",
        );
    }
    if let Err(BadPattern { key: pattern, why }) = check_patterns(config) {
        let why: Vec<&str> = why.lines().map(str::trim).collect();
        findings.problem(format!("{key}.{pattern}"), format!("is no regular expression: {}", why.join(" ")));
    }
    if let Some(idle) = config.idle {
        not_zero(format!("{key}.idle"), idle, findings);
    }
    for (name, size, least) in [("columns", config.columns, 20), ("rows", config.rows, 5)] {
        if !(least..=1_000).contains(&size) {
            findings.problem(format!("{key}.{name}"), format!("is {size}; a screen has {least} to 1000"));
        }
    }
}

fn tmux_sockets(settings: &Settings, findings: &mut Findings) {
    let any = settings.backends.values().any(|backend| matches!(backend, Backend::Tmux(_)));
    if any && !socket_fits(&settings.store.dir) {
        findings
            .problem("store.dir", "is too long: the sockets of tmux below it could not be opened; name a shorter one");
    }
}

/// What is configured of every agent that is a program.
struct Program<'a> {
    command: &'a [String],
    working_dir: Option<&'a Path>,
    env: &'a BTreeMap<String, String>,
    env_pass: &'a [String],
    env_file: Option<&'a Path>,
    create_timeout: Option<Duration>,
}

impl Program<'_> {
    fn check(&self, key: &str, environment: &Environment, findings: &mut Findings) {
        let search = self.env.get("PATH").or_else(|| environment.get("PATH")).map(String::as_str).unwrap_or_default();
        match self.command.first() {
            None => findings
                .problem(format!("{key}.command"), "is missing; write the agent's program and its arguments as a list"),
            Some(program) if !is_found(program, search) => findings.problem(
                format!("{key}.command"),
                format!("`{program}` is not found or can't be executed; install it, or write its whole path"),
            ),
            Some(_) => {}
        }
        if let Some(path) = self.working_dir {
            directory(&format!("{key}.working_dir"), path, findings);
        }
        if let Some(limit) = self.create_timeout {
            not_zero(format!("{key}.create_timeout"), limit, findings);
        }
        for name in self.env_pass.iter().filter(|name| !environment.contains_key(*name)) {
            findings
                .warning(format!("{key}.env_pass"), format!("`{name}` is not set here, so the agent does not get it"));
        }
        if let Some(path) = self.env_file {
            secret_file(&format!("{key}.env_file"), path, findings);
        }
    }
}

/// What is asked of every agent behind a server.
fn http_agent(key: &str, url: &str, backend: &Backend, findings: &mut Findings) {
    let secret = backend.secret().and_then(|(name, secret, file)| Some((name, secret?, file)));
    match server_url(url) {
        Err(reason) => findings.problem(format!("{key}.url"), reason),
        Ok(url) if secret.is_some() && url.scheme() == "http" && !is_loopback(&url) => findings.warning(
            format!("{key}.url"),
            "is plain HTTP to another machine: who overhears it has the secret; let a proxy with TLS stand before the server",
        ),
        Ok(_) => {}
    }
    if let Some((name, secret, _)) = secret
        && secret.expose().trim().is_empty()
    {
        findings.problem(format!("{key}.{name}"), "is empty; write one, or take the key away");
    }
    if let Some(path) = backend.working_dir() {
        directory(&format!("{key}.working_dir"), path, findings);
    }
    if let Some(limit) = backend.create_timeout() {
        not_zero(format!("{key}.create_timeout"), limit, findings);
    }
}

fn opencode(key: &str, server: &Opencode, backend: &Backend, findings: &mut Findings) {
    http_agent(key, &server.url, backend, findings);
    let is_whole =
        |model: &str| model.split_once('/').is_some_and(|(provider, id)| !provider.is_empty() && !id.is_empty());
    if let Some(model) = server.model.as_deref().filter(|model| !is_whole(model)) {
        findings.problem(
            format!("{key}.model"),
            format!("`{model}` names no provider; write `provider/model` as `opencode models` lists them"),
        );
    }
}

fn server_url(text: &str) -> Result<Url, String> {
    const SUCH: &str = "write one such as http://127.0.0.1:4096";
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}; {SUCH}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has the scheme `{}`; {SUCH}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a name or a password; there are keys of their own for them".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("goes on after the path; {SUCH}"));
    }
    Ok(url)
}

/// Whether a program can be executed: by its path, or by its name from the folders of `search`.
fn is_found(program: &str, search: &str) -> bool {
    let executable = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return executable(Path::new(program));
    }
    !program.is_empty() && std::env::split_paths(search).any(|folder| executable(&folder.join(program)))
}

fn routes(settings: &Settings, findings: &mut Findings) {
    let mut channels = BTreeSet::new();
    for (index, route) in settings.routes.iter().enumerate() {
        let Route { channel, backend, working_dir } = route;
        let key = format!("routes[{index}]");
        if !is_channel(channel) {
            findings.problem(format!("{key}.channel"), format!("`{channel}` is not a channel id such as C0123ABCD"));
        } else if !channels.insert(channel) {
            findings.problem(format!("{key}.channel"), format!("`{channel}` has a route already; keep one of them"));
        }
        if let Some(name) = backend {
            known_backend(&format!("{key}.backend"), name, settings, findings);
        }
        if let Some(path) = working_dir {
            directory(&format!("{key}.working_dir"), path, findings);
        }
    }
}

// === [store], [http_client], [shutdown], [log] ===

fn operations(settings: &Settings, findings: &mut Findings) {
    state_directory(&settings.store.dir, findings);
    if settings.http.token.as_ref().is_some_and(|token| token.expose_secret().trim().is_empty()) {
        findings.problem("http.token", "is empty; write one, or take the key away");
    }
    if settings.http.token.is_some() && settings.http.listen.is_some_and(|listen| !listen.ip().is_loopback()) {
        findings.warning(
            "http.listen",
            "can be reached from other machines, over plain HTTP: who overhears http.token may use the agents; let a proxy with TLS stand before it",
        );
    }
    if let Err(error) = settings.http_client.certificates() {
        findings.problem("http_client.ca_file", error.to_string());
    }
    if settings.shutdown.turn_grace >= settings.shutdown.total {
        findings.problem(
            "shutdown.turn_grace",
            "must be shorter than shutdown.total, which also closes what the turns used",
        );
    }
    if let Some(problem) = settings.log.problem() {
        findings.problem("log.level", problem);
    }
}

/// Says what would keep the store from being opened, and makes nothing.
fn state_directory(dir: &Path, findings: &mut Findings) {
    const ADVICE: &str = "name a directory that this user may write";
    if dir.as_os_str().is_empty() {
        findings.problem("store.dir", "is not set, and neither is HOME, from which it would follow; write a directory");
        return;
    }
    // What is missing is made by `run`, below the nearest directory that is there.
    let existing = dir.ancestors().find_map(|path| Some((path, path.metadata().ok()?)));
    let Some((existing, metadata)) = existing else { return };
    let shown = existing.display();
    if !metadata.is_dir() {
        findings.problem("store.dir", format!("{shown} is not a directory; {ADVICE}"));
    } else if is_surely_read_only(&metadata) {
        findings.problem("store.dir", format!("{shown} can't be written by this user; {ADVICE}"));
    } else if existing == dir && secrets::is_open(dir) {
        findings.warning("store.dir", format!("{shown} may be opened by others than its owner; `chmod 700 {shown}`"));
    }
}

/// Whether this user can't write, as far as a mode tells. An access list may give more to others than the owner, but never more than
/// the group's bits, so that what looks writable to anybody else is given the benefit of the doubt.
fn is_surely_read_only(metadata: &Metadata) -> bool {
    let user = rustix::process::geteuid();
    let granting = if metadata.uid() == user.as_raw() { 0o200 } else { 0o022 };
    !user.is_root() && metadata.mode() & granting == 0
}

fn directory(key: &str, path: &Path, findings: &mut Findings) {
    if !path.is_dir() {
        findings.problem(key, format!("{} is not a directory; create it or name another", path.display()));
    }
}

fn secret_file(key: &str, path: &Path, findings: &mut Findings) {
    match std::fs::File::open(path) {
        Err(error) => findings.problem(key, secrets::cannot_read(path, &error)),
        Ok(_) if secrets::is_open(path) => findings.warning(key, secrets::open_file(path)),
        Ok(_) => {}
    }
}

#[cfg(test)]
mod tests;
