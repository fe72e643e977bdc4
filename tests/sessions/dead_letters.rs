//! What was given up is tried once more when an operator wants it.

use hitchline::domain::ids::UserId;
use hitchline::domain::ports::WriteErrorKind;
use hitchline::store::{DeadId, Retried};

use super::slack::Step;
use super::world::World;

#[tokio::test]
async fn an_answer_that_slack_refused_is_posted_once_somebody_wants_it() {
    let world = World::echoing().await;
    world.slack.fail(Step::Post, WriteErrorKind::Permanent);
    let thread = world.mention("U1", "hello").await;
    let given_up = "SELECT EXISTS (SELECT 1 FROM outbox WHERE state = 'dead')";
    world.until("a dead letter", || world.database().query_row(given_up, [], |row| row.get(0)).unwrap()).await;
    world.rest().await;
    let letters = world.manager.dead_letters(9).await.unwrap();
    assert!(matches!(letters[0].id, DeadId::Outgoing(_)) && letters.len() == 1, "{letters:?}");
    assert_eq!(letters[0].author.as_ref().map(UserId::as_str), Some("U1"));
    assert!(world.slack.texts(&thread).is_empty());
    let retried = world.manager.retry_dead_letter(letters[0].id).await.unwrap();
    assert!(matches!(retried, Retried::Outgoing(_)), "{retried:?}");
    world.until_thread_is(&thread, &["hello"]).await;
    assert!(world.manager.dead_letters(9).await.unwrap().is_empty());
}
