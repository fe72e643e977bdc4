//! Files: fetched from Slack, and uploaded to it.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;
use url::Url;

use super::api::{Call, Encoding, Urgency};
use super::error::{ApiError, ApiErrorKind};
use super::events;
use super::surface::Surface;
use crate::domain::inbound::{File, FileAt};
use crate::domain::outgoing::{Label, Place};
use crate::domain::ports::{Files, NotFetched, Upload, WriteError};
use crate::http_client::cause;

/// How long a file may take, either way.
const TRANSFER: Duration = Duration::from_mins(2);
/// How many redirects within Slack are followed.
const REDIRECTS: usize = 3;

/// How often it is looked for a file whose showing was not answered, and the pause between.
const LOOKS: u32 = 3;
const LOOK_PAUSE: Duration = Duration::from_secs(1);

const INFO: &str = "files.info";
const RESERVE: &str = "files.getUploadURLExternal";
const COMPLETE: &str = "files.completeUploadExternal";

#[async_trait]
impl Files for Surface {
    async fn fetch(&self, file: &File, into: &Path, limit: u64) -> Result<(), NotFetched> {
        let found = self.located(file).await?;
        if found.size.is_some_and(|size| size > limit) {
            return Err(NotFetched::TooLarge { limit });
        }
        let FileAt::Address(address) = &found.at else { return Err(NotFetched::Gone) };
        let response = self.download(address, &found).await?;
        let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(into).await.map_err(not_kept)?;
        let kept = keep(response, &found, new, limit).await;
        if kept.is_err() {
            // Half a file is worse than none.
            drop(tokio::fs::remove_file(into).await);
        }
        kept
    }

    async fn upload(&self, to: &Place, file: Upload, label: &Label) -> Result<(), WriteError> {
        let Upload { name, bytes } = file;
        let form = json!({"filename": name, "length": bytes.len()});
        let reserved = self.file_call(RESERVE, to.channel.as_str(), form).await.map_err(nothing_shown)?;
        let id = reserved["file_id"].as_str().filter(|id| !id.is_empty());
        let url = reserved["upload_url"].as_str().and_then(|url| self.api.file_url(url));
        let (Some(id), Some(url)) = (id, url) else {
            return Err(ApiError::lost(RESERVE, false, "the answer names no address of Slack's").into());
        };
        self.api.send_content(url, bytes, TRANSFER).await.map_err(nothing_shown)?;
        let completed = self.complete(to, id, &name).await;
        match completed {
            Err(ApiError { kind: ApiErrorKind::Transient { uncertain: true }, code, .. }) => {
                tracing::info!(file.id = id, owed.id = %label.key, code, "Whether a file was shown is not known: Slack is asked");
                self.complete_unless_shown(to, id, &name).await
            }
            done => Ok(done.map(drop)?),
        }
    }
}

impl Surface {
    /// The file with all that is needed to fetch it.
    async fn located(&self, file: &File) -> Result<File, NotFetched> {
        match &file.at {
            FileAt::Address(_) => Ok(file.clone()),
            FileAt::Gone | FileAt::Unknown => Err(NotFetched::Gone),
            FileAt::Elsewhere => Err(NotFetched::Elsewhere),
            FileAt::Ask => {
                let answer = self.file_call(INFO, "", json!({"file": file.id})).await;
                let found = events::file(&answer.map_err(|error| not_told(&error))?["file"]);
                match found.at {
                    FileAt::Elsewhere => Err(NotFetched::Elsewhere),
                    FileAt::Ask | FileAt::Unknown => Err(NotFetched::NotAllowed),
                    FileAt::Address(_) | FileAt::Gone => Ok(found),
                }
            }
        }
    }

    /// Asks for the content; redirects are followed within Slack alone.
    async fn download(&self, address: &str, file: &File) -> Result<Response, NotFetched> {
        let mut url = self.api.file_url(address).ok_or(NotFetched::Elsewhere)?;
        for _ in 0..=REDIRECTS {
            let response = self.api.download(url.clone(), TRANSFER).await.map_err(NotFetched::Failed)?;
            if !response.status().is_redirection() {
                return content(response, file);
            }
            let target = response.headers().get(LOCATION).and_then(|target| url.join(target.to_str().ok()?).ok());
            let target = target.ok_or_else(|| NotFetched::Failed("Slack redirects to no address".to_owned()))?;
            url = self.api.file_url(target.as_str()).ok_or_else(|| led_away(&target))?;
        }
        Err(NotFetched::Failed("Slack redirects too often".to_owned()))
    }

    /// Shows an uploaded file.
    async fn complete(&self, to: &Place, id: &str, name: &str) -> Result<Value, ApiError> {
        let mut form = json!({"files": [{"id": id, "title": name}], "channel_id": to.channel});
        if let Some(thread) = &to.thread {
            form["thread_ts"] = json!(thread);
        }
        self.file_call(COMPLETE, to.channel.as_str(), form).await
    }

