//! What an agent says that it offers beside answering. Tolerant: what is not known, or not of the known shape, is left out.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::convert::text_of;
use crate::backend::error::BackendError;
use crate::domain::agent::{AgentCommand, AgentOption, Offers, OptionCategory, OptionValue};

/// Our id for what an agent offers as its modes: they have none of their own.
const MODE: &str = "mode";

/// What an agent offers, as it told us. Each of its lists replaces the one before, so that it is never larger than a message.
#[derive(Debug, Default)]
pub(super) struct Menu {
    commands: Vec<AgentCommand>,
    options: Vec<AgentOption>,
    /// The older way to choose a mode, which agents with options keep up beside them.
    modes: Option<AgentOption>,
}

/// A request by which an option is set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) method: &'static str,
    pub(super) params: Value,
}

impl Menu {
    /// Takes what the answer to a request says: that to a new, loaded or resumed session, or to an option that was set.
    pub(super) fn answered(&mut self, answer: &Value) {
        if let Some(options) = list(answer, "configOptions") {
            self.options = distinct(options.iter().filter_map(option), |option| &option.id);
        }
        if let Some(modes) = answer.get("modes").and_then(modes) {
            self.modes = Some(modes);
        }
    }

    /// Takes one `session/update`'s `update`; says whether it was about what is offered.
    pub(super) fn updated(&mut self, update: &Value) -> bool {
        match text_of(update, "sessionUpdate") {
            Some("available_commands_update") => {
                let commands = list(update, "availableCommands").into_iter().flatten().filter_map(command);
                self.commands = distinct(commands, |command| &command.name);
            }
            Some("config_option_update") => self.answered(update),
            Some("current_mode_update") => {
                // The protocol's schema has the first name, its description the second.
                let mode = text_of(update, "currentModeId").or_else(|| text_of(update, "modeId"));
                if let (Some(modes), Some(mode)) = (&mut self.modes, mode) {
                    mode.clone_into(&mut modes.current);
                }
            }
            _ => return false,
        }
        true
    }

    /// An option was set, and the answer did not say how all of them are now.
    pub(super) fn set(&mut self, option: &str, value: &str) {
        let known = self.options.iter_mut().chain(&mut self.modes).find(|known| known.id == option);
        if let Some(known) = known {
            value.clone_into(&mut known.current);
        }
    }

    pub(super) fn offers(&self) -> Offers {
        Offers { commands: self.commands.clone(), options: self.options().cloned().collect() }
    }

    /// How `option` of the session `session` is set to `value`.
    ///
    /// # Errors
    /// [`BackendError::Rejected`] when there is no such option or value.
    pub(super) fn setting(&self, session: &str, option: &str, value: &str) -> Result<Setting, BackendError> {
        let rejected = |why: String| BackendError::Rejected(why);
        let known = self.options().find(|known| known.id == option);
        let known = known.ok_or_else(|| rejected(format!("there is no option `{option}`")))?;
        if !known.values.iter().any(|choice| choice.value == value) {
            return Err(rejected(format!("its option `{option}` has no value `{value}`")));
        }
        if self.legacy().is_some_and(|modes| modes.id == option) {
            let params = json!({"sessionId": session, "modeId": value});
            return Ok(Setting { method: "session/set_mode", params });
        }
        let params = json!({"sessionId": session, "configId": option, "value": value});
        Ok(Setting { method: "session/set_config_option", params })
    }

    fn options(&self) -> impl Iterator<Item = &AgentOption> {
        self.options.iter().chain(self.legacy())
    }

    /// The modes, where no option is in their place.
    fn legacy(&self) -> Option<&AgentOption> {
        let replaces = |option: &AgentOption| option.category == OptionCategory::Mode || option.id == MODE;
        self.modes.as_ref().filter(|_| !self.options.iter().any(replaces))
    }
}

fn list<'a>(value: &'a Value, key: &str) -> Option<&'a Vec<Value>> {
    value.get(key).and_then(Value::as_array)
}

/// The items, without those whose id an earlier one has: nobody could tell them apart.
fn distinct<T>(items: impl Iterator<Item = T>, id: impl Fn(&T) -> &String) -> Vec<T> {
    let mut seen = HashSet::new();
    items.filter(|item| seen.insert(id(item).clone())).collect()
}

fn command(command: &Value) -> Option<AgentCommand> {
    let name = text_of(command, "name")?.trim_start_matches('/');
    let description = text_of(command, "description").unwrap_or_default();
    let hint = command.get("input").and_then(|input| text_of(input, "hint")).filter(|hint| !hint.is_empty());
    (!name.is_empty()).then(|| AgentCommand {
        name: name.to_owned(),
        description: description.to_owned(),
        hint: hint.map(ToOwned::to_owned),
    })
}

/// An option to choose one of several values; of another type we know no way to show it.
fn option(option: &Value) -> Option<AgentOption> {
    let id = text_of(option, "id")?;
    let category = match text_of(option, "category") {
        Some("model") => OptionCategory::Model,
        Some("mode") => OptionCategory::Mode,
        _ => OptionCategory::Other,
    };
    let values = list(option, "options")?.iter().flat_map(choices);
    (text_of(option, "type") == Some("select")).then_some(AgentOption {
        id: id.to_owned(),
        name: text_of(option, "name").unwrap_or(id).to_owned(),
        category,
        current: text_of(option, "currentValue")?.to_owned(),
        values: distinct(values, |choice| &choice.value),
    })
}

/// One choice, or all of a group; their names say of which.
fn choices(entry: &Value) -> Vec<OptionValue> {
    let Some(group) = list(entry, "options") else { return choice(entry, "value").into_iter().collect() };
    let header = text_of(entry, "name").map(|name| format!("{name}: ")).unwrap_or_default();
    let choices = group.iter().filter_map(|entry| choice(entry, "value"));
    choices.map(|choice| OptionValue { name: format!("{header}{}", choice.name), ..choice }).collect()
}

fn choice(entry: &Value, id: &str) -> Option<OptionValue> {
    let value = text_of(entry, id)?;
    Some(OptionValue {
        value: value.to_owned(),
        name: text_of(entry, "name").unwrap_or(value).to_owned(),
        description: text_of(entry, "description").map(ToOwned::to_owned),
    })
}

/// The modes of an agent, as an option.
fn modes(modes: &Value) -> Option<AgentOption> {
    let choices = list(modes, "availableModes")?.iter().filter_map(|mode| choice(mode, "id"));
    Some(AgentOption {
        id: MODE.to_owned(),
        name: "Mode".to_owned(),
        category: OptionCategory::Mode,
        current: text_of(modes, "currentModeId")?.to_owned(),
        values: distinct(choices, |choice| &choice.value),
    })
}

#[cfg(test)]
mod tests;
