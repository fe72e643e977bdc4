//! The private tmux server of one session: its own socket, one window, one pane, and the few commands that we give it.
//!
//! Each session has a server of its own, so that one that dies takes one conversation with it, and so that the program's environment is
//! simply that of the server: it goes from process to process and never stands in a command line or a file, and `/proc` shows it to nobody but
//! this user. The person's own servers are not touched, because every command names our socket.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::family::Process;
use super::screen::Picture;
use crate::backend::error::BackendError;
use crate::clock::Clock;

/// How long tmux may take for a command.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many lines that have left the screen are kept.
pub(super) const HISTORY: usize = 10_000;
/// The buffer through which text is pasted.
const BUFFER: &str = "hitchline";
/// What tmux answers when the pane is not the one that it was.
const FOREIGN: &str = "foreign";
/// What is asked of a pane beside its picture.
const STATE: &str = "#{pane_pid},#{pane_dead},#{history_size},#{pane_dead_status},#{pane_dead_signal}";
/// The longest path that a socket can have (`unix(7)`: 108 bytes with the zero at its end).
const LONGEST_PATH: usize = 107;

/// Runs the program, and stays a moment after its end: of what is written just before a pane dies, tmux would lose a part.
/// The signals of the keyboard are the program's; handlers, unlike what is ignored, are not inherited.
const RUN: &str = r#"trap : INT QUIT; "$0" "$@"; code=$?; sleep 0.2; exit $code"#;

/// A server, whether or not it runs.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// The program.
    pub(super) tmux: PathBuf,
    /// Our folder for sockets.
    pub(super) dir: PathBuf,
    /// The session's name, and the socket's.
    pub(super) name: String,
    pub(super) clock: Clock,
}

/// What is to run in a new session.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) command: Vec<String>,
    pub(super) dir: PathBuf,
    /// The whole environment.
    pub(super) env: BTreeMap<String, String>,
    pub(super) columns: u16,
    pub(super) rows: u16,
}

/// The one pane of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pane {
    /// tmux's name for it, such as `%0`; the server gives no name twice.
    pub(super) id: String,
    /// The program in it; nothing when it had ended before we could look.
    pub(super) program: Option<Process>,
    /// The number of the server's own process.
    pub(super) server: i32,
}

/// What a pane shows, and how its program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// The number of the program's process.
    pub(super) program: i32,
    /// How the program is.
    pub(super) fate: Fate,
    /// How many lines have left the screen.
    pub(super) scrolled: usize,
    /// The picture that was asked for.
    pub(super) picture: Picture,
}

/// How a program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Runs,
    /// It has left its terminal, and tmux does not know yet how it ended.
    Leaves,
    /// It has ended, in this way.
    Ended(String),
}

/// Why a command has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The server, the pane, or the program in it is not there any more.
    Gone,
    /// Anything else, in words.
    Failed(String),
}

impl From<Trouble> for BackendError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Gone => Self::Crashed { exit: "its tmux session is gone".to_owned(), stderr: String::new() },
            Trouble::Failed(why) => Self::Transient(format!("tmux failed: {why}")),
        }
    }
}

impl Server {
    /// The socket's path.
    pub(super) fn socket(&self) -> PathBuf {
        Self::socket_in(&self.dir, &self.name)
    }

    /// The path of a session's socket in the folder of sockets.
    pub(super) fn socket_in(dir: &Path, name: &str) -> PathBuf {
        dir.join(format!("{name}.sock"))
    }

    /// Whether the system can open a socket at this path.
    pub(super) fn socket_fits(socket: &Path) -> bool {
        socket.as_os_str().len() <= LONGEST_PATH
    }

    /// The command by which a person attaches to the session, which is the server's only one, whatever it is called by now.
    pub(super) fn attach(&self) -> String {
        format!("tmux -S {} attach", quote(&self.socket().to_string_lossy()))
    }

    /// Starts the server with the program in its only pane.
    pub(super) async fn start(&self, launch: &Launch) -> Result<Pane, Trouble> {
        if !Self::socket_fits(&self.socket()) {
            let dir = self.dir.display();
            return Err(Trouble::Failed(format!(
                "the path of its socket in {dir} is too long; use a shorter store.dir"
            )));
        }
        let mut command = self.command(&launch_arguments(&self.name, launch));
        command.envs(&launch.env).current_dir(&launch.dir);
        let said = match self.run(command, None).await {
            Err(Trouble::Gone) => Err(Trouble::Failed("its server ended at once".to_owned())),
            answered => answered,
        }?;
        read_pane(&said).ok_or_else(|| Trouble::Failed(format!("it answered `{}`", said.trim())))
    }

