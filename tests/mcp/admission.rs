//! Who comes in.

use std::time::Duration;

use serde_json::json;

use crate::house::{House, list, names, request, token, with};

const IDLE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn only_a_token_that_is_good_comes_in() {
    for sessions in [false, true] {
        let house = House::open(sessions, IDLE).await;
        let grant = house.grant();
        for wrong in ["", "x", &token(&grant)[..90], &format!("{}0", token(&grant))] {
            let refused = house.post(wrong, &[], &list()).await;
            assert_eq!((refused.status, refused.headers["www-authenticate"].as_str()), (401, "Bearer"), "{wrong}");
        }
        let bare = house.request("POST", "/mcp", &[], &list().to_string()).await;
        assert_eq!(bare.status, 401);
        for method in ["GET", "DELETE", "OPTIONS"] {
            assert_eq!(house.request(method, "/mcp", &[], "").await.status, 401, "{method}");
        }
        house.toolbox.revoke(grant.id);
        assert_eq!(house.post(token(&grant), &[], &list()).await.status, 401, "it is revoked");
    }
}

#[tokio::test]
async fn no_page_and_no_foreign_name_comes_in() {
    let house = House::open(false, IDLE).await;
    let grant = house.grant();
    for origin in ["http://evil.example", "http://127.0.0.1:1", "null", &format!("http://{}", house.address)] {
        let refused = house.post(token(&grant), &[("Origin", origin)], &list()).await;
        assert_eq!(refused.status, 403, "{origin}: {refused:?}");
    }
    for (host, status) in [("evil.example", 403), ("127.0.0.1.evil.example", 403), ("localhost:1", 200)] {
        let answer = house.post(token(&grant), &[("Host", host)], &list()).await;
        assert_eq!(answer.status, status, "{host}: {answer:?}");
    }
}

#[tokio::test]
async fn what_is_too_large_or_no_message_is_refused() {
    let house = House::open(false, IDLE).await;
    let grant = house.grant();
    let large = request("tools/call", &json!({"name": "post", "arguments": {"text": "x".repeat(2 * 1024 * 1024)}}));
    assert_eq!(house.post(token(&grant), &[], &large).await.status, 413);
    let broken = house.request("POST", "/mcp", &with(token(&grant), &[]), "{").await;
    assert!((400..500).contains(&broken.status), "{broken:?}");
}

#[tokio::test]
async fn the_list_is_the_same_each_time() {
    let house = House::open(false, IDLE).await;
    let grant = house.grant();
    let first = house.post(token(&grant), &[], &list()).await;
    let again = house.post(token(&grant), &[], &list()).await;
    assert_eq!(names(&first), ["ask", "lookup_user", "post", "react", "read_thread", "upload"]);
    assert_eq!(first.body, again.body);
    let tools = first.message()["result"]["tools"].clone();
    let reads = |name: &str| {
        let tool = tools.as_array().unwrap().iter().find(|tool| tool["name"] == name).unwrap();
        tool["annotations"]["readOnlyHint"] == true
    };
    assert!(reads("read_thread") && reads("lookup_user") && !reads("post") && !reads("ask"), "{tools}");
}

#[tokio::test]
async fn each_token_has_its_own_rate() {
    let house = House::open(false, IDLE).await;
    let (busy, other) = (house.grant(), house.grant());
    let call = request("tools/call", &json!({"name": "post", "arguments": {"text": "hi"}}));
    let mut refused = String::new();
    for _ in 0..60 {
        refused = house.post(token(&busy), &[], &call).await.message()["result"]["content"][0]["text"].to_string();
        if refused.contains("too many") {
            break;
        }
    }
    assert!(refused.contains("too many calls at once; wait "), "{refused}");
    let unhurried = house.post(token(&other), &[], &call).await.message();
    assert_eq!(unhurried["result"]["isError"], true);
    assert!(unhurried["result"]["content"][0]["text"].to_string().contains("starting or stopping"), "{unhurried}");
}
