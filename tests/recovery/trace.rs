//! What a daemon asked of the system, in order, as `strace` writes it down.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use super::program::program;

/// The calls that are traced: what changes files, what makes that last, and what others get to see.
const CALLS: &str = "trace=pwrite64,fsync,fdatasync,ftruncate,unlink,rename,write,writev,sendto,sendmsg";

/// A call that matters, and what it was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// Bytes for a file, as they are handed over.
    Write { file: String, offset: u64, data: Vec<u8> },
    /// A new length for a file.
    Truncate { file: String, length: u64 },
    /// All that was written to a file lasts, now that the call has come back.
    Synced { file: String },
    /// A file is no more.
    Removed { file: String },
    /// A file has another name.
    Renamed { from: String, to: String },
    /// Bytes for somebody else, through a socket or a pipe, before they are let out.
    Sent { to: String, data: Vec<u8> },
}

/// The command that runs a program under `strace`; without the tool the running test is noted as not run.
pub(crate) fn traced(log: &Path, program: &Path) -> Option<Command> {
    let mut command = strace(&["--seccomp-bpf", "-xx", "-y", "-s", "1000000", "-e", CALLS])?;
    command.arg("-o").arg(log).arg(program);
    Some(command)
}

/// `strace` as a grandchild, so that whoever starts it has the traced program for a child, with its threads and their agents.
pub(crate) fn strace(arguments: &[&str]) -> Option<Command> {
    let mut command = Command::new(program("strace")?);
    command.args(["-D", "-f", "-e", "signal=none"]).args(arguments);
    Some(command)
}

/// Goes through a trace, call by call.
pub(crate) fn calls(log: &Path, mut each: impl FnMut(&Call)) {
    let mut parser = Parser::default();
    let lines = BufReader::new(File::open(log).unwrap()).lines();
    for call in lines.map_while(Result::ok).filter_map(|line| parser.read(&line)) {
        each(&call);
    }
}

/// Reads a trace line by line.
#[derive(Debug, Default)]
struct Parser {
    /// What each thread had begun when another one got in between.
    unfinished: HashMap<String, String>,
}

impl Parser {
    /// What a line says, if it matters.
    fn read(&mut self, line: &str) -> Option<Call> {
        let (thread, said) = line.split_once(' ')?;
        let said = said.trim_start();
        if let Some(begun) = said.strip_suffix(" <unfinished ...>") {
            // What is handed over or shown counts from the beginning of the call, what lasts only from its end.
            return if is_sync(begun) { self.put_off(thread, begun) } else { call(begun) };
        }
        match said.strip_prefix("<... ") {
            Some(_) => self.unfinished.remove(thread).and_then(|begun| call(&begun)),
            None => call(said),
        }
    }

    fn put_off(&mut self, thread: &str, begun: &str) -> Option<Call> {
        self.unfinished.insert(thread.to_owned(), begun.to_owned());
        None
    }
}

fn is_sync(call: &str) -> bool {
    call.starts_with("fsync(") || call.starts_with("fdatasync(")
}

fn call(said: &str) -> Option<Call> {
    if said.contains(") = -1 ") {
        return None;
    }
    let (name, rest) = said.split_once('(')?;
    let (file, data) = (|| target(rest), || strings(rest));
    Some(match name {
        "pwrite64" => Call::Write { file: file()?, offset: last_number(rest)?, data: data().concat() },
        "fsync" | "fdatasync" => Call::Synced { file: file()? },
        "ftruncate" => Call::Truncate { file: file()?, length: last_number(rest)? },
        "unlink" => Call::Removed { file: text(data().first()?) },
        "rename" => Call::Renamed { from: text(data().first()?), to: text(data().get(1)?) },
        _ => Call::Sent { to: file()?, data: data().concat() },
    })
}

/// The file behind the descriptor that is the first argument.
fn target(arguments: &str) -> Option<String> {
    let (_, rest) = arguments.split_once('<')?;
    Some(text(&unhex(rest.split_once('>')?.0)))
}

/// The quoted arguments.
fn strings(arguments: &str) -> Vec<Vec<u8>> {
    arguments.split('"').skip(1).step_by(2).map(unhex).collect()
}

/// The last argument, of a call that has come back or not.
fn last_number(arguments: &str) -> Option<u64> {
    let arguments = arguments.rsplit_once(") = ").map_or(arguments, |(arguments, _)| arguments);
    arguments.rsplit_once(", ")?.1.trim_end_matches(')').parse().ok()
}

fn unhex(escaped: &str) -> Vec<u8> {
    let digit = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 };
    escaped.as_bytes().chunks_exact(4).map(|byte| digit(byte[2]) << 4 | digit(byte[3])).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The texts in what a client sends through a WebSocket: its frames are masked, and several may go out together.
fn frames(mut data: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let [first, second, rest @ ..] = data {
        let (length, rest) = match (second & 0x7f, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(*high) << 8 | usize::from(*low), rest),
            (length, rest) if length < 126 => (usize::from(length), rest),
            _ => break,
        };
        if second & 0x80 == 0 || rest.len() < 4 + length {
            break;
        }
        let (mask, rest) = rest.split_at(4);
        let (payload, rest) = rest.split_at(length);
        let plain: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        if first & 0x0f == 1 {
            texts.push(text(&plain));
        }
        data = rest;
    }
    texts
}

/// The envelopes that are acknowledged by what is sent.
pub(crate) fn acknowledged(data: &[u8]) -> Vec<String> {
    let id = |text: String| {
        serde_json::from_str::<serde_json::Value>(&text).ok()?["envelope_id"].as_str().map(str::to_owned)
    };
    frames(data).into_iter().filter_map(id).collect()
}
