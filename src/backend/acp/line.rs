//! One line of an agent: what it is, and how it is made one that the protocol crate can read.
//!
//! The crate passes over a line that it can't read, and whoever waits for that line waits for ever. So what enters is what the crate reads
//! for certain.

use serde_json::{Value, json};

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Update,
    Request,
    Response,
    /// The agent takes a request back.
    Withdrawal,
    /// A notification that nobody reads, a JSON array, or no message at all.
    Other,
}

/// What a line is, and the line in a form that the crate can read.
pub(super) fn read(line: Vec<u8>) -> (Sort, String) {
    let line = String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    let (line, message) = if let Some(message) = parse(&line) {
        (line, message)
    } else {
        let whole = without_halves(&line);
        let message = parse(&whole).unwrap_or_default();
        (whole, message)
    };
    let sort = sort(&message);
    if sort != Sort::Response || is_clear(&message) {
        return (sort, line);
    }
    let tidied = without_null(message);
    let line = if is_clear(&tidied) { tidied.to_string() } else { unclear(&tidied) };
    (sort, line)
}

/// A response without the half that says nothing: some write both, one of them `null`.
fn without_null(mut response: Value) -> Value {
    if let Some(fields) = response.as_object_mut() {
        let says = |key: &str| fields.get(key).is_some_and(|value| !value.is_null());
        match (says("result"), says("error")) {
            (_, false) if fields.contains_key("result") => drop(fields.remove("error")),
            (false, true) => drop(fields.remove("result")),
            _ => {}
        }
    }
    response
}

/// About how many values a line holds: each has a mark of its own before it, outside of texts.
pub(super) fn values(line: &[u8]) -> usize {
    let (mut values, mut is_text, mut is_escaped) = (0, false, false);
    for byte in line {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b',' | b'[' | b'{' if !is_text => values += 1,
            _ => {}
        }
    }
    values
}

/// What a line is that we write ourselves.
pub(super) fn is_response(line: &str) -> bool {
    parse(line).is_some_and(|message| sort(&message) == Sort::Response)
}

fn parse(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

fn sort(message: &Value) -> Sort {
    let is_of_2_0 = message.get("jsonrpc").is_some_and(|version| version == "2.0");
    let is_structured = message.get("params").is_none_or(|it| it.is_object() || it.is_array() || it.is_null());
    let is_id = |id: &Value| id.is_i64() || id.is_string() || id.is_null();
    let has_outcome = message.get("result").or_else(|| message.get("error")).is_some();
    match (message.get("method"), message.get("id")) {
        _ if !is_of_2_0 => Sort::Other,
        (None, Some(id)) if is_id(id) => Sort::Response,
        (Some(Value::String(method)), id) if is_structured && !has_outcome => match (method.as_str(), id) {
            ("session/update", None) => Sort::Update,
            ("$/cancel_request", None) => Sort::Withdrawal,
            (_, Some(id)) if is_id(id) => Sort::Request,
            _ => Sort::Other,
        },
        _ => Sort::Other,
    }
}

/// Whether a response says what came of the request: a result, or an error of the known shape.
fn is_clear(response: &Value) -> bool {
    match (response.get("result"), response.get("error")) {
        (Some(_), None) => true,
        (None, Some(error)) => {
            let code = error.get("code").and_then(Value::as_i64);
            code.is_some_and(|code| i32::try_from(code).is_ok()) && error.get("message").is_some_and(Value::is_string)
        }
        _ => false,
    }
}

/// A response that is not clear, as the error that it is.
fn unclear(response: &Value) -> String {
    let said = response.get("error").filter(|error| !error.is_null());
    let said = said.map(|error| format!(": {error}")).unwrap_or_default();
    let message = format!("its answer has neither a result nor an error of the known shape, or has both{said}");
    json!({"jsonrpc": "2.0", "id": response.get("id"), "error": {"code": -32_603, "message": message}}).to_string()
}

/// The line with a replacement for each half of a character. JavaScript cuts texts in the middle of a surrogate pair, and escapes the
/// half that is left.
fn without_halves(line: &str) -> String {
    let mut whole = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        whole.push_str(before);
        let (kept, length) = match (half(escape), escape.get(6..).and_then(half)) {
            (Some(Half::First), Some(Half::Second)) => (escape.get(..12), 12),
            (Some(_), _) => (Some(r"\ufffd"), 6),
            // The character behind is part of the escape, also when it is another backslash.
            (None, _) => (escape.get(..2), 2),
        };
        whole.push_str(kept.unwrap_or_default());
        rest = escape.get(length..).unwrap_or_default();
    }
    whole + rest
}

/// Half of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    First,
    Second,
}

