//! What a session's transcript says of a turn.

use serde_json::Value;

use super::text_of;

/// The texts with which the agent answered the last prompt that reads like `prompt`, in order; nothing where the transcript does not
/// have it. `before` messages stood there already; of a transcript that has fewer now, which was shortened, all counts.
pub(super) fn answers(transcript: &Value, prompt: &str, before: usize) -> Option<Vec<String>> {
    let messages = transcript.as_array()?;
    let messages = messages.get(before..).unwrap_or(messages);
    let is_prompt = |message: &Value| is_of(message, "user") && texts(message).concat() == prompt;
    let asked = messages.iter().rposition(is_prompt)?;
    let answer = messages[asked..].iter().filter(|message| is_of(message, "assistant"));
    Some(answer.flat_map(texts).filter(|text| !text.is_empty()).collect())
}

fn is_of(message: &Value, role: &str) -> bool {
    text_of(message, "role") == Some(role)
}

/// The texts of a message, which stand there as one or as a list of blocks.
fn texts(message: &Value) -> Vec<String> {
    match message.get("content") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(blocks)) => {
            let texts = blocks.iter().filter(|block| text_of(block, "type") == Some("text"));
            texts.filter_map(|block| text_of(block, "text")).map(ToOwned::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_answer_to_the_last_such_prompt_is_taken() {
        let transcript = json!([
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "old"},
            {"role": "user", "content": [{"type": "text", "text": "hello"}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Let me see."}, {"type": "tool_call", "id": "t"},
            ]},
            {"role": "tool", "content": "a file"},
            {"role": "assistant", "content": null},
            {"role": "assistant", "content": "Done."},
        ]);
        for before in [0, 2, 100] {
            assert_eq!(answers(&transcript, "hello", before).unwrap(), ["Let me see.", "Done."], "{before}");
        }
        assert_eq!(answers(&transcript, "hello", 7), None, "that was an earlier prompt");
        assert_eq!(answers(&transcript, "other", 0), None);
        assert_eq!(answers(&Value::Null, "hello", 0), None);
    }
}
