//! What a turn's agent does with its tools: it speaks, and it asks people.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::Live;
use crate::domain::agent::{Decision, OptionKind, PermissionOption, PermissionRequest};
use crate::domain::ids::RequestId;
use crate::domain::outgoing::{Body, Op};
use crate::session::tools::NotDone;

/// How many questions of one turn may wait for people; a further one is not asked.
const MOST_QUESTIONS: usize = 4;

/// A call of an agent's tool that its turn sees to.
#[derive(Debug)]
pub(in crate::session) enum ToolCall {
    /// Post text into the conversation, below everything that was said so far.
    Post {
        /// The text, as Markdown.
        markdown: String,
        /// Told once it is owed. Dropped when the turn leaves it to whoever called.
        done: oneshot::Sender<()>,
    },
    /// End the message that grows: what is shown next stands below it. Told once that is owed, and dropped as above.
    BreakOff(oneshot::Sender<()>),
    /// A tool has shown something that is no message of the turn's.
    Shown,
    /// Ask the person whose turn it is.
    Ask(Question),
    /// Nobody waits for the answer any more.
    Withdraw(RequestId),
}

/// Which of the choices it is, if somebody chose; or why nobody was asked.
pub(in crate::session) type Answer = Result<Option<usize>, NotDone>;

/// A question with its choices.
#[derive(Debug)]
pub(in crate::session) struct Question {
    /// By this it is withdrawn.
    pub(in crate::session) id: RequestId,
    /// What is asked.
    pub(in crate::session) text: String,
    /// What can be chosen, in order.
    pub(in crate::session) choices: Vec<String>,
    /// Told what came of it. Dropped when the turn is over, or being stopped, before it is asked.
    pub(in crate::session) answer: oneshot::Sender<Answer>,
}

/// Who waits for an answer, by question.
#[derive(Debug, Default)]
pub(super) struct Questions(HashMap<RequestId, oneshot::Sender<Answer>>);

impl Questions {
    /// Answers a question of a tool. What was decided about anything else is given back.
    pub(super) fn answer(&mut self, request: &RequestId, decision: Decision) -> Option<Decision> {
        let Some(waiting) = self.0.remove(request) else { return Some(decision) };
        let chosen = match decision {
            Decision::Selected { option } => option.parse().ok(),
            Decision::Cancelled => None,
        };
        let _nobody_waits = waiting.send(Ok(chosen));
        None
    }
}

impl Live<'_> {
    /// The agent called a tool.
    pub(super) async fn on_call(&mut self, call: ToolCall) {
        self.last_heard = self.now();
        self.heard = true;
        match call {
            // What it says while it is being stopped is no part of its answer.
            ToolCall::Post { .. } | ToolCall::BreakOff(_) | ToolCall::Ask(_) if self.cancelling.is_some() => {}
            ToolCall::Post { markdown, done } => {
                self.post(&markdown).await;
                let _nobody_waits = done.send(());
            }
            ToolCall::BreakOff(done) => {
                self.break_off(Vec::new()).await;
                let _nobody_waits = done.send(());
            }
            ToolCall::Shown => self.shown = true,
            ToolCall::Ask(question) => self.ask_person(question).await,
            ToolCall::Withdraw(request) => {
                if let Some(settled) = self.approvals.withdraw(&request) {
                    self.settle(settled).await;
                }
            }
        }
    }

    async fn post(&mut self, markdown: &str) {
        self.shown = true;
        let parts = self.turn.inner.parts.render.parts(self.turn.key.markup(), markdown);
        self.break_off(parts.into_iter().map(|text| Op::Post(Body::Text(text))).collect()).await;
    }

    /// Ends the message that grows, with more below it.
    async fn break_off(&mut self, below: Vec<Op>) {
        let mut ops = self.reply.checkpoint().await;
        ops.extend(below);
        self.show(self.rows(ops)).await;
    }

    async fn ask_person(&mut self, question: Question) {
        let Question { id, text, choices, answer } = question;
        if self.questions.0.len() >= MOST_QUESTIONS {
            let _nobody_waits = answer.send(Err(NotDone::TooMany));
            return;
        }
        let choice = |(place, label): (usize, String)| PermissionOption {
            id: place.to_string(),
            label,
            kind: OptionKind::Choice,
        };
        let options = choices.into_iter().enumerate().map(choice).collect();
        self.questions.0.insert(id.clone(), answer);
        self.ask(PermissionRequest { id, title: text, detail: None, options }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_once_and_other_decisions_pass() {
        let mut questions = Questions::default();
        let (answer, mut answered) = oneshot::channel();
        questions.0.insert("q".into(), answer);
        let yes = || Decision::Selected { option: "1".into() };
        assert_eq!(questions.answer(&"the agent's own".into(), yes()), Some(yes()));
        assert_eq!(questions.answer(&"q".into(), yes()), None);
        assert_eq!(answered.try_recv(), Ok(Ok(Some(1))));
        assert_eq!(questions.answer(&"q".into(), yes()), Some(yes()), "nobody waits for it any more");
        let (answer, mut answered) = oneshot::channel();
        questions.0.insert("q".into(), answer);
        assert_eq!(questions.answer(&"q".into(), Decision::Cancelled), None);
        assert_eq!(answered.try_recv(), Ok(Ok(None)));
    }
}
