//! The directions of `ARCHITECTURE.md`, held against the source: who may import whom, and who may name what.

mod imports;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

use imports::{imports, module_path};
use tokens::{Token, tokenize};

/// Small modules that every room but `domain` may use.
const LEAVES: &[&str] = &["backoff", "byte_size", "clock", "duration", "http_client", "scope", "secret", "telemetry"];

/// Every room, and the rooms it may import besides the leaves.
const ROOMS: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "probe",
            "supervisor",
            "settings",
            "admin",
            "chat",
            "mcp",
            "session",
            "inbox",
            "outbox",
            "slack",
            "simulator",
            "backend",
            "store",
            "domain",
        ],
    ),
    (
        "supervisor",
        &[
            "settings",
            "admin",
            "chat",
            "mcp",
            "session",
            "inbox",
            "outbox",
            "slack",
            "simulator",
            "backend",
            "store",
            "domain",
        ],
    ),
    // Each room's own `Config`.
    (
        "settings",
        &["admin", "chat", "mcp", "session", "inbox", "outbox", "slack", "simulator", "backend", "store", "domain"],
    ),
    ("probe", &["slack", "domain"]),
    ("admin", &["session", "store", "domain"]),
    ("chat", &["session", "store", "domain"]),
    ("mcp", &["session", "domain"]),
    ("session", &["store", "backend", "outbox", "domain"]),
    ("inbox", &["store", "domain"]),
    ("outbox", &["store", "domain"]),
    ("slack", &["domain"]),
    ("simulator", &[]),
    ("backend", &["domain"]),
    ("store", &["domain"]),
    ("domain", &[]),
];

/// What leaves may import of each other.
const LEAF_IMPORTS: &[(&str, &str)] = &[("scope", "clock"), ("scope", "backoff"), ("backoff", "clock")];

/// Names that only these rooms may write, whatever the path before them.
const OWNED_NAMES: &[(&[&str], &[&str])] = &[
    (&["rusqlite"], &["store"]),
    (&["reqwest", "::", "Client", "::"], &["supervisor", "http_client"]),
    (&["Client", "::", "builder"], &["supervisor", "http_client"]),
    (&["ClientBuilder"], &["supervisor", "http_client"]),
];

/// Names that `domain` never writes: it has no runtime, no I/O, no database.
const NOT_IN_DOMAIN: &[&str] = &["tokio", "tokio_tungstenite", "reqwest", "rusqlite", "axum", "hyper"];

/// Whether `room` may import `other`.
fn may_import(room: &str, other: &str) -> bool {
    if room == other {
        return true;
    }
    if LEAVES.contains(&room) {
        return LEAF_IMPORTS.contains(&(room, other));
    }
    let rooms = ROOMS.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, rooms)| *rooms);
    rooms.contains(&other) || (room != "domain" && LEAVES.contains(&other))
}

/// What is wrong in one file, a sentence each; `file` is relative to `src/`.
fn violations(file: &Path, source: &str) -> Vec<String> {
    let module = module_path(file);
    let Some(room) = module.first().map(String::as_str) else {
        return Vec::new(); // lib.rs and main.rs
    };
    let place = |line: usize| format!("src/{}:{line}", file.display());
    if !LEAVES.contains(&room) && ROOMS.iter().all(|(name, _)| *name != room) {
        return vec![format!("{}: `{room}` is not in the table of tests/layering", place(1))];
    }
    let tokens = tokenize(source);
    let imported = imports(&module, &tokens)
        .into_iter()
        .filter(|import| !may_import(room, &import.room))
        .map(|import| format!("{}: `{room}` must not import `{}`", place(import.line), import.room));
    let named = misused_names(room, &tokens)
        .into_iter()
        .map(|(line, name)| format!("{}: `{room}` must not name `{name}`", place(line)));
    imported.chain(named).collect()
}

/// Lines and names that belong to another room.
fn misused_names(room: &str, tokens: &[Token]) -> Vec<(usize, String)> {
    let owned = OWNED_NAMES.iter().filter(|(_, rooms)| !rooms.contains(&room)).map(|(name, _)| *name);
    let pure = NOT_IN_DOMAIN.iter().filter(|_| room == "domain").map(std::slice::from_ref);
    let forbidden: Vec<&[&str]> = owned.chain(pure).collect();
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let here = tokens[at..].iter().map(|token| token.text.as_str());
        for name in &forbidden {
            if here.clone().take(name.len()).eq(name.iter().copied()) {
                found.push((tokens[at].line, name.concat()));
            }
        }
    }
    found
}

/// Every Rust file below a directory.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", directory.display())).path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

// holds: C-1
#[test]
fn the_source_keeps_the_directions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&root);
    assert!(files.contains(&root.join("lib.rs")), "no source found in {}", root.display());
    let found: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let source = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            violations(path.strip_prefix(&root).unwrap_or(path), &source)
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_table_only_goes_down() {
    for (position, (room, rooms)) in ROOMS.iter().enumerate() {
        for other in *rooms {
            let below = ROOMS[position + 1..].iter().any(|(name, _)| name == other);
            assert!(below, "`{room}` may import `{other}`, which does not stand below it");
        }
    }
}

