//! The page: one document with its styles and its script in it, compiled into the binary.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// Where it is.
pub const PATH: &str = "/chat";

/// Stands in the document where a value is put that nobody can guess, other for each answer: only what carries it is run.
const NONCE: &str = "{nonce}";

/// The document, but for the nonce.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let document = include_str!("page/index.html");
    document.replace("{style}", include_str!("page/style.css")).replace("{script}", include_str!("page/app.js"))
});

/// `GET /chat`. It holds nothing of anybody's: what it shows it asks the API for.
pub(super) async fn show() -> Response {
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    (headers, DOCUMENT.replace(NONCE, &nonce)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for mark in ["http://", "https://", "src=", "@import", "style=\"", "onclick"] {
            assert!(!DOCUMENT.contains(mark), "{mark}");
        }
        assert_eq!(DOCUMENT.matches(NONCE).count(), 2, "one style sheet and one script");
    }
}
