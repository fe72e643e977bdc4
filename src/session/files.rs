//! The files that come with a message: fetched before its turn begins, and kept no longer than they are of use.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::byte_size;
use crate::domain::agent::{Attachment, Prompt};
use crate::domain::ids::{OwedId, SessionId, TurnId};
use crate::domain::inbound::File;
use crate::domain::outgoing::{Label, Place};
use crate::domain::ports::{NotFetched, Upload, WriteError, WriteErrorKind};
use crate::scope::OnCrash;

use super::manager::Inner;
use super::words;

/// How many files of one message are fetched: as many as Slack lets a person attach.
const MOST: usize = 10;
/// How often one is asked for, and the pause before the next time.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// How long all files of a message may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// The longest name, in bytes, that a file has here.
const NAME: usize = 100;
/// After how long a turn's files are removed, should its session still be there.
const KEEP: Duration = Duration::from_hours(168);

/// Where files are kept, and how large one may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePolicy {
    /// A directory of ours. Below it each session has one, and in that each turn.
    pub dir: PathBuf,
    /// How many bytes one file may have.
    pub largest: u64,
}

/// What became of a message's files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    attachments: Vec<Attachment>,
    /// The names of those that are not there, each with the reason.
    missing: Vec<(String, String)>,
}

impl Fetched {
    /// The prompt with its files; of those that are missing the agent is told.
    pub(super) fn given_to(&self, prompt: Prompt) -> Prompt {
        let prompt = match words::files_missing_for_agent(&self.missing) {
            Some(missing) => {
                let text = format!("{}\n\n{missing}", prompt.text());
                prompt.reworded(text.trim_start().to_owned())
            }
            None => prompt,
        };
        prompt.with_files(self.attachments.clone())
    }

    /// What people are told of those that are missing.
    pub(super) fn note(&self) -> Option<String> {
        words::files_missing(&self.missing)
    }

    fn lacks(&mut self, file: &File, why: impl Into<String>) {
        self.missing.push((file.name.clone(), why.into()));
    }
}

impl Inner {
    /// Fetches the files of a turn's message, one after the other. What an earlier attempt left is fetched anew.
    pub(super) async fn fetch_files(&self, session: SessionId, turn: TurnId, files: &[File]) -> Fetched {
        let mut fetched = Fetched::default();
        if files.is_empty() {
            return fetched;
        }
        let (wanted, beyond) = files.split_at(files.len().min(MOST));
        let dir = turn_dir(&self.parts.policy.files.dir, session, turn);
        if let Err(error) = fresh(&dir).await {
            tracing::error!(session.id = %session, %error, dir = %dir.display(), "There is no room for a message's files");
            for file in wanted {
                fetched.lacks(file, reason(&NotFetched::NotKept(error.to_string())));
            }
        } else {
            let until = self.parts.clock.now() + PATIENCE;
            for (number, file) in (1..).zip(wanted) {
                let path = dir.join(local_name(number, &file.name));
                let left = until.saturating_duration_since(self.parts.clock.now());
                match self.parts.clock.timeout(left, self.fetch(file, &path)).await {
                    Ok(Ok(())) => fetched.attachments.push(attachment(file, path)),
                    Ok(Err(error)) => fetched.lacks(file, reason(&error)),
                    Err(_late) => {
                        // Half of it may be there.
                        drop(tokio::fs::remove_file(&path).await);
                        fetched.lacks(file, "it took too long");
                    }
                }
            }
        }
        for file in beyond {
            fetched.lacks(file, format!("only {MOST} files are taken"));
        }
        for (name, why) in &fetched.missing {
            tracing::warn!(session.id = %session, name.length = name.len(), why, "A file of a message could not be fetched");
        }
        fetched
    }

    async fn fetch(&self, file: &File, into: &Path) -> Result<(), NotFetched> {
        let mut attempt = 1;
        loop {
            match self.parts.files.fetch(file, into, self.parts.policy.files.largest).await {
                Err(NotFetched::Failed(_)) if attempt < ATTEMPTS => {}
                done => return done,
            }
            self.parts.clock.sleep(PAUSE * attempt).await;
            attempt += 1;
        }
    }

    /// Uploads a file, which is to be there soon or not at all. What may have arrived is not sent again.
    pub(super) async fn show_file(&self, to: &Place, file: Upload) -> Result<(), WriteError> {
        let mut attempt = 1;
        loop {
            match self.parts.files.upload(to, file.clone(), &Label::from(OwedId::new())).await {
                Err(error) if attempt < ATTEMPTS && may_come_yet(error.kind) => {}
                done => return done,
            }
            self.parts.clock.sleep(PAUSE * attempt).await;
            attempt += 1;
        }
    }

