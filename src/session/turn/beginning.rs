//! What comes before an agent has taken a prompt, and what becomes of a turn that gets no further.

use std::sync::Arc;

use super::{Cancelling, Controls, FORCED_RELEASE, Finished, Turn, conclude, stopped};
use crate::backend::error::{BackendError, Phase};
use crate::backend::{Outcome, Session, TurnStream};
use crate::domain::agent::Prompt;
use crate::domain::command;
use crate::domain::ids::SessionId;
use crate::domain::inbound::File;
use crate::session::history::History;
use crate::session::live::{Origin, Ready};
use crate::session::words;

impl Turn {
    /// What its session is told of what is asked. One that remembers where it was hears that it is to go on.
    pub(super) fn wording(&self, ready: &Ready) -> Prompt {
        let remembers = matches!(ready.origin, Origin::Running | Origin::Restored) && !ready.untold;
        if self.resumes && remembers {
            return self.prompt.clone().after(words::GO_ON);
        }
        let own = command::for_agent(self.prompt.text(), &ready.session.offers().commands);
        own.into_iter().fold(self.prompt.clone(), Prompt::reworded)
    }

    /// Fetches the files of its message, unless it is stopped first. Its agent has not been reached by then.
    pub(in crate::session) async fn fetch(
        &mut self,
        session: SessionId,
        files: &[File],
        controls: &mut Controls,
    ) -> Result<(), Finished> {
        let fetched = tokio::select! {
            biased;
            why = stopped(&mut controls.stop) => return Err(self.not_begun(why)),
            fetched = self.inner.fetch_files(session, self.prompt.turn(), files) => fetched,
        };
        self.files = fetched;
        Ok(())
    }

    /// What its session is told of what was said before, where it stands in for a lost one.
    pub(super) async fn history(&self, ready: &Ready) -> Option<History> {
        if !ready.untold {
            return None;
        }
        self.inner.history(&self.conversation, &self.message).await
    }

    /// Hands the prompt over. A session that does not take it in time, or is no longer to take it, is in an unknown state: it is
    /// released, and restored by the next message.
    pub(super) async fn begin(
        &self,
        session: &Arc<dyn Session>,
        prompt: Prompt,
        controls: &mut Controls,
    ) -> Result<TurnStream, Finished> {
        let clock = &self.inner.parts.clock;
        let patience = self.inner.parts.policy.inactivity_timeout;
        let finished = tokio::select! {
            biased;
            why = stopped(&mut controls.stop) => self.not_begun(why),
            taken = clock.timeout(patience, session.prompt(prompt)) => match taken {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => return Err(self.not_started(error)),
                Err(_late) => self.not_started(BackendError::Timeout { phase: Phase::Inactivity, after: patience }),
            },
        };
        self.release(session).await;
        Err(finished)
    }

    /// Releases the session by force; nobody brings it up meanwhile.
    pub(super) async fn release(&self, session: &Arc<dyn Session>) {
        let _nobody_brings_it_up = self.inner.gate(&self.conversation).await;
        self.inner.release(&self.conversation, session, FORCED_RELEASE).await;
    }

    /// The end of a turn that was stopped before its session took it.
    pub(in crate::session) fn not_begun(&self, why: Cancelling) -> Finished {
        let (outcome, note, error) = conclude(Outcome::Cancelled, Some(why));
        let note = note.unwrap_or_default();
        Finished { outcome, error, owed: self.inner.say(&self.key, Some(self.prompt.turn()), &note), heard: false }
    }

    /// The end of a turn that its session did not take.
    pub(in crate::session) fn not_started(&self, error: BackendError) -> Finished {
        let owed = self.inner.say(&self.key, Some(self.prompt.turn()), &words::failed(&error));
        Finished { outcome: "failed", error: Some(error), owed, heard: false }
    }

    /// Presses that come from now on are stale, and so are those that nobody has looked at.
    pub(in crate::session) fn dismiss(&self, mut controls: Controls) {
        controls.presses.close();
        while let Ok(press) = controls.presses.try_recv() {
            self.inner.respond(press.reply, words::STALE_BUTTON);
        }
    }
}