    /// Finds the pane of a program in a server that runs already, whatever its session is called by now.
    pub(super) async fn find(&self, program: i32) -> Result<Pane, Trouble> {
        let said = self.ask(&["list-panes", "-a", "-F", PANE]).await?;
        let is_its = |line: &&str| line.split_whitespace().nth(1) == Some(&program.to_string());
        said.lines().find(is_its).and_then(read_pane).ok_or(Trouble::Gone)
    }

    /// Looks at a pane: at its screen, and at so many lines above.
    pub(super) async fn look(&self, pane: &Pane, above: Above) -> Result<Look, Trouble> {
        let from = match above {
            Above::Lines(0) => "0".to_owned(),
            Above::Lines(count) => format!("-{count}"),
            Above::All => "-".to_owned(),
        };
        let id = &pane.id;
        let said = self
            .ask(&["display-message", "-p", "-t", id, STATE, ";", "capture-pane", "-p", "-J", "-S", &from, "-t", id])
            .await?;
        let is_ours = |look: &Look| pane.program.is_none_or(|program| program.id == look.program);
        read_look(&said).filter(is_ours).ok_or(Trouble::Gone)
    }

    /// Pastes text, marked as such for programs that want to know. A program that is not the one it was gets nothing.
    pub(super) async fn paste(&self, pane: &Pane, text: &str) -> Result<(), Trouble> {
        let paste = format!("copy-mode -q -t {0} ; paste-buffer -p -d -b {BUFFER} -t {0}", pane.id);
        let refuse = format!("delete-buffer -b {BUFFER} ; display-message -p {FOREIGN}");
        let guarded = Self::guarded(pane, &paste, &refuse)?;
        let guarded = guarded.each_ref().map(String::as_str);
        let arguments = [&["load-buffer", "-b", BUFFER, "-", ";"][..], &guarded[..]].concat();
        self.accepted(&arguments, Some(text.as_bytes())).await
    }

    /// Presses a key, by tmux's name of it. A program that is not the one it was gets nothing.
    pub(super) async fn press(&self, pane: &Pane, key: &str) -> Result<(), Trouble> {
        let press = format!("copy-mode -q -t {0} ; send-keys -t {0} {key}", pane.id);
        let guarded = Self::guarded(pane, &press, &format!("display-message -p {FOREIGN}"))?;
        self.accepted(&guarded.each_ref().map(String::as_str), None).await
    }

    /// Forgets the lines that have left the screen.
    pub(super) async fn forget_history(&self, pane: &Pane) -> Result<(), Trouble> {
        self.ask(&["clear-history", "-t", &pane.id]).await.map(drop)
    }

    /// Ends the server, whose program gets a hang-up. Fine when there is none.
    pub(super) async fn kill(&self) {
        if let Err(Trouble::Failed(error)) = self.ask(&["kill-server"]).await {
            tracing::warn!(session = self.name, %error, "A tmux server was not ended; it is killed");
        }
    }

    /// A command that tmux carries out only when the pane's program is the one that we know: it looks and acts in one step.
    fn guarded(pane: &Pane, act: &str, refuse: &str) -> Result<[String; 7], Trouble> {
        let program = pane.program.ok_or(Trouble::Gone)?.id;
        let is_ours = format!("#{{&&:#{{==:#{{pane_pid}},{program}}},#{{==:#{{pane_dead}},0}}}}");
        Ok(["if-shell", "-F", "-t", &pane.id, &is_ours, act, refuse].map(str::to_owned))
    }

    async fn accepted(&self, arguments: &[&str], input: Option<&[u8]>) -> Result<(), Trouble> {
        let said = self.run(self.command(arguments), input).await?;
        if said.trim() == FOREIGN { Err(Trouble::Gone) } else { Ok(()) }
    }

    async fn ask(&self, arguments: &[&str]) -> Result<String, Trouble> {
        self.run(self.command(arguments), None).await
    }

