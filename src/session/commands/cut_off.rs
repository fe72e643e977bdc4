//! What was to be done at once when the last process ended: a press or a stop that was acknowledged, and of which nothing else is left.

use super::press::{line_of, stops_all};
use crate::domain::ids::TurnId;
use crate::domain::inbound::{Button, Click, Inbound, Message, What};
use crate::domain::ports::Line;
use crate::session::manager::Inner;
use crate::session::words;
use crate::store::{Queued, StoreError};

impl Inner {
    /// Does once more what the end of the last process kept from being done at once: what stands for a command waits like one, a turn that
    /// was stopped does not begin again, and stops are answered. The rest was about a turn, and there is none any more. For start-up, before
    /// anything begins, or waits again.
    pub(in crate::session) async fn finish_acts(&self) -> Result<(), StoreError> {
        for Queued { seq, inbound, .. } in self.parts.store.cut_off_acts().await? {
            match inbound {
                Ok(inbound) => self.finish_act(seq, &inbound).await?,
                // There it is given up like everything that can't be read.
                Err(_unreadable) => self.parts.store.move_to(seq, Line::Command).await?,
            }
        }
        self.parts.store.drop_cut_off().await
    }

    async fn finish_act(&self, seq: i64, inbound: &Inbound) -> Result<(), StoreError> {
        match &inbound.what {
            What::Click(Click { button: Button::Stop { turn }, .. }) if self.admit(inbound).is_ok() => {
                // The button stands where its turn is, so that whoever may prompt there may press it.
                self.stop_cut_off(seq, inbound, Some(*turn)).await.map(drop)
            }
            What::Click(click) => {
                let mapped = self.parts.store.session_in(&inbound.queue()).await?.is_some();
                match line_of(&click.button, mapped) {
                    Some(line) => self.parts.store.move_to(seq, line).await,
                    None => Ok(()),
                }
            }
            What::Message(message) if self.admit(inbound).is_ok() => self.finish_stop(seq, inbound, message).await,
            What::Stop { .. } if self.admit(inbound).is_ok() => self.stop_cut_off(seq, inbound, None).await.map(drop),
            _ => Ok(()),
        }
    }

    async fn stop_cut_off(&self, seq: i64, inbound: &Inbound, turn: Option<TurnId>) -> Result<bool, StoreError> {
        self.parts.store.stop_cut_off(&self.acting_on(inbound).await?, seq, turn).await
    }

    /// Answers a stop, unless the end of what it stopped does. It does not wait in a line: by its turn there another turn may run, which nobody wanted stopped.
    async fn finish_stop(&self, seq: i64, inbound: &Inbound, message: &Message) -> Result<(), StoreError> {
        let store = &self.parts.store;
        let stopped = self.stop_cut_off(seq, inbound, None).await?;
        let answer = if stops_all(message) {
            words::stopped_all(stopped, store.drop_waiting(&self.acting_on(inbound).await?, seq).await?)
        } else if stopped {
            return store.done(seq).await;
        } else {
            words::NOTHING_RUNS.to_owned()
        };
        let told = self.say(&inbound.queue(), None, &answer);
        store.owe(told.clone(), Some(seq), self.parts.clock.wall_ms()).await?;
        drop(self.parts.outbox.send(told));
        Ok(())
    }
}
