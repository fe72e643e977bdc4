//! The Web API: one way to call it, for all methods.

use std::fmt;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::config::Config;
use super::error::{ApiError, ApiErrorKind};
use super::events::Identity;
use super::pacer::Pacer;
use super::time::SlackTime;
use crate::clock::Clock;
use crate::domain::ids::{BotId, TeamId, UserId};
use crate::http_client::{HttpClient, cause};
use crate::secret::{ExposeSecret, SecretString};

/// How long a call may take, its waiting for the pacer not counted.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The Web API as one bot.
pub struct Api {
    http: HttpClient,
    base: Url,
    token: SecretString,
    pacer: Pacer,
    /// Time.
    pub(super) clock: Clock,
    time: SlackTime,
    /// From its cancellation on no call begins.
    stop: CancellationToken,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// Who we are, as `auth.test` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthTest {
    /// Our workspace.
    pub team: TeamId,
    /// Its name, for the log; empty when the answer has none.
    pub team_name: String,
    /// Our bot's user.
    pub user: UserId,
    /// Our bot.
    pub bot: Option<BotId>,
}

impl AuthTest {
    /// What the socket needs of it to tell our own messages and mentions.
    pub fn identity(&self) -> Identity {
        Identity { team: self.team.clone(), user: self.user.clone(), bot: self.bot.clone() }
    }
}

/// How a method wants its arguments. All of Slack's take a form; only writes take JSON too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// For reads.
    Form,
    /// For writes: blocks and metadata are JSON anyway.
    Json,
}

/// What a call does when calls before it have used up its method's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// It waits for its moment.
    Wait,
    /// It fails with [`ApiErrorKind::Rate`]: whoever makes it has something newer to say by then.
    Now,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: &'static str,
    pub(super) encoding: Encoding,
    /// The place by which it is paced.
    pub(super) place: &'a str,
    pub(super) urgency: Urgency,
    pub(super) args: Value,
}

impl Api {
    /// The API at `base`, such as `https://slack.com/api/`; everything is paced as `config` says, and nothing begins after `stop`.
    pub fn new(
        http: HttpClient,
        config: &Config,
        base: Url,
        token: SecretString,
        clock: Clock,
        stop: CancellationToken,
    ) -> Self {
        let time = SlackTime::new(clock.clone());
        Self { http, base, token, pacer: Pacer::new(config.pacing, clock.clone()), clock, time, stop }
    }

    /// Slack's own time, in microseconds since the Unix epoch: up to a second too early, never too late.
    pub(super) fn now_us(&self) -> i64 {
        self.time.now_us()
    }

    /// Asks who we are.
    ///
    /// # Errors
    /// [`ApiErrorKind::Auth`] when the token is not valid; transient when Slack can't be reached.
    pub async fn auth_test(&self) -> Result<AuthTest, ApiError> {
        let call = Call {
            method: "auth.test",
            encoding: Encoding::Form,
            place: "",
            urgency: Urgency::Wait,
            args: Value::Null,
        };
        let answer = self.call(call).await?;
        let id = |name: &str| answer[name].as_str().filter(|id| !id.is_empty());
        match (id("team_id"), id("user_id")) {
            (Some(team), Some(user)) => Ok(AuthTest {
                team: team.into(),
                team_name: id("team").unwrap_or_default().to_owned(),
                user: user.into(),
                bot: id("bot_id").map(BotId::from),
            }),
            _ => Err(ApiError::lost("auth.test", false, "the answer names no team or user")),
        }
    }

