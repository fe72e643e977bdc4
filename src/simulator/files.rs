//! Files: what people and the app bring along, and how it is fetched.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::calls::Answer;
use super::core::{Core, lock};
use super::faults::{Fault, Place};
use super::ids::{BOT_TOKEN, TEAM, Ts, slack_id};
use super::request::{Args, first_part, token};
use super::server::CutLine;

/// The largest file that is taken.
pub(super) const LARGEST: usize = 64 << 20;
/// How much of all files is kept; beyond that the oldest lose their content.
const KEPT: usize = 256 << 20;

/// What a download and an upload are called where calls are recorded and faults are ordered.
const DOWNLOAD: &str = "files.download";
const UPLOAD: &str = "files.upload";

/// Types by the end of a name, as far as it matters here; anything else is just bytes.
const TYPES: &[(&str, &str)] = &[
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("log", "text/plain"),
    ("md", "text/markdown"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("txt", "text/plain"),
];

/// All files of the workspace.
#[derive(Debug, Default)]
pub(super) struct Files {
    by_id: BTreeMap<String, File>,
    /// Addresses for uploads, each for the file that is to come.
    awaited: HashMap<String, String>,
    /// Files with content, oldest first.
    order: Vec<String>,
    size: usize,
}

/// One file.
#[derive(Debug, Clone)]
pub(super) struct File {
    id: String,
    name: String,
    title: String,
    mime: String,
    user: String,
    at: Ts,
    /// How large it is, or was said to be.
    length: usize,
    content: Option<Bytes>,
    /// The messages that show it.
    shares: Vec<(String, Ts)>,
}

impl Files {
    /// A file that is to come, and the secret of the address to which.
    pub(super) fn reserve(&mut self, user: &str, name: &str, length: usize, at: Ts) -> (String, String) {
        let id = slack_id("F");
        let secret: String = std::iter::repeat_with(fastrand::alphanumeric).take(32).collect();
        let file = File {
            id: id.clone(),
            name: name.to_owned(),
            title: name.to_owned(),
            mime: mime(name).to_owned(),
            user: user.to_owned(),
            at,
            length,
            content: None,
            shares: Vec::new(),
        };
        self.by_id.insert(id.clone(), file);
        self.awaited.insert(secret.clone(), id.clone());
        (id, secret)
    }

    /// A file that is there at once.
    pub(super) fn add(&mut self, user: &str, name: &str, mime: Option<&str>, content: Bytes, at: Ts) -> String {
        let (id, secret) = self.reserve(user, name, content.len(), at);
        if let (Some(file), Some(mime)) = (self.by_id.get_mut(&id), mime) {
            mime.clone_into(&mut file.mime);
        }
        self.awaited.remove(&secret);
        self.keep(&id, content);
        id
    }

    /// The content of a file that was to come. The error is the answer's text.
    fn receive(&mut self, secret: &str, content: Bytes) -> Result<(), &'static str> {
        let id = self.awaited.get(secret).cloned().ok_or("no such upload")?;
        if self.by_id.get(&id).is_none_or(|file| file.length != content.len()) {
            return Err("length is not as announced");
        }
        self.keep(&id, content);
        Ok(())
    }

    fn keep(&mut self, id: &str, content: Bytes) {
        let Some(file) = self.by_id.get_mut(id) else { return };
        self.size += content.len();
        let before = file.content.replace(content);
        self.size -= before.as_ref().map_or(0, Bytes::len);
        if before.is_none() {
            self.order.push(id.to_owned());
        }
        while self.size > KEPT && self.order.len() > 1 {
            let oldest = self.order.remove(0);
            let content = self.by_id.get_mut(&oldest).and_then(|file| file.content.take());
            self.size -= content.map_or(0, |content| content.len());
        }
    }

    /// A file that has come.
    pub(super) fn get(&self, id: &str) -> Option<&File> {
        self.by_id.get(id).filter(|file| file.content.is_some())
    }

    /// Gives a file its title and notes the message that shows it.
    pub(super) fn share(&mut self, id: &str, title: Option<&str>, message: Option<(&str, Ts)>) {
        let Some(file) = self.by_id.get_mut(id) else { return };
        if let Some(title) = title {
            title.clone_into(&mut file.title);
        }
        file.shares.extend(message.map(|(channel, ts)| (channel.to_owned(), ts)));
    }

    /// Removes a file. False when there is none.
    pub(super) fn delete(&mut self, id: &str) -> bool {
        let Some(file) = self.by_id.remove(id) else { return false };
        self.size -= file.content.map_or(0, |content| content.len());
        self.order.retain(|other| other != id);
        true
    }
}

