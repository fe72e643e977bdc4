//! Files of a prompt, with agents that take nothing but text.

use hitchline::backend::config::Newlines;
use hitchline::domain::agent::{Attachment, OptionKind};

use super::peer::{Peer, hear, prompt, soon};
use super::{amplifierd, opencode};

/// The agent of a peer, which repeats what it is told, is told of a file and where it lies.
async fn is_told(peer: Peer) {
    let file = Attachment { name: "a.png".into(), mime: Some("image/png".into()), path: "/x/1".into() };
    let session = peer.start().await;
    let stream = soon(session.prompt(prompt("look").with_files(vec![file]))).await.unwrap();
    let heard = hear(&session, stream, OptionKind::AllowOnce).await;
    assert!(heard.text.contains("[attached file a.png (image/png): /x/1]"), "{heard:?}");
    peer.finish(&session).await;
}

#[tokio::test]
async fn an_amplifierd_agent_is_told_where_files_lie() {
    is_told(amplifierd::peer().await).await;
}

#[tokio::test]
async fn an_opencode_agent_is_told_where_files_lie() {
    let Some(peer) = opencode::peer().await else { return };
    is_told(peer).await;
}

#[tokio::test]
async fn a_program_in_a_terminal_is_told_where_files_lie() {
    // Each line is a prompt of its own to it.
    let Some(peer) = Peer::tmux_as(&[], |config| config.newlines = Newlines::Space) else { return };
    is_told(peer).await;
}