    /// Shows an uploaded file once more, if it was not. Slack shows files some time after it has said so.
    async fn complete_unless_shown(&self, to: &Place, id: &str, name: &str) -> Result<(), WriteError> {
        for look in 0..LOOKS {
            self.api.clock.sleep(if look == 0 { Duration::ZERO } else { LOOK_PAUSE }).await;
            let asked = self.file_call(INFO, "", json!({"file": id})).await;
            // Nobody knows, and twice would be wrong.
            let info = asked.map_err(|error| ApiError::lost(COMPLETE, true, error.code))?;
            if is_shown(&info["file"], to) {
                return Ok(());
            }
        }
        self.complete(to, id, name).await?;
        Ok(())
    }

    async fn file_call(&self, method: &'static str, place: &str, args: Value) -> Result<Value, ApiError> {
        let call = Call { method, encoding: Encoding::Form, place, urgency: Urgency::Wait, args };
        self.api.call(call).await
    }
}

/// Whether a file's object names a message at a place.
fn is_shown(file: &Value, to: &Place) -> bool {
    let shares = ["public", "private"].map(|kind| &file["shares"][kind][to.channel.as_str()]);
    shares.into_iter().any(|shares| shares.as_array().is_some_and(|shares| !shares.is_empty()))
}

/// What went wrong before a file's last step may simply be done again: nobody has seen anything of it.
fn nothing_shown(error: ApiError) -> ApiError {
    match error.kind {
        ApiErrorKind::Transient { .. } => ApiError { kind: ApiErrorKind::Transient { uncertain: false }, ..error },
        _ => error,
    }
}

/// What a refused question about a file means.
fn not_told(error: &ApiError) -> NotFetched {
    match (error.kind, error.code.as_str()) {
        (_, "file_not_found" | "file_deleted") => NotFetched::Gone,
        (ApiErrorKind::Permanent | ApiErrorKind::Auth, _) => NotFetched::NotAllowed,
        _ => NotFetched::Failed(error.to_string()),
    }
}

/// Whoever has no right to a file is led to a page on which to log in (measured: by a redirect, or by the page itself).
fn led_away(target: &Url) -> NotFetched {
    let to_slack = target.domain().is_some_and(|host| host == "slack.com" || host.ends_with(".slack.com"));
    if to_slack { NotFetched::NotAllowed } else { NotFetched::Elsewhere }
}

/// The answer, if it can be the file.
fn content(response: Response, file: &File) -> Result<Response, NotFetched> {
    let is_page = |kind: &str| kind.starts_with("text/html");
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(NotFetched::NotAllowed),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(NotFetched::Gone),
        StatusCode::OK if kind.is_some_and(is_page) && !file.mime.as_deref().is_some_and(is_page) => {
            Err(NotFetched::NotAllowed)
        }
        StatusCode::OK => Ok(response),
        status => Err(NotFetched::Failed(format!("Slack answered {status}"))),
    }
}

/// Writes the content down.
async fn keep(mut response: Response, file: &File, mut out: tokio::fs::File, limit: u64) -> Result<(), NotFetched> {
    let mut length = 0;
    while let Some(piece) = response.chunk().await.map_err(|error| NotFetched::Failed(cause(error)))? {
        length += piece.len() as u64;
        if length > limit {
            return Err(NotFetched::TooLarge { limit });
        }
        out.write_all(&piece).await.map_err(not_kept)?;
    }
    out.flush().await.map_err(not_kept)?;
    if file.size.is_some_and(|size| size != length) {
        return Err(NotFetched::Failed("what Slack sent is not as long as the file".to_owned()));
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it away")]
fn not_kept(error: std::io::Error) -> NotFetched {
    NotFetched::NotKept(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_led_away_may_not_have_it_or_it_is_not_there() {
        let cases = [
            ("https://acme.slack.com/?redir=%2Ffiles", NotFetched::NotAllowed),
            ("https://slack.com/signin", NotFetched::NotAllowed),
            ("https://slack.com.example/signin", NotFetched::Elsewhere),
            ("https://evilslack.com/", NotFetched::Elsewhere),
            ("http://127.0.0.1/", NotFetched::Elsewhere),
        ];
        for (target, expected) in cases {
            assert_eq!(led_away(&target.parse().unwrap()), expected, "{target}");
        }
    }

    #[test]
    fn a_file_is_shown_where_a_message_shows_it() {
        let file = json!({"shares": {"private": {"G1": [{"ts": "1.0"}], "G2": []}, "public": {"C1": [{"ts": "2.0"}]}}});
        for (channel, shown) in [("G1", true), ("C1", true), ("G2", false), ("C2", false)] {
            let place = Place { channel: channel.into(), thread: None };
            assert_eq!(is_shown(&file, &place), shown, "{channel}");
            assert!(!is_shown(&json!({}), &place));
        }
    }
}
