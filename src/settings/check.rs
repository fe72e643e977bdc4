//! What makes no sense although it can be read: all of it at once, each with its key path.

mod backends;

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use url::{Host, Url};

use super::{Environment, Findings, Settings, secrets};
use crate::secret::{ExposeSecret, SecretString};
use crate::session::config::{Access, External, Route, Sessions};
use crate::slack::config::Config as Slack;

/// Checks `settings` and adds to `findings` what it finds. With `simulator` no token is asked for.
pub fn check(settings: &Settings, simulator: bool, environment: &Environment, findings: &mut Findings) {
    slack(&settings.slack, simulator, findings);
    access(&settings.access, findings);
    sessions(&settings.sessions, settings, findings);
    backends::check(settings, environment, findings);
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
