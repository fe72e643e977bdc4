//! A token for the operator's listener in a run on the built-in Slack, where nobody has configured one.
//!
//! Whoever tries things out on a machine of their own should not have to configure a token first, and other users of that machine
//! should not get at agents through its loopback all the same. So one is made, in a file that its owner alone may read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use uuid::Uuid;

use super::RunError;
use crate::chat;
use crate::secret::SecretString;
use crate::settings::Settings;

/// The file's name in the state directory.
const FILE: &str = "http.token";

/// Sees to it that there is a token, and says where people can use it.
pub(super) fn provide(settings: &mut Settings, address: SocketAddr) -> Result<(), RunError> {
    let page = format!("http://{address}{}", chat::PATH);
    if settings.http.token.is_some() {
        tracing::info!("The web chat is at {page}; it asks for the token of http.token_file");
        return Ok(());
    }
    let file = settings.store.dir.join(FILE);
    let token = kept(&file).map_err(|error| RunError::Settings(format!("{}: {error}", file.display())))?;
    settings.http.token = Some(SecretString::from(token));
    tracing::info!("The web chat is at {page}; the token that it asks for is in {}", file.display());
    Ok(())
}

/// The token in `file`, which an earlier run may have made.
fn kept(file: &Path) -> io::Result<String> {
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    match new {
        Ok(mut new) => {
            // 244 random bits.
            let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            writeln!(new, "{token}")?;
            Ok(token)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let token = fs::read_to_string(file)?.trim().to_owned();
            if token.is_empty() { Err(io::Error::other("is empty; remove it")) } else { Ok(token) }
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let token = kept(&file).unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(kept(&file).unwrap(), token);
        fs::write(&file, "\n").unwrap();
        assert!(kept(&file).is_err());
    }
}