    /// Removes the files of a session that has ended.
    pub(super) fn remove_files(&self, session: SessionId) {
        let dir = session_dir(&self.parts.policy.files.dir, session);
        self.parts.scope.spawn("remove files", OnCrash::Log, async move {
            match tokio::fs::remove_dir_all(&dir).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(dir = %dir.display(), %error, "The files of a session that has ended could not be removed");
                }
                _ => {}
            }
        });
    }
}

fn may_come_yet(kind: WriteErrorKind) -> bool {
    matches!(kind, WriteErrorKind::Rate { .. } | WriteErrorKind::Transient { uncertain: false })
}

fn reason(error: &NotFetched) -> String {
    match error {
        NotFetched::TooLarge { limit } => format!("it is larger than {}", byte_size::format(*limit)),
        other => other.to_string(),
    }
}

fn attachment(file: &File, path: PathBuf) -> Attachment {
    Attachment { name: file.name.clone(), mime: file.mime.clone(), path }
}

fn session_dir(files: &Path, session: SessionId) -> PathBuf {
    files.join(session.to_string())
}

fn turn_dir(files: &Path, session: SessionId, turn: TurnId) -> PathBuf {
    session_dir(files, session).join(turn.to_string())
}

/// An empty directory that only we may open.
async fn fresh(dir: &Path) -> std::io::Result<()> {
    match tokio::fs::remove_dir_all(dir).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).await
}

/// What a file is called here. The number keeps it apart from the message's others, and from what has a meaning of its own, such as `..`;
/// what is left of the name is harmless in a shell, too.
fn local_name(number: usize, name: &str) -> String {
    let harmless = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let mut kept = format!("{number}-");
    for c in name.chars().map(harmless) {
        if kept.len() + c.len_utf8() > NAME {
            break;
        }
        kept.push(c);
    }
    kept
}

/// Removes the files of turns that began more than a week before `now_ms`, in milliseconds since the Unix epoch.
///
/// # Errors
/// When the directory can't be read; one that is not there holds nothing.
pub async fn purge_files(dir: &Path, now_ms: i64) -> std::io::Result<()> {
    let now = Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    let Some(before) = now.checked_sub(KEEP).map(|age| UNIX_EPOCH + age) else { return Ok(()) };
    for session in folders(dir).await? {
        for turn in folders(&session).await? {
            if tokio::fs::metadata(&turn).await?.modified()? < before {
                tokio::fs::remove_dir_all(&turn).await?;
            }
        }
        // It only goes when it is empty.
        drop(tokio::fs::remove_dir(&session).await);
    }
    Ok(())
}

async fn folders(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut entries = match tokio::fs::read_dir(dir).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        if entry.file_type().await?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_harmless_and_never_the_same_twice() {
        let cases = [
            ("notes.txt", "1-notes.txt"),
            ("../../etc/passwd", "1-.._.._etc_passwd"),
            ("", "1-"),
            ("..", "1-.."),
            ("a b\n$(x).png", "1-a_b___x_.png"),
            ("\u{202e}gnp.exe", "1-_gnp.exe"),
            ("größe.md", "1-größe.md"),
        ];
        for (name, expected) in cases {
            assert_eq!(local_name(1, name), expected);
        }
        let long = local_name(10, &"ä".repeat(500));
        assert!(long.len() <= NAME && long.starts_with("10-ä"), "{long}");
        assert_ne!(local_name(1, "a"), local_name(2, "a"));
    }

    #[tokio::test]
    async fn files_are_kept_for_a_week() {
        let dir = tempfile::tempdir().unwrap();
        let turn = turn_dir(dir.path(), SessionId::new(), TurnId::new());
        fresh(&turn).await.unwrap();
        std::fs::write(turn.join("1-a"), "a").unwrap();
        let made = std::fs::metadata(&turn).unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
        let after = |age: Duration| i64::try_from((made + age).as_millis()).unwrap();
        purge_files(dir.path(), after(Duration::from_hours(167))).await.unwrap();
        assert!(turn.join("1-a").exists());
        purge_files(dir.path(), after(Duration::from_hours(169))).await.unwrap();
        assert!(!turn.exists() && !turn.parent().unwrap().exists());
        purge_files(&dir.path().join("none"), after(KEEP)).await.unwrap();
        purge_files(dir.path(), 0).await.unwrap();
    }

    #[tokio::test]
    async fn an_earlier_attempt_leaves_nothing_in_the_way() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let turn = turn_dir(dir.path(), SessionId::new(), TurnId::new());
        fresh(&turn).await.unwrap();
        std::fs::write(turn.join("1-a"), "half").unwrap();
        fresh(&turn).await.unwrap();
        assert_eq!(std::fs::read_dir(&turn).unwrap().count(), 0);
        for made in [&turn, turn.parent().unwrap()] {
            assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}