    /// Makes one call when its turn has come.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Value, ApiError> {
        let Call { method, encoding, place, urgency, args } = call;
        let turn = self.stop.run_until_cancelled(self.turn(urgency, method, place)).await;
        turn.unwrap_or_else(|| Err(ApiError::lost(method, false, "not sent, because Hitchline is stopping")))?;
        let request =
            self.http.post(method_url(&self.base, method)).bearer_auth(self.token.expose_secret()).timeout(TIMEOUT);
        let result = send(method, with_args(request, encoding, &args), Some(&self.time)).await;
        metrics::counter!("hitchline_slack_api_requests_total", "method" => method, "outcome" => outcome(&result))
            .increment(1);
        if let Err(ApiError { kind: ApiErrorKind::Rate(wait), .. }) = &result {
            self.pacer.hold(method, place, *wait);
        }
        result
    }

    /// The address `url`, if files may come from there and go there. Whoever writes a message can influence what stands in it.
    pub(super) fn file_url(&self, url: &str) -> Option<Url> {
        Url::parse(url).ok().filter(|url| is_slacks(&self.base, url, "files."))
    }

    /// Asks for a file; of redirects nothing is followed. `url` is one of [`Api::file_url`]: the token goes there.
    pub(super) async fn download(&self, url: Url, within: Duration) -> Result<Response, String> {
        let request = self.http.request(Method::GET, url).bearer_auth(self.token.expose_secret()).timeout(within);
        request.send().await.map_err(cause)
    }

    /// Sends a file's content to an address that Slack gave for it. It is its own credential, so the token stays here.
    pub(super) async fn send_content(&self, url: Url, content: Vec<u8>, within: Duration) -> Result<(), ApiError> {
        const METHOD: &str = "upload_url";
        let request =
            self.http.post(url).timeout(within).header(CONTENT_TYPE, "application/octet-stream").body(content);
        let sent = request.send().await.map_err(|error| unsent(METHOD, error))?;
        // What nobody has shown yet does nothing: it is sent anew.
        if sent.status().is_success() { Ok(()) } else { Err(ApiError::lost(METHOD, false, sent.status().to_string())) }
    }

    async fn turn(&self, urgency: Urgency, method: &'static str, place: &str) -> Result<(), ApiError> {
        match urgency {
            Urgency::Wait => {
                self.pacer.acquire(method, place).await;
                Ok(())
            }
            Urgency::Now => self.pacer.acquire_now(method, place).map_err(|wait| ApiError::paced(method, wait)),
        }
    }

    /// Posts to an address that Slack gave for one answer. It is its own credential, so the token stays here.
    pub(super) async fn respond(&self, address: &str, body: &Value) -> Result<(), ApiError> {
        const METHOD: &str = "response_url";
        let url = Url::parse(address).ok().filter(|url| may_respond(&self.base, url));
        let url = url.ok_or_else(|| ApiError::from_code(METHOD, "expired_url", None))?;
        let sent =
            self.http.post(url).timeout(TIMEOUT).json(body).send().await.map_err(|error| unsent(METHOD, error))?;
        match sent.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(ApiError::from_code(METHOD, "expired_url", None)),
            status => Err(ApiError::lost(METHOD, true, status.to_string())),
        }
    }
}

/// Where Slack is.
const DOMAINS: [&str; 2] = ["slack.com", "slack-gov.com"];

/// Whether an answer may go to `url`.
fn may_respond(base: &Url, url: &Url) -> bool {
    is_slacks(base, url, "hooks.")
}

/// Whether `url` is where the API is, or the `host` of Slack's domain; of any of them, when the API is somebody's proxy.
fn is_slacks(base: &Url, url: &Url, host: &str) -> bool {
    let direct = |domain: &str| base.domain() == Some(domain);
    let behind_proxy = !DOMAINS.into_iter().any(direct);
    let is_host = |domain: &str| url.domain().and_then(|name| name.strip_prefix(host)) == Some(domain);
    let hosts = DOMAINS.into_iter().any(|domain| is_host(domain) && (behind_proxy || direct(domain)));
    url.origin() == base.origin() || url.scheme() == "https" && url.port().is_none() && hosts
}

/// Asks for the address of a new Socket Mode connection, which works once.
///
/// # Errors
/// [`ApiErrorKind::Auth`] when Slack does not take the app-level token.
pub(super) async fn open(http: &HttpClient, base: &Url, app_token: &SecretString) -> Result<Url, ApiError> {
    const METHOD: &str = "apps.connections.open";
    let request = http.post(method_url(base, METHOD)).bearer_auth(app_token.expose_secret()).timeout(TIMEOUT);
    let answer = send(METHOD, with_args(request, Encoding::Form, &Value::Null), None).await?;
    let address = answer["url"].as_str().and_then(|url| Url::parse(url).ok());
    address.ok_or_else(|| ApiError::lost(METHOD, false, "the answer names no address"))
}

/// The address of a method; it is all the same whether the base ends in a slash.
fn method_url(base: &Url, method: &str) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push(method);
    }
    url
}