    fn command<S: AsRef<str>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(&self.tmux);
        // UTF-8 whatever the locale, and nobody's configuration. The environment is for a server that starts.
        command.env_clear().args(["-u", "-f", "/dev/null", "-S"]).arg(self.socket());
        command.args(arguments.iter().map(AsRef::as_ref));
        command
    }

    async fn run(&self, mut command: Command, input: Option<&[u8]>) -> Result<String, Trouble> {
        let answer = self.clock.timeout(PATIENCE, run(&mut command, input)).await;
        let output = answer.map_err(|_late| Trouble::Failed("it did not answer within 5 s".to_owned()))?;
        let output = output.map_err(|error| Trouble::Failed(format!("{}: {error}", self.tmux.display())))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(refusal(&String::from_utf8_lossy(&output.stderr)))
    }
}

/// How much above the screen is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Above {
    /// So many lines.
    Lines(usize),
    /// All that is kept.
    All,
}

/// What is asked of a new pane.
const PANE: &str = "#{pane_id} #{pane_pid} #{pid}";

async fn run(command: &mut Command, input: Option<&[u8]>) -> std::io::Result<std::process::Output> {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // One that has ended already says why.
        let _ = stdin.write_all(input).await;
    }
    child.wait_with_output().await
}

/// What a command means that tmux refused, by its words (tmux 3.3a).
fn refusal(said: &str) -> Trouble {
    const GONE: [&str; 5] =
        ["no server running", "No such file or directory", "can't find", "server exited", "lost server"];
    if GONE.iter().any(|words| said.contains(words)) {
        return Trouble::Gone;
    }
    Trouble::Failed(said.trim().to_owned())
}

fn launch_arguments(name: &str, launch: &Launch) -> Vec<String> {
    let (columns, rows, history) = (launch.columns.to_string(), launch.rows.to_string(), HISTORY.to_string());
    let before = [
        // A pane stays when its program has ended, so that its last words can be read.
        &["start-server", ";", "set-option", "-g", "remain-on-exit", "on", ";"][..],
        &["set-option", "-gq", "remain-on-exit-format", "", ";"],
        &["set-option", "-g", "history-limit", &history, ";"],
        &["new-session", "-d", "-s", name, "-x", &columns, "-y", &rows, "-P", "-F", PANE, "--"],
        &["/bin/sh", "-c", RUN],
    ];
    // Whoever attaches sees the program in its own size: another one would break its lines anew. (As a global option, before there is
    // a window, it ends the server of tmux 3.3a.)
    let target = format!("={name}:");
    let after = [";", "set-option", "-w", "-t", &target, "window-size", "manual"];
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let command = launch.command.iter().map(|argument| literal(argument));
    before.iter().flat_map(|words| owned(words)).chain(command).chain(owned(&after)).collect()
}

/// An argument that tmux hands on as it is: a semicolon at its end would end the command.
fn literal(argument: &str) -> String {
    match argument.strip_suffix(';') {
        Some(rest) => format!("{rest}\\;"),
        None => argument.to_owned(),
    }
}

fn read_pane(said: &str) -> Option<Pane> {
    let mut words = said.split_whitespace();
    let (id, program, server) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    id.starts_with('%').then(|| Pane { id: id.to_owned(), program: Process::with_id(program), server })
}

fn read_look(said: &str) -> Option<Look> {
    let (state, picture) = said.split_once('\n')?;
    let mut fields = state.split(',');
    let (program, dead, scrolled) = (fields.next()?.parse().ok()?, fields.next()?, fields.next()?.parse().ok()?);
    let (status, signal) = (fields.next()?, fields.next()?);
    let fate = match (dead, status, signal) {
        ("0", ..) => Fate::Runs,
        (_, "", "") => Fate::Leaves,
        (_, "", signal) => Fate::Ended(format!("signal {signal}")),
        (_, code, _) => Fate::Ended(format!("exit code {code}")),
    };
    Some(Look { program, fate, scrolled, picture: Picture::of(picture) })
}

/// Text as one word for a shell.
fn quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
#[path = "../../../tests/tools/program.rs"]
mod program;

#[cfg(test)]
mod tests {
    use super::program::program;
    use super::*;
    use crate::backend::stray;

