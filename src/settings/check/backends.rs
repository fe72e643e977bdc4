//! What makes no sense of `[backends.NAME]`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use url::Url;

use super::{directory, is_loopback, not_zero, secret_file};
use crate::backend::config::{Acp, Config, Opencode, Tmux};
use crate::backend::tmux::{BadPattern, check_patterns, socket_fits};
use crate::settings::{Environment, Findings, Settings};

/// Checks every backend and adds to `findings` what it finds.
pub(super) fn check(settings: &Settings, environment: &Environment, findings: &mut Findings) {
    for (name, backend) in &settings.backends {
        let key = format!("backends.{name}");
        name_of(name, &key, findings);
        match backend {
            Config::Acp(agent) => acp(&key, agent, environment, findings),
            Config::Amplifierd(server) => http_agent(&key, &server.url, backend, findings),
            Config::Opencode(server) => opencode(&key, server, backend, findings),
            Config::Tmux(program) => tmux(&key, program, environment, findings),
            Config::Echo(_) => {}
        }
    }
    tmux_sockets(settings, findings);
}

fn name_of(name: &str, key: &str, findings: &mut Findings) {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.contains("__") || !name.chars().all(allowed) {
        findings.problem(
            key,
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
    let any = settings.backends.values().any(|backend| matches!(backend, Config::Tmux(_)));
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
fn http_agent(key: &str, url: &str, backend: &Config, findings: &mut Findings) {
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

fn opencode(key: &str, server: &Opencode, backend: &Config, findings: &mut Findings) {
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
pub(super) fn is_found(program: &str, search: &str) -> bool {
    let executable = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return executable(Path::new(program));
    }
    !program.is_empty() && std::env::split_paths(search).any(|folder| executable(&folder.join(program)))
}