impl File {
    /// The file object of the Web API and of messages; `base` is the server's own address.
    pub(super) fn slack(&self, base: &str) -> Value {
        let Self { id, name, title, mime, user, at, length, .. } = self;
        let path = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let mut object = json!({
            "id": id, "created": at.seconds(), "timestamp": at.seconds(), "name": name, "title": title, "mimetype": mime,
            "filetype": name.rsplit_once('.').map_or("binary", |(_, end)| end), "user": user, "size": length,
            "mode": "hosted", "is_external": false, "is_public": true, "file_access": "visible",
            "url_private": format!("{base}/files-pri/{TEAM}-{id}/{path}"),
            "url_private_download": format!("{base}/files-pri/{TEAM}-{id}/download/{path}"),
        });
        for (channel, ts) in &self.shares {
            let share = json!([{"ts": ts}]);
            object["shares"]["public"][channel] = share;
        }
        object
    }
}

fn mime(name: &str) -> &'static str {
    let end = name.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase();
    TYPES.iter().find(|(known, _)| *known == end).map_or("application/octet-stream", |(_, mime)| mime)
}

impl Core {
    /// Its address, without a slash at the end.
    pub(super) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The objects of files that a message is to show. Each is an id, or else is shown as it is given. The error is the id of none.
    pub(super) fn attached(&self, files: Value) -> Result<Value, String> {
        let base = self.base();
        let known = lock(&self.files);
        let object = |file: Value| match file.as_str() {
            None => Ok(file),
            Some(id) => known.get(id).map(|file| file.slack(&base)).ok_or_else(|| id.to_owned()),
        };
        match files {
            Value::Array(files) => files.into_iter().map(object).collect(),
            other => Ok(other),
        }
    }

    /// Notes which message shows these files, by their objects.
    pub(super) fn note_shares(&self, files: &Value, channel: &str, ts: Ts) {
        let mut known = lock(&self.files);
        for id in files.as_array().into_iter().flatten().filter_map(|file| file["id"].as_str()) {
            known.share(id, None, Some((channel, ts)));
        }
    }

    fn record(&self, method: &str, args: &Value, status: StatusCode) {
        let args = args.as_object().cloned().unwrap_or_default();
        let answer = Answer { ok: status.is_success(), ..Answer::default() };
        lock(&self.calls).add(method, self.clock.wall_ms(), args, answer, status.as_u16());
    }
}

/// `POST /upload/v1/…`: the content of a file, as it is or as the first part of a form.
pub(super) async fn upload(
    State(core): State<Arc<Core>>,
    Path(secret): Path<String>,
    Extension(line): Extension<CutLine>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fault = core.strike(&[Place::Call], UPLOAD, None);
    let content = first_part(&headers, body);
    let received = match (&fault, content) {
        (Some(Fault::Http500), _) => Err("something went wrong"),
        (_, Some(content)) => lock(&core.files).receive(&secret, content),
        (_, None) => Err("no part in this form"),
    };
    let status = match (&fault, received) {
        (Some(Fault::Http500), _) => StatusCode::INTERNAL_SERVER_ERROR,
        (_, Ok(())) => StatusCode::OK,
        (_, Err(_)) => StatusCode::BAD_REQUEST,
    };
    let authorized = headers.contains_key(header::AUTHORIZATION);
    core.record(UPLOAD, &json!({"authorized": authorized}), status);
    if fault == Some(Fault::LostReply) {
        match line.cut().await {}
    }
    (status, received.err().unwrap_or("OK")).into_response()
}

