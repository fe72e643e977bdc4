//! Requests to a server, over the one lent client; and its answers, read once and in bounded memory.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Method, Response};
use serde_json::Value;
use url::Url;

use super::failure::{Failure, Refusal};
use super::sse::{Decoder, Frame};
use crate::backend::BackendParts;
use crate::backend::config::Secret;
use crate::clock::Clock;
use crate::http_client::HttpClient;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a stream of events may be silent: servers send a sign of life every 10 or 15 s.
const SILENCE: Duration = Duration::from_mins(1);
/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

/// A server, as it is configured.
#[derive(Debug, Clone)]
pub(in crate::backend) struct Api {
    client: HttpClient,
    /// Nothing where it is no URL, with which the daemon does not start.
    base: Option<Url>,
    sign_in: SignIn,
    clock: Clock,
}

/// How we show a server who we are.
#[derive(Debug, Clone)]
pub(in crate::backend) enum SignIn {
    /// Not at all.
    Nobody,
    /// By a key.
    Bearer(Secret),
    /// By name and password.
    Basic(String, Secret),
}

/// A request to a server.
#[derive(Debug, Clone)]
pub(in crate::backend) struct Request {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    patience: Duration,
}

impl Request {
    fn new(method: Method, path: &[&str]) -> Self {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        Self { method, path, query: Vec::new(), body: None, patience: PATIENCE }
    }

    pub(in crate::backend) fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    pub(in crate::backend) fn post(path: &[&str]) -> Self {
        Self::new(Method::POST, path)
    }

    pub(in crate::backend) fn delete(path: &[&str]) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub(in crate::backend) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(in crate::backend) fn json(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// The same for something that may take longer.
    pub(in crate::backend) fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

impl Api {
    pub(in crate::backend) fn new(url: &str, sign_in: SignIn, parts: &BackendParts) -> Self {
        Self { client: parts.http.clone(), base: Url::parse(url).ok(), sign_in, clock: parts.clock.clone() }
    }

    /// Asks, and reads the answer; what is no JSON is `null`.
    ///
    /// # Errors
    /// When the server can't be asked, or answers with an error.
    pub(in crate::backend) async fn call(&self, request: Request) -> Result<Value, Failure> {
        self.in_time(request.patience, async {
            let response = self.send(&request).await?;
            let body = read(response).await?;
            Ok(serde_json::from_slice(&body).unwrap_or_default())
        })
        .await
    }

    /// Opens a stream of events.
    ///
    /// # Errors
    /// When the server can't be asked, answers with an error, or with no events.
    pub(in crate::backend) async fn events(&self, request: Request) -> Result<EventStream, Failure> {
        let response = self.in_time(request.patience, self.send(&request)).await?;
        match header(response.headers(), &CONTENT_TYPE) {
            Some(kind) if kind.starts_with("text/event-stream") => Ok(EventStream {
                response,
                decoder: Decoder::default(),
                frames: VecDeque::new(),
                clock: self.clock.clone(),
            }),
            _ => Err(Failure::Unexpected("has no events at the usual place; is `url` its address?".to_owned())),
        }
    }

    async fn in_time<T>(
        &self,
        patience: Duration,
        asking: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let late = || Failure::Broken(format!("no answer within {}", crate::duration::spoken(patience)));
        self.clock.timeout(patience, asking).await.unwrap_or_else(|_late| Err(late()))
    }

    /// Asks; an answer that is an error is read.
    async fn send(&self, request: &Request) -> Result<Response, Failure> {
        let Some(mut url) = self.base.clone() else {
            return Err(Failure::Unexpected("can't be asked: its `url` is none".to_owned()));
        };
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&request.path);
        }
        let mut builder = self.client.request(request.method.clone(), url).query(&request.query);
        builder = match &self.sign_in {
            SignIn::Nobody => builder,
            SignIn::Bearer(key) => builder.bearer_auth(key.expose()),
            SignIn::Basic(name, password) => builder.basic_auth(name, Some(password.expose())),
        };
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let response = builder.header(ACCEPT, "application/json, text/event-stream").send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = header(response.headers(), &RETRY_AFTER).map(ToOwned::to_owned);
        // The status says enough where the rest of the answer is lost.
        let body = read(response).await.unwrap_or_default();
        Err(Failure::Refused(Refusal::read(status, retry_after.as_deref(), &body)))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| Failure::Broken(crate::http_client::cause(error)))? {
        if body.len() + piece.len() > LONGEST_ANSWER {
            return Err(Failure::Unexpected(format!("answered more than {} MiB", LONGEST_ANSWER >> 20)));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// An open stream of events. It is read on only when somebody wants the next event, so that the server waits for a slow reader.
#[derive(Debug)]
pub(in crate::backend) struct EventStream {
    response: Response,
    decoder: Decoder,
    /// What has come and was not taken yet; no more than one piece of the connection holds.
    frames: VecDeque<Frame>,
    clock: Clock,
}

impl EventStream {
    /// The next event; `None` when the stream has ended, broken, or is silent for too long while it is listened to: for as long as nobody
    /// wants its events, the server may be waiting for us. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            let chunk = self.clock.timeout(SILENCE, self.response.chunk()).await;
            let Ok(Ok(Some(bytes))) = chunk else { return None };
            self.decoder.push(&bytes, &mut self.frames);
        }
    }
}

#[cfg(test)]
mod tests;
