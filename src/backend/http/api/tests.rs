use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::http_client::{Config, Owner};
use crate::scope::Scope;

/// An open stream of events, and the end into which its server writes.
async fn opened(clock: &Clock) -> (EventStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let parts = BackendParts {
        clock: clock.clone(),
        scope: Scope::new(),
        http: Owner::build(&Config::default(), true).unwrap().lend(),
        environment: Arc::default(),
        run_id: "run".to_owned(),
        state_dir: "/nowhere".into(),
    };
    let api = Api::new(&url, SignIn::Nobody, &parts);
    let serve = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(connection.read_u8().await.unwrap());
        }
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await.unwrap();
        connection
    };
    let (stream, connection) = tokio::join!(api.events(Request::get(&["events"])), serve);
    (stream.unwrap(), connection)
}

#[tokio::test]
async fn f_53_only_a_server_that_is_listened_to_can_be_silent_for_too_long() {
    let (clock, hand) = Clock::manual(0);
    let (mut stream, mut connection) = opened(&clock).await;
    connection.write_all(b"data: 1\n\n").await.unwrap();
    assert_eq!(stream.next().await, Some(Frame::Data("1".to_owned())));
    // Nobody wants the next event for a while: the server may have been held back.
    hand.advance(SILENCE * 5);
    let (next, written) = tokio::join!(biased; stream.next(), connection.write_all(b"data: 2\n\n"));
    written.unwrap();
    assert_eq!(next, Some(Frame::Data("2".to_owned())));
    let listen = stream.next();
    tokio::pin!(listen);
    assert!(futures_util::poll!(&mut listen).is_pending());
    hand.advance(SILENCE);
    assert_eq!(listen.await, None);
}
