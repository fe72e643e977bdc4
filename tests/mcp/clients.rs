//! Clients of each age: those that have no sessions, those that may have some, and what becomes of these.

use std::time::Duration;

use serde_json::{Value, json};

use crate::house::{Answer, House, initialize, initialized, list, names, token, with, with_meta};

const IDLE: Duration = Duration::from_mins(1);
const OLDER: [&str; 2] = ["2025-06-18", "2025-11-25"];

/// Begins a session as older clients do; its id.
async fn begin(house: &House, token: &str, version: &str) -> String {
    let begun = house.post(token, &[], &initialize(version)).await;
    assert_eq!((begun.status, &begun.message()["result"]["protocolVersion"]), (200, &json!(version)), "{begun:?}");
    let id = begun.session().expect("an id").to_owned();
    let noted = in_session(house, token, &id, version, &initialized()).await;
    assert_eq!(noted.status, 202, "{noted:?}");
    id
}

/// What a client sends that only listens.
fn listening(token: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let bearer = [("Authorization".to_owned(), format!("Bearer {token}"))];
    bearer.into_iter().chain(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
}

async fn in_session(house: &House, token: &str, id: &str, version: &str, message: &Value) -> Answer {
    house.post(token, &[("Mcp-Session-Id", id), ("MCP-Protocol-Version", version)], message).await
}

#[tokio::test]
async fn older_clients_need_no_session_by_default() {
    let house = House::open(false, IDLE).await;
    let grant = house.grant();
    for version in OLDER {
        let begun = house.post(token(&grant), &[], &initialize(version)).await;
        assert_eq!((begun.status, begun.session()), (200, None), "{begun:?}");
        assert_eq!(begun.headers["content-type"], "application/json");
        assert_eq!(begun.message()["result"]["protocolVersion"], version);
        let more = [("MCP-Protocol-Version", version)];
        assert_eq!(house.post(token(&grant), &more, &initialized()).await.status, 202);
        assert_eq!(names(&house.post(token(&grant), &more, &list()).await).len(), 6);
        for method in ["GET", "DELETE"] {
            assert_eq!(house.request(method, "/mcp", &with(token(&grant), &more), "").await.status, 405, "{method}");
        }
    }
}

#[tokio::test]
async fn the_newest_clients_have_no_sessions_whatever_is_configured() {
    for sessions in [false, true] {
        let house = House::open(sessions, IDLE).await;
        let grant = house.grant();
        let more = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/list")];
        let listed = house.post(token(&grant), &more, &with_meta("tools/list", &json!({}))).await;
        assert_eq!((listed.status, listed.session()), (200, None), "{listed:?}");
        assert_eq!(names(&listed).len(), 6);
        let more = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "server/discover")];
        let known = house.post(token(&grant), &more, &with_meta("server/discover", &json!({}))).await;
        assert_eq!(known.status, 200, "{known:?}");
    }
}

#[tokio::test]
async fn a_session_works_until_it_is_ended_and_is_then_unknown() {
    let house = House::open(true, IDLE).await;
    let grant = house.grant();
    for version in OLDER {
        let id = begin(&house, token(&grant), version).await;
        let listed = in_session(&house, token(&grant), &id, version, &list()).await;
        assert_eq!(names(&listed).len(), 6);
        let headers = with(token(&grant), &[("Mcp-Session-Id", &id), ("MCP-Protocol-Version", version)]);
        let ended = house.request("DELETE", "/mcp", &headers, "").await;
        assert!((200..300).contains(&ended.status), "{ended:?}");
        let unknown = in_session(&house, token(&grant), &id, version, &list()).await;
        assert_eq!(unknown.status, 404, "so that the client begins anew: {unknown:?}");
        let listens = [("Mcp-Session-Id", id.as_str()), ("Accept", "text/event-stream")];
        let gone = house.request("GET", "/mcp", &listening(token(&grant), &listens), "").await;
        assert_eq!(gone.status, 404);
        begin(&house, token(&grant), version).await;
    }
    let without = house.post(token(&grant), &[("MCP-Protocol-Version", OLDER[0])], &list()).await;
    assert!((400..500).contains(&without.status), "an older client must begin a session: {without:?}");
}

#[tokio::test]
async fn a_session_is_of_no_use_with_another_token() {
    let house = House::open(true, IDLE).await;
    let (own, foreign) = (house.grant(), house.grant());
    let id = begin(&house, token(&own), OLDER[1]).await;
    for message in [list(), initialized()] {
        let refused = in_session(&house, token(&foreign), &id, OLDER[1], &message).await;
        assert_eq!(refused.status, 404, "{refused:?}");
    }
    for method in ["GET", "DELETE"] {
        let headers = with(token(&foreign), &[("Mcp-Session-Id", &id)]);
        assert_eq!(house.request(method, "/mcp", &headers, "").await.status, 404, "{method}");
    }
    assert_eq!(names(&in_session(&house, token(&own), &id, OLDER[1], &list()).await).len(), 6, "its owner's still is");
    house.toolbox.revoke(own.id);
    assert_eq!(in_session(&house, token(&own), &id, OLDER[1], &list()).await.status, 401);
    assert_eq!(in_session(&house, token(&foreign), &id, OLDER[1], &list()).await.status, 404);
}

#[tokio::test]
async fn a_session_that_nobody_uses_expires() {
    let house = House::open(true, Duration::from_millis(200)).await;
    let grant = house.grant();
    let id = begin(&house, token(&grant), OLDER[1]).await;
    // Its own stream is open as long as it lives, and is no use of it.
    let listens =
        [("Mcp-Session-Id", id.as_str()), ("MCP-Protocol-Version", OLDER[1]), ("Accept", "text/event-stream")];
    let heard = house.request("GET", "/mcp", &listening(token(&grant), &listens), "").await;
    assert_eq!(heard.status, 200, "{heard:?}");
    let gone = async {
        while in_session(&house, token(&grant), &id, OLDER[1], &list()).await.status != 404 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("it has expired");
    begin(&house, token(&grant), OLDER[1]).await;
}

#[tokio::test]
async fn an_agent_has_only_so_many_sessions() {
    let house = House::open(true, IDLE).await;
    let grant = house.grant();
    let first = begin(&house, token(&grant), OLDER[0]).await;
    let mut last = first.clone();
    for _ in 0..8 {
        last = begin(&house, token(&grant), OLDER[0]).await;
    }
    assert_eq!(in_session(&house, token(&grant), &first, OLDER[0], &list()).await.status, 404, "its oldest has ended");
    assert_eq!(names(&in_session(&house, token(&grant), &last, OLDER[0], &list()).await).len(), 6);
}

#[tokio::test]
async fn our_own_program_needs_no_session_whatever_is_configured() {
    let house = House::open(true, IDLE).await;
    let grant = house.grant();
    let listed = house.request("POST", "/mcp/stdio", &with(token(&grant), &[]), &list().to_string()).await;
    assert_eq!((listed.status, names(&listed).len()), (200, 6));
    assert_eq!(house.request("POST", "/mcp/stdio", &[], &list().to_string()).await.status, 401);
    assert!(grant.access.stdio_url.ends_with("/mcp/stdio") && grant.access.url.ends_with("/mcp"));
}
