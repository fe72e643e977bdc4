//! Which of an agent's sessions a message is for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::connection::{Inbox, Listener, Reply};
use super::convert::{self, text_of};
use super::desk::Desk;
use super::gate::Credit;
use crate::domain::agent::Decision;

/// The desks of an agent's sessions. What is for none of them is dropped, a request answered.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Desks>);

#[derive(Debug, Default)]
struct Desks {
    /// By the agent's id of the session.
    known: HashMap<String, Arc<Desk>>,
    /// Of the session that is being made. Until its id is known, it gets what is for nobody else.
    nameless: Option<Arc<Desk>>,
}

impl Board {
    /// From now on `desk` is that of this session.
    pub(super) fn name(&self, session: &str, desk: &Arc<Desk>) {
        self.desks().known.insert(session.to_owned(), desk.clone());
    }

    /// Forgets a session.
    pub(super) fn forget(&self, session: &str) {
        self.desks().known.remove(session);
    }

    /// A session is about to be made, and `desk` is its. Whoever makes one waits for its answer before the next.
    pub(super) fn expect(&self, desk: Option<Arc<Desk>>) {
        self.desks().nameless = desk;
    }

    fn desk_for(&self, params: &Value) -> Option<Arc<Desk>> {
        let desks = self.desks();
        let known = text_of(params, "sessionId").and_then(|session| desks.known.get(session));
        known.or(desks.nameless.as_ref()).cloned()
    }

    fn desks(&self) -> MutexGuard<'_, Desks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox for Board {
    fn update(&self, params: Value, credit: Credit) {
        if let Some(desk) = self.desk_for(&params) {
            desk.update(params, credit);
        }
    }

    fn permission(&self, params: Value, reply: Reply, credit: Credit) {
        match self.desk_for(&params) {
            Some(desk) => desk.permission(params, reply, credit),
            None => reply.send(convert::decision(&Decision::Cancelled)),
        }
    }
}

/// Hears how a session that is being made is called, in its place among the updates.
#[derive(Debug)]
pub(super) struct Naming {
    pub(super) board: Arc<Board>,
    pub(super) desk: Arc<Desk>,
}

impl Listener for Naming {
    fn answered(&self, answer: &Value) {
        self.desk.answered(answer);
        if let Some(session) = text_of(answer, "sessionId") {
            self.board.name(session, &self.desk);
        }
        self.board.expect(None);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::gate::Books;
    use super::*;

    fn announce(board: &Board, session: &str, command: &str) {
        let update = json!({"sessionUpdate": "available_commands_update", "availableCommands": [{"name": command}]});
        board.update(json!({"sessionId": session, "update": update}), Books::new().received());
    }

    fn commands(desk: &Desk) -> Vec<String> {
        desk.menu().offers().commands.into_iter().map(|command| command.name).collect()
    }

    #[test]
    fn a_message_goes_to_its_session_and_to_the_nameless_one_before_it_has_a_name() {
        let board = Arc::new(Board::default());
        let (first, second) = (Arc::new(Desk::default()), Arc::new(Desk::default()));
        board.name("a", &first);
        announce(&board, "b", "lost");
        board.expect(Some(second.clone()));
        announce(&board, "b", "early");
        announce(&board, "a", "own");
        assert_eq!((commands(&first), commands(&second)), (vec!["own".to_owned()], vec!["early".to_owned()]));
        Naming { board: board.clone(), desk: second.clone() }.answered(&json!({"sessionId": "b"}));
        announce(&board, "c", "foreign");
        announce(&board, "b", "late");
        assert_eq!(commands(&second), ["late"]);
        board.forget("b");
        announce(&board, "b", "after the end");
        assert_eq!(commands(&second), ["late"]);
    }
}
