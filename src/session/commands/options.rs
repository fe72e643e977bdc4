//! What people choose of an agent: its model and its mode. A choice is kept, and made again whenever the session comes up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, Row};
use super::words;
use crate::backend::Session;
use crate::backend::error::{BackendError, Kind, Phase};
use crate::domain::agent::{AgentOption, Offers, OptionCategory, OptionValue};
use crate::domain::inbound::Button;
use crate::domain::outgoing::ListButton;
use crate::domain::session::SessionRecord;
use crate::session::lines::Later;
use crate::session::live::{IfLost, NotReady, Ready};
use crate::session::manager::Inner;
use crate::session::slots::Active;

/// How long an agent may take to set an option.
const PATIENCE: Duration = Duration::from_secs(10);

impl Inner {
    /// `model [VALUE]` and `mode [VALUE]`
    pub(super) async fn choose(
        self: &Arc<Self>,
        active: &Active,
        category: OptionCategory,
        value: Option<&str>,
    ) -> Result<Answer, Later> {
        let record = &active.record;
        let ready = match self.ready(record, IfLost::StartAfresh).await {
            Ok(ready) => ready,
            Err(error) => return self.not_reached(record, error).await,
        };
        let options = of_category(ready.session.offers(), category);
        let Some(value) = value else { return Ok(menu(record, &ready, category, &options)) };
        match find(&options, value) {
            Some((option, value)) => {
                let (option, value) = (option.id.clone(), value.value.clone());
                self.set_option_in(record, &ready, &option, &value).await
            }
            None => Ok(Answer::aside(words::no_such_value(category, value, &options))),
        }
    }

    /// Sets an option of a session whose menu was pressed.
    pub(super) async fn set_option(
        self: &Arc<Self>,
        record: &SessionRecord,
        option: &str,
        value: &str,
    ) -> Result<Answer, Later> {
        self.remember(record);
        match self.ready(record, IfLost::StartAfresh).await {
            Ok(ready) => self.set_option_in(record, &ready, option, value).await,
            Err(error) => self.not_reached(record, error).await,
        }
    }

    /// What is said of a session that did not come up. One that its agent calls ended has ended.
    async fn not_reached(self: &Arc<Self>, record: &SessionRecord, why: NotReady) -> Result<Answer, Later> {
        let error = match why {
            NotReady::Elsewhere => return Ok(Answer::open(words::MOVED_MEANWHILE)),
            NotReady::Failed(error) => error,
        };
        if error.kind() == Kind::Transient {
            return Ok(Answer::open(words::option_not_reached(&error)));
        }
        let ended = self.end_for_good(record.id, i64::MAX).await;
        ended.map_err(|error| Later::because(&record.conversation, &error))?;
        Ok(Answer::change(words::failed(&error)))
    }

    async fn set_option_in(
        &self,
        record: &SessionRecord,
        ready: &Ready,
        option: &str,
        value: &str,
    ) -> Result<Answer, Later> {
        if let Err(error) = self.tell_agent(ready.session.as_ref(), option, value).await {
            return Ok(Answer::open(with_note(&words::option_not_set(&error), ready)));
        }
        {
            let mut slots = self.slots();
            let Some(active) = slots.active_mut(record) else { return Ok(Answer::open(words::MOVED_MEANWHILE)) };
            active.record.options.insert(option.to_owned(), value.to_owned());
        }
        let chosen = BTreeMap::from([(option.to_owned(), value.to_owned())]);
        let kept = self.parts.store.set_options(record.id, chosen).await;
        kept.map_err(|error| Later::because(&record.conversation, &error))?;
        let told = words::option_set(&ready.session.offers().options, option, value);
        Ok(Answer::change(with_note(&told, ready)))
    }

    async fn tell_agent(&self, session: &dyn Session, option: &str, value: &str) -> Result<(), BackendError> {
        let late = |_late| BackendError::Timeout { phase: Phase::Option, after: PATIENCE };
        self.parts.clock.timeout(PATIENCE, session.set_option(option, value)).await.map_err(late)?
    }

    /// Makes again what was chosen in a session that has just come up: its agent may have forgotten it. What it does not take any more
    /// is left as the agent has it.
    pub(in crate::session) async fn choose_again(&self, record: &SessionRecord, session: &dyn Session) {
        for (option, value) in &record.options {
            if let Err(error) = self.tell_agent(session, option, value).await {
                tracing::warn!(session.id = %record.id, option, %error, "A choice could not be made again");
            }
        }
    }
}

/// What can be chosen, and a button for each.
fn menu(record: &SessionRecord, ready: &Ready, category: OptionCategory, options: &[AgentOption]) -> Answer {
    let several = options.len() > 1;
    let row = |option: &AgentOption, value: &OptionValue| {
        let button = Button::Option { session: record.id, option: option.id.clone(), value: value.value.clone() };
        let current = option.current == value.value;
        let button = ListButton { label: words::CHOOSE.to_owned(), button, danger: false };
        Row::new(words::value_row(several.then_some(option), value, current), (!current).then_some(button))
    };
    let rows: Vec<Row> =
        options.iter().flat_map(|option| option.values.iter().map(move |value| row(option, value))).collect();
    Answer::aside_list(with_note(&words::menu_title(category, options), ready), rows)
}

/// Says what a session that had to start afresh does not know any more.
fn with_note(told: &str, ready: &Ready) -> String {
    if ready.untold { format!("{told}\n\n{}", words::context_lost(0)) } else { told.to_owned() }
}

/// The options of one kind.
pub(super) fn of_category(offers: Offers, category: OptionCategory) -> Vec<AgentOption> {
    offers.options.into_iter().filter(|option| option.category == category).collect()
}

/// The value that somebody typed: by the agent's id or its name, and in any case.
fn find<'a>(options: &'a [AgentOption], typed: &str) -> Option<(&'a AgentOption, &'a OptionValue)> {
    let all = || options.iter().flat_map(|option| option.values.iter().map(move |value| (option, value)));
    let same = |text: &str| text.to_lowercase() == typed.trim().to_lowercase();
    all()
        .find(|(_, value)| value.value == typed)
        .or_else(|| all().find(|(_, value)| same(&value.value) || same(&value.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_id_or_its_name_in_any_case() {
        let value = |value: &str, name: &str| OptionValue { value: value.into(), name: name.into(), description: None };
        let option = |id: &str, values: Vec<OptionValue>| AgentOption {
            id: id.into(),
            name: id.into(),
            category: OptionCategory::Model,
            current: values[0].value.clone(),
            values,
        };
        let options = [
            option("model", vec![value("default", "Opus 4"), value("opus", "Other"), value("Opus", "Third")]),
            option("effort", vec![value("high", "High")]),
        ];
        for (typed, expected) in [
            ("opus 4", Some(("model", "default"))),
            ("opus", Some(("model", "opus"))),
            ("Opus", Some(("model", "Opus"))),
            ("HIGH", Some(("effort", "high"))),
            ("hig", None),
        ] {
            let found = find(&options, typed).map(|(option, value)| (option.id.as_str(), value.value.as_str()));
            assert_eq!(found, expected, "{typed}");
        }
    }
}