fn with_args(request: RequestBuilder, encoding: Encoding, args: &Value) -> RequestBuilder {
    match (encoding, args) {
        (Encoding::Json, args) => {
            request.header("Content-Type", "application/json; charset=utf-8").body(args.to_string())
        }
        (Encoding::Form, Value::Object(fields)) => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            request.form(&fields.iter().map(|(name, value)| (name.clone(), text(value))).collect::<Vec<_>>())
        }
        (Encoding::Form, _) => request.form::<[(&str, &str); 0]>(&[]),
    }
}

/// Sends a request; its answer tells the `time`.
async fn send(method: &'static str, request: RequestBuilder, time: Option<&SlackTime>) -> Result<Value, ApiError> {
    let response = request.send().await.map_err(|error| unsent(method, error))?;
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
    if let (Some(time), Some(date)) = (time, date) {
        time.told(date);
    }
    let (status, retry_after) = (response.status(), retry_after(&response));
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(ApiError::from_code(method, "ratelimited", retry_after));
    }
    let body = response.bytes().await.map_err(|error| unsent(method, error))?;
    // Slack answers 200 even to what it refuses; anything else comes from something in between.
    let Ok(answer) = serde_json::from_slice::<Value>(&body) else {
        return Err(ApiError::lost(method, true, format!("{status} without JSON")));
    };
    match (answer["ok"].as_bool(), answer["error"].as_str()) {
        (Some(true), _) if status.is_success() => Ok(answer),
        (_, Some(code)) => Err(ApiError::from_code(method, code, retry_after)),
        _ => Err(ApiError::lost(method, true, status.to_string())),
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A request without an answer. Only one that was never connected has certainly done nothing.
fn unsent(method: &'static str, error: reqwest::Error) -> ApiError {
    if error.is_connect() {
        return ApiError::lost(method, false, format!("no connection: {}", cause(error)));
    }
    let late = error.is_timeout();
    let what = if late { "no answer in time".to_owned() } else { format!("the connection broke: {}", cause(error)) };
    ApiError::lost(method, true, what)
}

fn outcome(result: &Result<Value, ApiError>) -> &'static str {
    match result.as_ref().map_err(|error| error.kind) {
        Ok(_) => "ok",
        Err(ApiErrorKind::Rate(_)) => "rate",
        Err(ApiErrorKind::Auth) => "auth",
        Err(ApiErrorKind::Transient { .. }) => "transient",
        Err(_) => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_with_and_without_a_slash_is_the_same() {
        for base in ["https://slack.com/api/", "https://slack.com/api"] {
            let url = method_url(&base.parse().unwrap(), "auth.test");
            assert_eq!(url.as_str(), "https://slack.com/api/auth.test");
        }
    }

    #[test]
    fn an_answer_goes_to_the_api_s_own_domain_or_nowhere() {
        let cases = [
            ("https://slack.com/api/", "https://hooks.slack.com/commands/1", true),
            ("https://slack.com/api/", "https://slack.com/commands/1", true),
            ("https://slack-gov.com/api/", "https://hooks.slack-gov.com/actions/1", true),
            ("http://127.0.0.1:80/api/", "http://127.0.0.1:80/respond/1", true),
            ("https://slack-gov.com/api/", "https://hooks.slack.com/actions/1", false),
            ("https://slack.com/api/", "http://hooks.slack.com/commands/1", false),
            ("https://slack.com/api/", "https://hooks.slack.com:8443/commands/1", false),
            ("https://slack.com/api/", "https://hooks.slack.com.example/commands/1", false),
            ("https://slack.com/api/", "https://hooks.slack.com@example.com/commands/1", false),
            ("https://slack.com/api/", "https://evil-hooks.slack.com/commands/1", false),
            ("http://127.0.0.1:80/api/", "http://127.0.0.1:81/respond/1", false),
            ("https://proxy.example/slack/api/", "https://hooks.slack.com/commands/1", true),
            ("https://proxy.example/slack/api/", "https://hooks.example/commands/1", false),
            ("https://proxy.example/slack/api/", "https://hooks.proxy.example/commands/1", false),
        ];
        for (base, url, allowed) in cases {
            assert_eq!(may_respond(&base.parse().unwrap(), &url.parse().unwrap()), allowed, "{base} {url}");
        }
    }
}
