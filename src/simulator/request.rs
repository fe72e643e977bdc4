//! Arguments of a Web API call, from wherever a client puts them.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, header};
use serde_json::{Map, Value};

use super::ids::Ts;

/// Fields that forms carry as JSON text.
const JSON_FIELDS: [&str; 9] =
    ["blocks", "attachments", "metadata", "view", "chunks", "files", "prompts", "loading_messages", "errors"];

/// The merged arguments of a call: query, then body.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Args(pub(super) Map<String, Value>);

/// A body that can't be read, with Slack's name for the reason.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) &'static str);

impl Args {
    /// Reads query and body. An empty body is fine whatever its content type says: two SDKs send that.
    pub(super) fn read(query: Option<&str>, headers: &HeaderMap, body: &Bytes) -> Result<Self, Unreadable> {
        let mut args = Map::new();
        add_form(&mut args, query.unwrap_or_default().as_bytes());
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if body.is_empty() {
            return Ok(Self(args));
        }
        if kind.starts_with("application/json") {
            match serde_json::from_slice(body) {
                Ok(Value::Object(fields)) => args.extend(fields),
                Ok(_) => return Err(Unreadable("json_not_object")),
                Err(_) => return Err(Unreadable("invalid_json")),
            }
        } else if kind.starts_with("multipart/") {
            return Err(Unreadable("invalid_form_data"));
        } else {
            add_form(&mut args, body);
        }
        Ok(Self(args))
    }

    /// A text argument; absent when it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A text argument that may be empty.
    pub(super) fn any_text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A flag: `true`, `"true"`, `1` and `"1"` are yes.
    pub(super) fn flag(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Bool(yes)) => *yes,
            Some(Value::Number(number)) => number.as_u64() == Some(1),
            Some(Value::String(text)) => text == "true" || text == "1",
            _ => false,
        }
    }

    /// A number, also when it is written as text.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        match self.0.get(name)? {
            Value::Number(number) => usize::try_from(number.as_u64()?).ok(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// An array or object.
    pub(super) fn json(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| value.is_array() || value.is_object())
    }

    /// A `ts`; an error when there is one and it can't be read.
    pub(super) fn ts(&self, name: &str) -> Result<Option<Ts>, &'static str> {
        self.text(name).map(|text| text.parse().map_err(|_| "invalid_ts")).transpose()
    }

    /// A list, comma separated or as an array of texts.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        match self.0.get(name) {
            Some(Value::String(text)) => {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
            }
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }
}

/// The bearer token: from the header, or from the field that some clients send instead.
pub(super) fn token<'a>(headers: &'a HeaderMap, args: &'a Args) -> Option<&'a str> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    header.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim).or_else(|| args.text("token"))
}

/// The content of an upload: the body, or the first part of a form with several, which some SDKs send.
pub(super) fn first_part(headers: &HeaderMap, body: Bytes) -> Option<Bytes> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(parameters) = kind.strip_prefix("multipart/") else { return Some(body) };
    let boundary = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    let end = format!("\r\n--{}", boundary.trim_matches('"'));
    let start = find(&body, b"\r\n\r\n")? + 4;
    let length = find(&body[start..], end.as_bytes())?;
    Some(body.slice(start..start + length))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn add_form(args: &mut Map<String, Value>, form: &[u8]) {
    for (name, text) in url::form_urlencoded::parse(form) {
        let value = form_value(&name, &text);
        args.insert(name.into_owned(), value);
    }
}

fn form_value(name: &str, text: &str) -> Value {
    let looks_like_json = text.starts_with(['[', '{']) && JSON_FIELDS.contains(&name);
    let parsed = if looks_like_json { serde_json::from_str(text).ok() } else { None };
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Where a request comes from matters to what a browser could be made to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// The page and the control API: only under a loopback name.
    Control,
    /// What SDKs call; they name the host as they like.
    Slack,
}

