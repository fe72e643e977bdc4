//! What the server sends: mentions as Slack delivers them, each with its number in every place that must be unique.

/// A mention of the bot with `text`, which needs no escape, in the given thread of one channel.
pub(crate) fn mention(number: usize, thread: usize, text: &str) -> String {
    let (ts, root) = (time_stamp(1_700_000_000, number), root(thread));
    format!(
        r#"{{"envelope_id":"{number}","type":"events_api","accepts_response_payload":false,"retry_attempt":0,"retry_reason":"","payload":{{"token":"vFWebTkZNz9bPjzqpGhkGHmJ","team_id":"T0BENCH","context_team_id":"T0BENCH","context_enterprise_id":null,"api_app_id":"A0BENCH","event":{{"user":"U0ALICE","type":"app_mention","ts":"{ts}","client_msg_id":"5a1f8a52-8bd1-4d80-9f0c-{number:012}","text":"<@U0BOT> {text}","team":"T0BENCH","blocks":[{{"type":"rich_text","block_id":"kXb6W","elements":[{{"type":"rich_text_section","elements":[{{"type":"user","user_id":"U0BOT"}},{{"type":"text","text":" {text}"}}]}}]}}],"thread_ts":"{root}","parent_user_id":"U0ALICE","channel":"C0BENCH","event_ts":"{ts}"}},"type":"event_callback","event_id":"Ev{number:010}","event_time":1700000000,"authorizations":[{{"enterprise_id":null,"team_id":"T0BENCH","user_id":"U0BOT","is_bot":true,"is_enterprise_install":false}}],"is_ext_shared_channel":false,"event_context":"4-eyJldCI6ImFwcF9tZW50aW9uIiwidGlkIjoiVDBCRU5DSCJ9"}}}}"#
    )
}

/// The time stamp of a thread's first message.
pub(crate) fn root(thread: usize) -> String {
    time_stamp(1_600_000_000, thread)
}

fn time_stamp(from: usize, number: usize) -> String {
    format!("{}.{:06}", from + number / 1_000_000, number % 1_000_000)
}