/// What is found in `source` when it stands in `file`.
fn found_in(file: &str, source: &str) -> Vec<String> {
    violations(Path::new(file), source)
}

#[test]
fn planted_imports_are_found() {
    let cases = [
        ("slack/socket.rs", "use crate::session::Manager;", "src/slack/socket.rs:1: `slack` must not import `session`"),
        ("slack/mod.rs", "fn f() { crate::session::start() }", "src/slack/mod.rs:1: `slack` must not import `session`"),
        ("slack/mod.rs", "use super::store;", "src/slack/mod.rs:1: `slack` must not import `store`"),
        ("slack/link.rs", "\nuse super::super::store;", "src/slack/link.rs:2: `slack` must not import `store`"),
        ("slack/link.rs", "use self::super::super::store;", "src/slack/link.rs:1: `slack` must not import `store`"),
        ("slack/link.rs", "use super::super::{clock, store};", "src/slack/link.rs:1: `slack` must not import `store`"),
        (
            "slack/link/tests.rs",
            "use super::super::super::store;",
            "src/slack/link/tests.rs:1: `slack` must not import `store`",
        ),
        (
            "slack/mod.rs",
            "mod tests { use super::super::store; }",
            "src/slack/mod.rs:1: `slack` must not import `store`",
        ),
        ("slack/mod.rs", "use hitchline::store;", "src/slack/mod.rs:1: `slack` must not import `store`"),
        (
            "simulator/mod.rs",
            "use crate::{clock, slack::{wire, api}};",
            "src/simulator/mod.rs:1: `simulator` must not import `slack`",
        ),
        (
            "backend/mod.rs",
            "use crate::{\n    domain::{self, ids},\n    r#store,\n};",
            "src/backend/mod.rs:3: `backend` must not import `store`",
        ),
        ("domain/ids.rs", "use crate::clock::Clock;", "src/domain/ids.rs:1: `domain` must not import `clock`"),
        ("clock.rs", "use crate::scope::Scope;", "src/clock.rs:1: `clock` must not import `scope`"),
        ("admin/mod.rs", "use crate::*;", "src/admin/mod.rs:1: `admin` must not import `*`"),
        ("admin/mod.rs", "use crate as everything;", "src/admin/mod.rs:1: `admin` must not import `self`"),
        ("utils/mod.rs", "", "src/utils/mod.rs:1: `utils` is not in the table of tests/layering"),
    ];
    for (file, source, expected) in cases {
        assert_eq!(found_in(file, source), [expected], "in {file}: {source}");
    }
}

#[test]
fn planted_names_are_found() {
    let cases = [
        ("inbox/mod.rs", "use rusqlite::Connection;", "src/inbox/mod.rs:1: `inbox` must not name `rusqlite`"),
        (
            "slack/api.rs",
            "let c = reqwest::Client::new();",
            "src/slack/api.rs:1: `slack` must not name `reqwest::Client::`",
        ),
        ("slack/api.rs", "let c = Client::builder();", "src/slack/api.rs:1: `slack` must not name `Client::builder`"),
        (
            "backend/mod.rs",
            "use reqwest::ClientBuilder;",
            "src/backend/mod.rs:1: `backend` must not name `ClientBuilder`",
        ),
        ("domain/ports.rs", "use tokio::sync::mpsc;", "src/domain/ports.rs:1: `domain` must not name `tokio`"),
    ];
    for (file, source, expected) in cases {
        assert_eq!(found_in(file, source), [expected], "in {file}: {source}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    let cases = [
        ("slack/socket.rs", "use crate::{clock::Clock, domain::Inbound};\nuse super::link::Link;"),
        ("slack/link.rs", "mod tests { use super::super::wire; use super::*; }"),
        ("slack/mod.rs", "pub(crate) fn f() {}\npub(super) fn g() {}"),
        ("slack/mod.rs", "// use crate::session;\n/* crate::session /* nested */ crate::store */"),
        (
            "slack/mod.rs",
            r##"const A: &str = "use crate::session;\" crate::store"; const B: &str = r#"crate::"session"#;"##,
        ),
        ("slack/mod.rs", "fn f<'a>(c: char, s: &'a str) -> bool { c == '\"' || c == '\\'' || s == \"crate::store\" }"),
        ("scope.rs", "use crate::clock::Clock;"),
        ("store/sqlite.rs", "use rusqlite::Connection;"),
        ("http_client.rs", "reqwest::Client::builder()"),
        ("slack/api.rs", "fn f(client: &reqwest::Client) {}"),
        ("lib.rs", "pub mod slack;\npub use crate::session::Manager;"),
    ];
    for (file, source) in cases {
        assert_eq!(found_in(file, source), [""; 0], "in {file}: {source}");
    }
}
