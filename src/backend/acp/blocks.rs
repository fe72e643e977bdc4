//! A prompt as the protocol's content blocks.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use url::Url;

use crate::domain::agent::{Attachment, Prompt};

/// The largest image that is sent with the prompt, in bytes; models take no larger ones.
const LARGEST_IMAGE: u64 = 5 * 1024 * 1024;
/// The largest text that is: of a longer one the agent reads what it needs.
const LARGEST_TEXT: u64 = 64 * 1024;

/// What an agent takes in a prompt, beside text and links to files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Accepts {
    pub(super) images: bool,
    /// Whole files.
    pub(super) resources: bool,
}

/// The blocks of a prompt: what was said, and one for each file. A file that the agent takes no other way, or that can't be read, is a
/// link: agents run on this machine, under our user.
pub(super) async fn blocks(prompt: &Prompt, accepts: Accepts) -> Vec<Value> {
    let mut blocks = vec![json!({"type": "text", "text": prompt.text()})];
    for file in prompt.attachments() {
        let whole = match Form::of(file, accepts) {
            Form::Image(mime) => image(file, mime).await,
            Form::Text(mime) => text(file, mime).await,
            Form::Link => None,
        };
        blocks.push(whole.unwrap_or_else(|| link(file)));
    }
    blocks
}

/// In which form a file goes along.
#[derive(Debug, PartialEq, Eq)]
enum Form<'a> {
    /// An image of this type.
    Image(&'a str),
    /// A text of this type.
    Text(&'a str),
    Link,
}

impl<'a> Form<'a> {
    fn of(file: &'a Attachment, accepts: Accepts) -> Self {
        const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
        const TEXTS: [&str; 4] = ["application/json", "application/xml", "application/yaml", "application/toml"];
        match file.mime.as_deref() {
            Some(mime) if accepts.images && IMAGES.contains(&mime) => Self::Image(mime),
            Some(mime) if accepts.resources && (mime.starts_with("text/") || TEXTS.contains(&mime)) => Self::Text(mime),
            _ => Self::Link,
        }
    }
}

async fn image(file: &Attachment, mime: &str) -> Option<Value> {
    let data = STANDARD.encode(read(&file.path, LARGEST_IMAGE).await?);
    Some(json!({"type": "image", "data": data, "mimeType": mime, "uri": uri(&file.path)}))
}

async fn text(file: &Attachment, mime: &str) -> Option<Value> {
    let text = String::from_utf8(read(&file.path, LARGEST_TEXT).await?).ok()?;
    Some(json!({"type": "resource", "resource": {"uri": uri(&file.path), "text": text, "mimeType": mime}}))
}

fn link(file: &Attachment) -> Value {
    let mut link = json!({"type": "resource_link", "uri": uri(&file.path), "name": file.name});
    if let (Some(mime), Some(link)) = (&file.mime, link.as_object_mut()) {
        link.insert("mimeType".to_owned(), json!(mime));
    }
    link
}

/// The bytes of a file that is no larger than this.
async fn read(path: &Path, largest: u64) -> Option<Vec<u8>> {
    let size = tokio::fs::metadata(path).await.ok()?.len();
    if size > largest {
        return None;
    }
    tokio::fs::read(path).await.ok()
}

fn uri(path: &Path) -> String {
    Url::from_file_path(path).map_or_else(|()| format!("file://{}", path.display()), String::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::{Gate, Rules};
    use crate::domain::ids::TurnId;
    use crate::domain::inbound::{Author, ChannelKind};

    const ALL: Accepts = Accepts { images: true, resources: true };

    fn prompt(files: Vec<Attachment>) -> Prompt {
        let gate = Gate::new(Rules { users: vec!["*".to_owned()], ..Rules::default() }, "T1".into());
        let author = Author { user: "U1".into(), team: None, bot: None };
        let admitted = gate.admit(&author, &"D1".into(), ChannelKind::Direct).unwrap();
        Prompt::new(TurnId::new(), &admitted, "look".to_owned()).with_files(files)
    }

    /// The block of a file with these bytes.
    async fn block(name: &str, mime: Option<&str>, bytes: &[u8], accepts: Accepts) -> Value {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a file");
        std::fs::write(&path, bytes).unwrap();
        let file = Attachment { name: name.to_owned(), mime: mime.map(str::to_owned), path: path.clone() };
        let mut blocks = blocks(&prompt(vec![file]), accepts).await;
        assert_eq!((blocks.len(), &blocks[0]), (2, &json!({"type": "text", "text": "look"})));
        let shown = blocks.remove(1).to_string();
        let uri = uri(&path);
        assert!(shown.contains(&uri) && uri.ends_with("/a%20file"), "{shown}");
        serde_json::from_str(&shown.replace(&uri, "URI")).unwrap()
    }

    #[tokio::test]
    async fn a_file_goes_along_in_the_best_form_that_the_agent_takes() {
        let link = |mime: &str| json!({"type": "resource_link", "uri": "URI", "name": "n", "mimeType": mime});
        let picture = json!({"type": "image", "data": "AQID", "mimeType": "image/png", "uri": "URI"});
        let resource =
            |text: &str| json!({"type": "resource", "resource": {"uri": "URI", "text": text, "mimeType": "text/csv"}});
        assert_eq!(block("n", Some("image/png"), &[1, 2, 3], ALL).await, picture);
        assert_eq!(block("n", Some("text/csv"), b"a,b", ALL).await, resource("a,b"));
        for (mime, bytes, accepts) in [
            ("image/png", &[1, 2, 3][..], Accepts { images: false, ..ALL }),
            ("image/svg+xml", b"<svg/>", ALL),
            ("text/csv", b"a,b", Accepts { resources: false, ..ALL }),
            ("text/csv", b"\xff", ALL),
            ("text/csv", &vec![b'x'; 65 * 1024], ALL),
            ("image/png", &vec![1; 6 * 1024 * 1024], ALL),
            ("application/zip", b"PK", ALL),
        ] {
            assert_eq!(block("n", Some(mime), bytes, accepts).await, link(mime), "{mime}");
        }
        assert_eq!(block("n", None, b"x", ALL).await, json!({"type": "resource_link", "uri": "URI", "name": "n"}));
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_still_named() {
        let file = Attachment { name: "n".to_owned(), mime: Some("image/png".to_owned()), path: "/no/such".into() };
        let expected = json!({"type": "resource_link", "uri": "file:///no/such", "name": "n", "mimeType": "image/png"});
        assert_eq!(blocks(&prompt(vec![file]), ALL).await[1], expected);
    }
}
