//! What a session is called, by us and in the store.

use super::family::Process;
use crate::domain::session::BackendRef;

/// What our names for sessions begin with.
const NAME_START: &str = "hl-";
/// How many hexadecimal digits follow: enough for nobody to guess, and few enough for the path of a socket.
const DIGITS: usize = 16;

/// A name that no session had before.
pub(super) fn new_name() -> String {
    let digits: String = uuid::Uuid::new_v4().simple().to_string().chars().take(DIGITS).collect();
    format!("{NAME_START}{digits}")
}

/// What a session is found by: the name of its server and the process of its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) program: Process,
}

impl Reference {
    /// Reads what [`Reference::written`] wrote. Nothing of anything else: a part of it becomes a path.
    pub(super) fn parse(text: &BackendRef) -> Option<Self> {
        let mut parts = text.0.split('.');
        let (name, id, started) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = name.strip_prefix(NAME_START)?;
        let named = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let program = Process { id: id.parse().ok()?, started: started.parse().ok()? };
        (named && parts.next().is_none()).then(|| Self { name: name.to_owned(), program })
    }

    /// As the store keeps it.
    pub(super) fn written(&self) -> BackendRef {
        BackendRef(format!("{}.{}.{}", self.name, self.program.id, self.program.started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_name_and_its_program() {
        let reference =
            Reference { name: "hl-0123456789abcdef".to_owned(), program: Process { id: 42, started: 4_711 } };
        assert_eq!(reference.written().0, "hl-0123456789abcdef.42.4711");
        assert_eq!(Reference::parse(&reference.written()), Some(reference));
        for wrong in [
            "",
            "lost-1",
            "hl-0123456789abcdef",
            "hl-0123456789abcdef.42",
            "hl-0123456789abcdef.42.x",
            "hl-0123456789abcdef.42.4711.1",
            "hl-../../../../etc/.42.4711",
            "hl-0123456789abcde.42.4711",
            "main.42.4711",
        ] {
            assert_eq!(Reference::parse(&BackendRef(wrong.to_owned())), None, "{wrong}");
        }
    }

    #[test]
    fn a_new_name_is_one_that_can_be_found_again() {
        let reference = Reference { name: new_name(), program: Process { id: 1, started: 2 } };
        assert_eq!(Reference::parse(&reference.written()), Some(reference));
        assert_ne!(new_name(), new_name());
    }
}
