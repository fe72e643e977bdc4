//! Who is let in: whoever carries the operator's token, as a bearer or in a cookie, and comes from our own page or from none.
//!
//! The cookie holds a value that is derived from the token: the same after each restart, so that a person is asked once, and no bearer
//! anywhere. Scripts can't read it, other sites can't make a browser send it, and it is sent to the API's paths alone. Browsers count
//! every port of a host as the same site: another service there that is visited under the same path gets the cookie, and with it may
//! use the chat, but not the operator's other requests; and each request's origin is looked at. A new token logs everybody out.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Chat;
use super::refusal::Refusal;
use crate::secret::{ExposeSecret, SecretString, is_same};

/// The cookie's name.
const NAME: &str = "hitchline_chat";
/// What the token signs for the cookie. Another sentence would log everybody out.
const PURPOSE: &[u8] = b"hitchline: cookie of the web chat, 1";
/// How long a browser keeps it, in seconds: a year.
const KEPT_S: u32 = 365 * 24 * 60 * 60;

/// Refuses everything where no token is configured, and whatever a page of another origin has sent. Nothing that is answered is kept
/// by a cache.
pub(super) async fn admit(State(chat): State<Chat>, request: Request, next: Next) -> Response {
    let mut response = if chat.0.parts.token.is_none() {
        let wanted = "the web chat is off until http.token_file names a file with a token of your choice";
        Refusal::new(StatusCode::UNAUTHORIZED, wanted).into_response()
    } else if is_foreign(request.headers()) {
        Refusal::new(StatusCode::FORBIDDEN, "requests of pages from elsewhere are refused").into_response()
    } else {
        next.run(request).await
    };
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Asks for the token.
pub(super) async fn identify(State(chat): State<Chat>, request: Request, next: Next) -> Response {
    if carried(request.headers()).is_some_and(|pass| chat.admits(&pass)) {
        return next.run(request).await;
    }
    Refusal::new(StatusCode::UNAUTHORIZED, "log in, or send the token of http.token_file as `Authorization: Bearer …`")
        .into_response()
}

/// What a request shows.
#[derive(Debug, PartialEq, Eq)]
enum Pass<'a> {
    Bearer(&'a str),
    Cookie(&'a str),
}

impl Chat {
    fn admits(&self, pass: &Pass) -> bool {
        match pass {
            Pass::Bearer(sent) => self.knows(sent),
            Pass::Cookie(sent) => self.0.parts.token.as_ref().is_some_and(|token| is_same(&derived(token), sent)),
        }
    }

    /// Whether this is the operator's token.
    pub(super) fn knows(&self, sent: &str) -> bool {
        self.0.parts.token.as_ref().is_some_and(|token| is_same(token, sent))
    }

    /// The cookie for a browser whose person has shown the token; `headers` are those of that request.
    pub(super) fn cookie(&self, headers: &HeaderMap) -> Option<String> {
        self.0.parts.token.as_ref().map(|token| cookie(token, headers))
    }
}

/// The cookie's value.
#[expect(clippy::expect_used, reason = "HMAC has no keys that it does not take")]
fn derived(token: &SecretString) -> SecretString {
    let key = token.expose_secret().as_bytes();
    let mut signature = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    signature.update(PURPOSE);
    format!("{:x}", Bytes::copy_from_slice(&signature.finalize().into_bytes())).into()
}

fn cookie(token: &SecretString, headers: &HeaderMap) -> String {
    with_attributes(&format!("{}; Max-Age={KEPT_S}", derived(token).expose_secret()), headers)
}

/// Takes the cookie away.
pub(super) fn no_cookie(headers: &HeaderMap) -> String {
    with_attributes("; Max-Age=0", headers)
}

fn with_attributes(value: &str, headers: &HeaderMap) -> String {
    // A browser that reaches us through a proxy's https names it as its origin.
    let secure =
        if text(headers, &ORIGIN).is_some_and(|origin| origin.starts_with("https:")) { "; Secure" } else { "" };
    format!("{NAME}={value}; Path=/api/chat; HttpOnly; SameSite=Strict{secure}")
}

fn carried(headers: &HeaderMap) -> Option<Pass<'_>> {
    if let Some(bearer) = text(headers, &AUTHORIZATION) {
        return bearer.strip_prefix("Bearer ").map(Pass::Bearer);
    }
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == NAME).map(|(_, value)| Pass::Cookie(value))
}

/// Whether a request was made by a page that is not ours: browsers say from where, other clients say nothing.
fn is_foreign(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    authority.is_none() || authority != text(headers, &HOST)
}

fn text<'a>(headers: &'a HeaderMap, name: &axum::http::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (axum::http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn pages_from_elsewhere_are_foreign_and_programs_are_not() {
        let at = |origin: &str| headers(&[("host", "127.0.0.1:4680"), ("origin", origin)]);
        assert!(!is_foreign(&headers(&[("host", "127.0.0.1:4680")])));
        for ours in ["http://127.0.0.1:4680", "https://127.0.0.1:4680"] {
            assert!(!is_foreign(&at(ours)), "{ours}");
        }
        for other in ["http://127.0.0.1:8080", "http://localhost:4680", "https://evil.example", "null", ""] {
            assert!(is_foreign(&at(other)), "{other}");
        }
    }

    // holds: W-5
    #[test]
    fn the_cookie_is_derived_from_the_token_and_stays_with_us() {
        let token = SecretString::from("pä ss;=\"%");
        let plain = cookie(&token, &headers(&[("origin", "http://127.0.0.1:4680")]));
        let (pair, attributes) = plain.split_once("; ").unwrap();
        assert_eq!(attributes, "Max-Age=31536000; Path=/api/chat; HttpOnly; SameSite=Strict");
        let back = headers(&[("cookie", &format!("theme=dark; {pair}; other=1"))]);
        assert_eq!(carried(&back), Some(Pass::Cookie(derived(&token).expose_secret())));
        let https = headers(&[("origin", "https://chat.example")]);
        assert!(cookie(&token, &https).ends_with("; Secure"));
        assert!(no_cookie(&https).starts_with("hitchline_chat=; Max-Age=0; Path=/api/chat;"));
    }

    #[test]
    fn the_derived_value_is_an_hmac_of_the_token() {
        // python3: hmac.new(b"operators-only", b"hitchline: cookie of the web chat, 1", "sha256").hexdigest()
        let expected = "0d6255b4caba6bfb1b4e8484cabe81c014d9981298f291769f10ce280782b1fc";
        assert_eq!(derived(&"operators-only".into()).expose_secret(), expected);
        assert_ne!(derived(&"operators-onlY".into()).expose_secret(), expected);
    }

    #[test]
    fn a_bearer_counts_before_a_cookie() {
        let both = headers(&[("authorization", "Bearer one"), ("cookie", "hitchline_chat=two")]);
        assert_eq!(carried(&both), Some(Pass::Bearer("one")));
        assert_eq!(carried(&headers(&[("authorization", "Basic x"), ("cookie", "hitchline_chat=two")])), None);
        assert_eq!(carried(&headers(&[("cookie", "other=two")])), None);
    }
}