    #[test]
    fn a_program_is_started_with_its_arguments_as_they_are() {
        let command = ["agent", "a b", "x;", ";", "#{pid}", "", "$HOME"].map(str::to_owned).to_vec();
        let launch = Launch { command, dir: "/".into(), env: BTreeMap::new(), columns: 80, rows: 24 };
        let arguments = launch_arguments("hl-1", &launch);
        let joined = arguments.join(" ");
        assert!(joined.contains("new-session -d -s hl-1 -x 80 -y 24 "), "{joined}");
        assert!(joined.ends_with("; set-option -w -t =hl-1: window-size manual"), "{joined}");
        let start = arguments.iter().position(|word| word == RUN).unwrap() + 1;
        assert_eq!(arguments[start..start + 7], ["agent", "a b", "x\\;", "\\;", "#{pid}", "", "$HOME"]);
    }

    /// Sees to it that a server does not outlive its test, also when that fails.
    struct Ended(String);

    impl Drop for Ended {
        fn drop(&mut self) {
            stray::kill(stray::MARK, &self.0);
        }
    }

    #[tokio::test]
    async fn only_a_program_that_is_ours_gets_keys() {
        let Some(tmux) = program("tmux") else { return };
        let dir = tempfile::tempdir().unwrap();
        let name = format!("keys-{}", std::process::id());
        let server = Server { tmux, dir: dir.path().into(), name: name.clone(), clock: Clock::system() };
        let env = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap()), (stray::MARK.to_owned(), name)]);
        let _ended = Ended(server.name.clone());
        let command = ["sh", "-c", "stty raw -echo; printf 'ready\\r\\n'; exec cat -v"].map(str::to_owned).to_vec();
        let pane =
            server.start(&Launch { command, dir: "/".into(), env, columns: 80, rows: 24 }).await.expect("it starts");
        let shows = async |text: &str| {
            let mut left = 500;
            while server.look(&pane, Above::Lines(0)).await.unwrap().picture.tail(100) != text {
                left -= 1;
                assert!(left > 0, "it never showed {text:?}: {:?}", server.look(&pane, Above::Lines(0)).await);
                server.clock.sleep(Duration::from_millis(10)).await;
            }
        };
        shows("ready").await;
        let program = pane.program.unwrap();
        for program in [Some(Process { id: program.id + 1, ..program }), None] {
            let foreign = Pane { program, ..pane.clone() };
            assert_eq!(server.paste(&foreign, "not for you").await, Err(Trouble::Gone));
            assert_eq!(server.press(&foreign, "C-c").await, Err(Trouble::Gone));
        }
        server.paste(&pane, "for you").await.unwrap();
        server.press(&pane, "C-c").await.unwrap();
        shows("ready\nfor you^C").await;
    }

    #[test]
    fn a_look_is_read_with_what_the_program_came_to() {
        let look = read_look("42,0,7,,\n> hi\n\n").unwrap();
        assert_eq!(look, Look { program: 42, fate: Fate::Runs, scrolled: 7, picture: Picture::of("> hi") });
        let ended = |how: &str| Fate::Ended(how.to_owned());
        let cases = [("7,", ended("exit code 7")), (",9", ended("signal 9")), (",", Fate::Leaves)];
        for (state, fate) in cases {
            assert_eq!(read_look(&format!("42,1,0,{state}\n")).unwrap().fate, fate);
        }
        for wrong in ["", "42,0,7,,", "x,0,7,,\n", "42,0\n"] {
            assert_eq!(read_look(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_gone_is_told_from_what_failed() {
        let cases = [
            ("no server running on /x/hl-1.sock\n", true),
            ("error connecting to /x/hl-1.sock (No such file or directory)\n", true),
            ("can't find pane: %0\n", true),
            ("lost server\n", true),
            ("server exited unexpectedly\n", true),
            ("fork failed: Resource temporarily unavailable\n", false),
            ("error connecting to /x/hl-1.sock (Resource temporarily unavailable)\n", false),
            ("", false),
        ];
        for (said, is_gone) in cases {
            assert_eq!(refusal(said) == Trouble::Gone, is_gone, "{said}");
        }
    }

    #[test]
    fn the_command_to_attach_can_be_pasted_into_a_shell() {
        let server = |dir: &str| Server {
            tmux: "tmux".into(),
            dir: dir.into(),
            name: "hl-1".to_owned(),
            clock: Clock::system(),
        };
        assert_eq!(server("/var/lib/h").attach(), "tmux -S /var/lib/h/hl-1.sock attach");
        assert_eq!(server("/it's a").attach(), r"tmux -S '/it'\''s a/hl-1.sock' attach");
    }
}