/// Whether a request may come in: no page of another origin changes anything here, and no foreign name that was made to
/// resolve to loopback reads the control API.
pub(super) fn admitted(door: Door, method: &Method, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if door == Door::Control && !is_loopback_name(host) {
        return false;
    }
    let reads = method == Method::GET || method == Method::HEAD;
    let origin = text(header::ORIGIN);
    reads
        || origin.is_none_or(|origin| origin.strip_prefix("http://").is_some_and(|own| own.eq_ignore_ascii_case(host)))
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn read(query: Option<&str>, kind: &'static str, body: &'static str) -> Result<Value, Unreadable> {
        let headers = headers(&[(header::CONTENT_TYPE, kind)]);
        Args::read(query, &headers, &Bytes::from_static(body.as_bytes())).map(|args| Value::Object(args.0))
    }

    #[test]
    fn arguments_come_from_query_form_and_json() {
        let form = "application/x-www-form-urlencoded";
        let json_type = "application/json;charset=utf-8";
        let cases = [
            (Some("a=1&b=x%20y"), "", "", json!({"a": "1", "b": "x y"})),
            (None, json_type, "", json!({})),
            (Some("a=1"), json_type, r#"{"a":2,"c":[1]}"#, json!({"a": 2, "c": [1]})),
            (
                None,
                form,
                "text=%5Bno%5D&blocks=%5B%7B%22type%22%3A%22divider%22%7D%5D",
                json!({
                    "text": "[no]", "blocks": [{"type": "divider"}]
                }),
            ),
            (None, form, "loading_messages=a,b", json!({"loading_messages": "a,b"})),
        ];
        for (query, kind, body, expected) in cases {
            assert_eq!(read(query, kind, body), Ok(expected), "{query:?} {body}");
        }
        assert_eq!(read(None, json_type, "{"), Err(Unreadable("invalid_json")));
        assert_eq!(read(None, json_type, "[]"), Err(Unreadable("json_not_object")));
    }

    #[test]
    fn an_upload_is_its_body_or_the_first_part_of_a_form() {
        let form = "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\none\r\ntwo\r\n--b--\r\n";
        let cases = [
            ("application/octet-stream", "raw", Some("raw")),
            ("", "", Some("")),
            ("multipart/form-data; boundary=b", form, Some("one\r\ntwo")),
            ("multipart/form-data; boundary=\"b\"", form, Some("one\r\ntwo")),
            ("multipart/form-data; boundary=other", form, None),
            ("multipart/form-data", form, None),
        ];
        for (kind, body, expected) in cases {
            let headers = headers(&[(header::CONTENT_TYPE, kind)]);
            let part = first_part(&headers, Bytes::from_static(body.as_bytes()));
            assert_eq!(part.as_deref(), expected.map(str::as_bytes), "{kind}");
        }
    }

    #[test]
    fn flags_numbers_and_lists_are_read_as_sdks_write_them() {
        let args = json!({"a": "1", "b": true, "c": "false", "d": "7", "e": 8, "f": "x, y", "g": ["z"]});
        let args = Args(args.as_object().cloned().unwrap());
        assert_eq!(["a", "b", "c", "d"].map(|name| args.flag(name)), [true, true, false, false]);
        assert_eq!((args.number("d"), args.number("e"), args.number("f")), (Some(7), Some(8), None));
        assert_eq!((args.list("f"), args.list("g")), (vec!["x".to_owned(), "y".to_owned()], vec!["z".to_owned()]));
    }

    #[test]
    fn the_token_is_in_the_header_or_in_the_form() {
        let with_field = Args(json!({"token": "xoxb-form"}).as_object().cloned().unwrap());
        assert_eq!(token(&headers(&[(header::AUTHORIZATION, "Bearer xoxb-header")]), &with_field), Some("xoxb-header"));
        assert_eq!(token(&HeaderMap::new(), &with_field), Some("xoxb-form"));
        assert_eq!(token(&HeaderMap::new(), &Args::default()), None);
    }

    #[test]
    fn foreign_pages_are_kept_out() {
        let (control, slack) = (Door::Control, Door::Slack);
        let cases = [
            (control, Method::GET, "127.0.0.1:80", None, true),
            (control, Method::GET, "localhost:80", None, true),
            (control, Method::GET, "[::1]:80", None, true),
            (control, Method::GET, "evil.example:80", None, false),
            (control, Method::GET, "127.0.0.1.evil.example", None, false),
            (control, Method::GET, "", None, false),
            (control, Method::POST, "127.0.0.1:80", None, true),
            (control, Method::POST, "127.0.0.1:80", Some("http://127.0.0.1:80"), true),
            (control, Method::POST, "127.0.0.1:80", Some("http://127.0.0.1:81"), false),
            (control, Method::DELETE, "127.0.0.1:80", Some("https://evil.example"), false),
            (control, Method::POST, "127.0.0.1:80", Some("null"), false),
            (slack, Method::POST, "slack.test", None, true),
            (slack, Method::POST, "127.0.0.1", Some("https://evil.example"), false),
        ];
        for (door, method, host, origin, expected) in cases {
            let mut pairs = vec![(header::HOST, host)];
            pairs.extend(origin.map(|origin| (header::ORIGIN, origin)));
            assert_eq!(admitted(door, &method, &headers(&pairs)), expected, "{door:?} {method} {host} {origin:?}");
        }
    }
}
