//! How things stand: `status`, `config`, and `help`.

use std::sync::Arc;

use super::answer::{Answer, Row};
use super::lists::stop_button;
use super::options::of_category;
use super::{Asked, words};
use crate::domain::agent::{AgentCommand, OptionCategory};
use crate::session::lines::Later;
use crate::session::manager::Inner;
use crate::session::slots::Active;

impl Inner {
    /// `help`. An agent is never started for it.
    pub(super) fn help(&self, active: Option<&Active>) -> Answer {
        let offered: Vec<AgentCommand> =
            active.and_then(|active| active.live.as_ref()).map_or_else(Vec::new, |live| live.session.offers().commands);
        Answer::aside(words::help(active.is_some(), &self.parts.policy.command, &offered))
    }

    /// `status`
    pub(super) async fn status(self: &Arc<Self>, asked: &Asked<'_>, active: &Active) -> Result<Answer, Later> {
        let later = |error| Later::because(asked.key, &error);
        let overview = self.overview(active.record.clone()).await.map_err(later)?;
        let places = self.parts.store.waiting_of(asked.key, asked.by.user()).await.map_err(later)?;
        let chosen = chosen(active);
        let text = words::status(&overview, &places, &chosen);
        let Some(turn) = self.turn_of(&active.record) else { return Ok(Answer::open(&text)) };
        Ok(Answer::open_list(&text, vec![Row::new(words::TURN_RUNS, Some(stop_button(turn)))]))
    }

    /// `config`: what holds here. Nothing of it is a secret.
    pub(super) fn config(&self, asked: &Asked<'_>, active: Option<&Active>) -> Answer {
        let policy = &self.parts.policy;
        let start = match active {
            Some(active) => Ok((active.record.backend.clone(), active.record.working_dir.clone())),
            None => policy.start(&asked.key.channel, None, None).map(|start| (start.backend, start.working_dir)),
        };
        match start {
            Ok((backend, dir)) => {
                Answer::aside(words::config(policy, active.map(|active| &active.record), &backend, &dir))
            }
            Err(refused) => Answer::aside(words::not_started(&refused)),
        }
    }
}

/// Model and mode, as the agent names them; of one that does not run, what was chosen.
fn chosen(active: &Active) -> Vec<(String, String)> {
    let Some(live) = &active.live else { return active.record.options.clone().into_iter().collect() };
    let kinds = [OptionCategory::Model, OptionCategory::Mode];
    let options = kinds.into_iter().flat_map(|kind| of_category(live.session.offers(), kind));
    options.map(|option| (option.name.clone(), words::current(&option))).collect()
}