/// The half with whose escape a text begins.
fn half(text: &str) -> Option<Half> {
    let digits = text.strip_prefix(r"\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Half::First),
        0xDC00..=0xDFFF => Some(Half::Second),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(line: &str) -> (Sort, String) {
        read(line.as_bytes().to_vec())
    }

    #[test]
    fn lines_are_told_apart() {
        let cases = [
            (r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s"}}"#, Sort::Update),
            (r#"{"jsonrpc":"2.0","id":null,"method":"x/y","params":{}}"#, Sort::Request),
            (r#"{"jsonrpc":"2.0","id":"a","method":"x/y"}"#, Sort::Request),
            (r#"{"jsonrpc":"2.0","id":7,"result":null}"#, Sort::Response),
            (r#"{"id":"a","error":{"code":1,"message":"m","more":2},"jsonrpc":"2.0"}"#, Sort::Response),
            (r#"{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":1}}"#, Sort::Withdrawal),
            (r#"{"jsonrpc":"2.0","method":"_auth/status_update","params":{}}"#, Sort::Other),
            (r#"{"jsonrpc":"2.0","method":"session/update","params":"no"}"#, Sort::Other),
            (r#"{"jsonrpc":"2.0","method":"session/update","result":{}}"#, Sort::Other),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"x/y"}"#, Sort::Other),
            (r#"{"jsonrpc":"2.0","method":"session/update","params":{"n":1e999}}"#, Sort::Other),
            (r#"{"method":"session/update","params":{}}"#, Sort::Other),
            (r#"["2.0","session/update"]"#, Sort::Other),
            (r#"{"jsonrpc":"2.0"}"#, Sort::Other),
            ("{}", Sort::Other),
            ("Listening …", Sort::Other),
            ("", Sort::Other),
        ];
        for (line, expected) in cases {
            let (sort, whole) = read_text(line);
            assert_eq!((sort, whole.as_str()), (expected, line));
        }
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let deep = format!(r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"x":{deep}}}}}"#);
        assert_eq!(read_text(&deep).0, Sort::Other, "the crate reads no deeper either");
    }

    #[test]
    fn values_are_counted_outside_of_texts() {
        for (line, expected) in [(r#"{"a":[1,2,{"b":"[,{"}]}"#, 5), (r#"["\",[", "\\", 1]"#, 3), ("", 0)] {
            assert_eq!(values(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn half_a_character_costs_no_more_than_itself() {
        let line =
            |text: &str| format!(r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"text":"{text}"}}}}"#);
        let cases = [
            (r"a\ud83d", r"a\ufffd"),
            (r"\ude00a", r"\ufffda"),
            (r"\uD83D\uD83D\uDE00\n", r"\ufffd\uD83D\uDE00\n"),
            (r"\\ud83d \ud83d", r"\\ud83d \ufffd"),
            (r"\ud83d\u0041", r"\ufffd\u0041"),
            (r"ü\ud83dü", r"ü\ufffdü"),
        ];
        for (text, expected) in cases {
            assert_eq!(read_text(&line(text)), (Sort::Update, line(expected)));
        }
        for text in [r"\ud83d\ude00", "ü\\u00fc", "\\\\"] {
            assert_eq!(without_halves(text), text);
        }
        for broken in ["\\", r"\ud8", r"\ud83", "\\ü", "x\\ud83d\\"] {
            assert_eq!(read_text(&line(broken)).0, Sort::Other, "{broken}");
        }
        let bytes = line("?").into_bytes().into_iter().map(|byte| if byte == b'?' { 0xff } else { byte });
        assert_eq!(read(bytes.collect()), (Sort::Update, line("\u{fffd}")), "nor does half a character of UTF-8");
    }

    #[test]
    fn a_half_of_an_answer_that_is_null_says_nothing() {
        for (outcome, expected) in [
            (r#""result":{"a":1},"error":null"#, json!({"jsonrpc": "2.0", "id": "a", "result": {"a": 1}})),
            (r#""result":null,"error":null"#, json!({"jsonrpc": "2.0", "id": "a", "result": null})),
            (
                r#""result":null,"error":{"code":1,"message":"m"}"#,
                json!({"jsonrpc": "2.0", "id": "a", "error": {"code": 1, "message": "m"}}),
            ),
        ] {
            let (sort, line) = read_text(&format!(r#"{{"jsonrpc":"2.0","id":"a",{outcome}}}"#));
            assert_eq!((sort, serde_json::from_str(&line).unwrap()), (Sort::Response, expected));
        }
    }

    #[test]
    fn an_answer_that_is_not_clear_is_an_error() {
        for (outcome, says) in [
            ("", "neither a result"),
            (r#","result":{},"error":{"code":1,"message":"m"}"#, "or has both"),
            (r#","error":null"#, "neither a result"),
            (r#","error":"boom""#, "boom"),
            (r#","error":{"code":"E1","message":"boom"}"#, "boom"),
            (r#","error":{"code":5000000000,"message":"boom"}"#, "boom"),
        ] {
            let (sort, line) = read_text(&format!(r#"{{"jsonrpc":"2.0","id":"a"{outcome}}}"#));
            let message: Value = serde_json::from_str(&line).unwrap();
            assert!(sort == Sort::Response && is_clear(&message) && message["id"] == "a", "{line}");
            assert!(message["error"]["message"].as_str().unwrap().contains(says), "{line}");
        }
    }
}