/// `GET /files-pri/…`: a file, for whoever bears the bot's token. Others see a page on which to log in, as with Slack.
pub(super) async fn private(
    State(core): State<Arc<Core>>,
    Path(path): Path<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    let id = path.first().and_then(|(_, key)| key.split_once('-')).map_or("", |(_, id)| id).to_owned();
    let authorized = token(&headers, &Args::default()) == Some(BOT_TOKEN);
    let fault = core.strike(&[Place::Call], DOWNLOAD, None);
    let response = match fault {
        Some(Fault::Http500) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::FileElsewhere { to }) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Some(Fault::FileEndless) => endless(),
        Some(Fault::FileLogin) => login_page(),
        _ if !authorized => login_page(),
        other => content(&core, &id, other == Some(Fault::LostReply)),
    };
    core.record(DOWNLOAD, &json!({"file": id, "authorized": authorized}), response.status());
    response
}

/// `GET /sim/files/…`: a file, for the page.
pub(super) async fn shown(State(core): State<Arc<Core>>, Path(id): Path<String>) -> Response {
    content(&core, &id, false)
}

/// `GET /sim/files`: the files that were brought, for tests.
pub(super) async fn list(State(core): State<Arc<Core>>) -> Json<Value> {
    let base = core.base();
    let files: Vec<Value> = lock(&core.files).by_id.values().map(|file| file.slack(&base)).collect();
    Json(json!({"files": files}))
}

/// A file's content, always to be saved and never to be shown: it may be a page with scripts. `cut`: it breaks off in the middle.
fn content(core: &Core, id: &str, cut: bool) -> Response {
    let files = lock(&core.files);
    let Some((file, content)) = files.get(id).and_then(|file| Some((file, file.content.clone()?))) else {
        return (StatusCode::NOT_FOUND, "there is no such file").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, file.mime.clone()),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    if cut {
        let half = content.slice(..content.len() / 2);
        let broken = std::io::Error::other("cut off");
        let pieces = futures_util::stream::iter([Ok(half), Err(broken)]);
        return (headers, Body::from_stream(pieces)).into_response();
    }
    (headers, content).into_response()
}

fn endless() -> Response {
    let pieces = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4_096])));
    ([(header::CONTENT_TYPE, "application/octet-stream")], Body::from_stream(pieces)).into_response()
}

fn login_page() -> Response {
    let headers: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
    (headers, Html("<!doctype html><title>Sign in</title><h1>Sign in to your workspace</h1>")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_as_long_as_announced_and_may_come_again() {
        let mut files = Files::default();
        let (id, secret) = files.reserve("U1", "a.txt", 3, Ts(1));
        assert!(files.get(&id).is_none(), "it has not come yet");
        assert!(files.receive("other", Bytes::from_static(b"abc")).is_err());
        assert!(files.receive(&secret, Bytes::from_static(b"abcd")).is_err());
        for content in ["abc", "xyz"] {
            assert_eq!(files.receive(&secret, Bytes::from_static(content.as_bytes())), Ok(()));
        }
        assert_eq!((files.size, files.order.len()), (3, 1));
        assert!(files.delete(&id) && !files.delete(&id));
        assert_eq!((files.size, files.order.len()), (0, 0));
    }

    #[test]
    fn the_oldest_content_goes_when_there_is_too_much() {
        let mut files = Files::default();
        let content = Bytes::from(vec![0; LARGEST]);
        let ids: Vec<_> = (0..5).map(|_| files.add("U1", "a.bin", None, content.clone(), Ts(1))).collect();
        assert!(files.get(&ids[0]).is_none());
        assert!(ids[1..].iter().all(|id| files.get(id).is_some()));
        assert_eq!(files.size, KEPT);
    }

    #[test]
    fn a_file_says_where_it_is_and_who_shows_it() {
        let mut files = Files::default();
        let id = files.add("U1", "a b/c.PNG", None, Bytes::from_static(b"x"), Ts(1_000_000));
        files.share(&id, Some("title"), Some(("C1", Ts(2))));
        let object = files.get(&id).unwrap().slack("http://host");
        assert_eq!((&object["mimetype"], &object["title"]), (&json!("image/png"), &json!("title")));
        let url = object["url_private_download"].as_str().unwrap();
        assert_eq!(url, format!("http://host/files-pri/{TEAM}-{id}/download/a%20b%2Fc%2EPNG"));
        assert_eq!(object["shares"]["public"]["C1"][0]["ts"], json!(Ts(2)));
    }
}
