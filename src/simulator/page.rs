//! The page: files compiled into the binary.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::core::Core;

/// Scripts and styles come from here, requests go here, and no other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Every file of the page: its name under `/assets/`, its type, its content. `index.html` is also `/`.
const ASSETS: &[(&str, &str, &[u8])] = &[("index.html", "text/html; charset=utf-8", include_bytes!("page/index.html"))];

/// `/` and `/assets/…`.
pub(super) fn routes() -> Router<Arc<Core>> {
    Router::new()
        .route("/", get(async || asset("index.html")))
        .route("/assets/{file}", get(async |Path(file): Path<String>| asset(&file)))
}

fn asset(name: &str) -> Response {
    let Some((_, kind, content)) = ASSETS.iter().find(|(known, ..)| *known == name) else {
        return (StatusCode::NOT_FOUND, "there is no such file").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, *content).into_response()
}
