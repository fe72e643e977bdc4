//! A file of the agent's working directory, opened so that it can't be one from elsewhere.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, openat};

/// A file that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OwnFile {
    /// Its name, without a directory.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRead {
    /// It lies, or leads, outside.
    #[error("it is not in your working directory, or leads out of it")]
    Outside,
    /// It is a directory, a pipe, or something else of which there is no content.
    #[error("it is not a file")]
    NotAFile,
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is too large.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// The most that is read.
        limit: u64,
    },
    /// The system says no.
    #[error("it can't be read: {0}")]
    Io(#[from] io::Error),
}

/// Reads the file at `path`, which may be relative to the directory `dir`, if it lies in that and has at most `limit` bytes. Blocks.
///
/// Links inside of the directory are followed once. What they lead to is then opened step by step without following any, so that
/// changing one meanwhile leads nowhere.
pub(super) fn read(dir: &Path, path: &Path, limit: u64) -> Result<OwnFile, NotRead> {
    let dir = dir.canonicalize()?;
    let real = dir.join(path).canonicalize()?;
    let inside = real.strip_prefix(&dir).map_err(|_elsewhere| NotRead::Outside)?;
    let name = path.file_name().or_else(|| real.file_name()).ok_or(NotRead::NotAFile)?;
    let file = File::from(open_step_by_step(&dir, inside)?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(NotRead::NotAFile);
    }
    let too_large = NotRead::TooLarge { limit };
    if metadata.len() > limit {
        return Err(too_large);
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large);
    }
    if bytes.is_empty() {
        return Err(NotRead::Empty);
    }
    Ok(OwnFile { name: name.to_string_lossy().into_owned(), bytes })
}

fn open_step_by_step(dir: &Path, inside: &Path) -> Result<OwnedFd, NotRead> {
    // Not to wait for whoever writes into a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let refused = |error: rustix::io::Errno| match error {
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => NotRead::Outside,
        error => NotRead::Io(error.into()),
    };
    let mut at = open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(refused)?;
    for step in steps(inside) {
        at = openat(&at, &step, flags, Mode::empty()).map_err(refused)?;
    }
    Ok(at)
}

fn steps(inside: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    inside.components().filter_map(|component| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const LIMIT: u64 = 10;

    /// A directory with a working directory in it and a secret beside that.
    fn house() -> tempfile::TempDir {
        let house = tempfile::tempdir().unwrap();
        fs::create_dir_all(house.path().join("work/sub")).unwrap();
        fs::write(house.path().join("secret"), "secret").unwrap();
        fs::write(house.path().join("work/a.txt"), "a").unwrap();
        fs::write(house.path().join("work/sub/b.txt"), "b").unwrap();
        fs::write(house.path().join("work/large"), "01234567890").unwrap();
        fs::write(house.path().join("work/just"), "0123456789").unwrap();
        fs::write(house.path().join("work/empty"), "").unwrap();
        symlink("sub/b.txt", house.path().join("work/link")).unwrap();
        symlink("../secret", house.path().join("work/out")).unwrap();
        symlink("..", house.path().join("work/up")).unwrap();
        house
    }

    fn read_there(house: &Path, path: &str) -> Result<OwnFile, NotRead> {
        read(&house.join("work"), Path::new(path), LIMIT)
    }

    #[test]
    fn files_inside_are_read_by_any_name() {
        let house = house();
        let absolute = house.path().join("work/a.txt");
        for (path, name, content) in [
            ("a.txt", "a.txt", "a"),
            ("./sub/../a.txt", "a.txt", "a"),
            (absolute.to_str().unwrap(), "a.txt", "a"),
            ("sub/b.txt", "b.txt", "b"),
            ("link", "link", "b"),
            ("just", "just", "0123456789"),
        ] {
            let expected = OwnFile { name: name.to_owned(), bytes: content.into() };
            assert_eq!(read_there(house.path(), path).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn nothing_else_is() {
        let house = house();
        rustix::fs::mknodat(rustix::fs::CWD, house.path().join("work/pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0)
            .unwrap();
        let secret = house.path().join("secret");
        for (path, why) in [
            ("../secret", "not in your working directory"),
            (secret.to_str().unwrap(), "not in your working directory"),
            ("out", "not in your working directory"),
            ("up/secret", "not in your working directory"),
            ("/etc/hostname", "not in your working directory"),
            ("sub", "not a file"),
            ("", "not a file"),
            ("pipe", "not a file"),
            ("large", "larger than 10 bytes"),
            ("empty", "is empty"),
            ("missing", "can't be read"),
        ] {
            let refused = read_there(house.path(), path).unwrap_err().to_string();
            assert!(refused.contains(why), "{path}: {refused}");
        }
    }

    #[test]
    fn a_link_that_takes_the_place_of_a_directory_leads_nowhere() {
        let house = house();
        let dir = house.path().join("work").canonicalize().unwrap();
        let refused = open_step_by_step(&dir, Path::new("up/secret")).unwrap_err();
        assert!(matches!(refused, NotRead::Outside), "{refused}");
        assert!(matches!(open_step_by_step(&dir, Path::new("out")), Err(NotRead::Outside)));
    }
}
