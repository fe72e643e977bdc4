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

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

macro_rules! asset {
    ($name:literal, $kind:expr) => {
        ($name, $kind, include_bytes!(concat!("page/", $name)))
    };
}

/// Every file of the page: its name under `/assets/`, its type, its content. `index.html` is also `/`.
const ASSETS: &[(&str, &str, &[u8])] = &[
    asset!("announce.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("app.js", SCRIPT),
    asset!("blocks.js", SCRIPT),
    asset!("composer.js", SCRIPT),
    asset!("dialog.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("emoji.js", SCRIPT),
    asset!("end_keeper.js", SCRIPT),
    asset!("icon.svg", IMAGE),
    asset!("index.html", HTML),
    asset!("live.js", SCRIPT),
    asset!("markdown.js", SCRIPT),
    asset!("message.js", SCRIPT),
    asset!("mrkdwn.js", SCRIPT),
    asset!("notices.js", SCRIPT),
    asset!("panes.js", SCRIPT),
    asset!("rich_text.js", SCRIPT),
    asset!("rows.js", SCRIPT),
    asset!("sidebar.js", SCRIPT),
    asset!("state.js", SCRIPT),
    asset!("style.css", CSS),
    asset!("time.js", SCRIPT),
    asset!("tree.js", SCRIPT),
];

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_page_is_compiled_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/simulator/page");
        let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let known = ASSETS.iter().map(|(name, ..)| (*name).to_owned());
        assert_eq!(known.collect::<BTreeSet<_>>(), names.collect::<BTreeSet<_>>());
    }
}
