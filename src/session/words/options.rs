//! What people choose of an agent.

use super::pieces::{DESCRIPTION, about, code, line};
use crate::backend::error::BackendError;
use crate::domain::agent::{AgentOption, OptionCategory, OptionValue};

/// On the button that chooses a value.
pub(in crate::session) const CHOOSE: &str = "Choose";

/// What an option is about, in a word.
fn kind(category: OptionCategory) -> &'static str {
    match category {
        OptionCategory::Model => "model",
        OptionCategory::Mode => "mode",
        OptionCategory::Other => "option",
    }
}

/// Above the values that can be chosen.
pub(in crate::session) fn menu_title(category: OptionCategory, options: &[AgentOption]) -> String {
    let kind = kind(category);
    match options {
        [] => format!("This agent offers no choice of a {kind}."),
        [one] => format!(
            "{}: {}. Choose another, or write `!{kind} VALUE`:",
            line(&one.name, DESCRIPTION),
            line(&current(one), DESCRIPTION)
        ),
        _ => format!("What this agent offers as its {kind}. Choose, or write `!{kind} VALUE`:"),
    }
}

/// A value in the menu.
pub(in crate::session) fn value_row(option: Option<&AgentOption>, value: &OptionValue, current: bool) -> String {
    let option = option.map_or_else(String::new, |option| format!("{}: ", line(&option.name, DESCRIPTION)));
    let name = line(&value.name, DESCRIPTION);
    let mark = if current { " ✓ now" } else { "" };
    let meaning = value.description.as_deref().map_or_else(String::new, about);
    format!("{option}**{name}** {}{mark}{meaning}", code(&value.value))
}

/// What is chosen of an option now, as the agent calls it.
pub(in crate::session) fn current(option: &AgentOption) -> String {
    let value = option.values.iter().find(|value| value.value == option.current);
    value.map_or_else(|| option.current.clone(), |value| value.name.clone())
}

/// A value that the agent does not offer.
pub(in crate::session) fn no_such_value(category: OptionCategory, typed: &str, options: &[AgentOption]) -> String {
    if options.is_empty() {
        return menu_title(category, options);
    }
    let known =
        options.iter().flat_map(|option| &option.values).map(|value| code(&value.value)).collect::<Vec<_>>().join(", ");
    format!("This agent has no {} {}. It has: {known}.", kind(category), code(&line(typed, DESCRIPTION)))
}

/// A value was chosen.
pub(in crate::session) fn option_set(options: &[AgentOption], option: &str, value: &str) -> String {
    let known = options.iter().find(|known| known.id == option);
    let name = known.map_or(option, |known| &known.name);
    let value = known
        .and_then(|known| known.values.iter().find(|offered| offered.value == value))
        .map_or(value, |known| &known.name);
    format!("{}: {} from now on.", line(name, DESCRIPTION), line(value, DESCRIPTION))
}

/// A value that the agent did not take.
pub(in crate::session) fn option_not_set(error: &BackendError) -> String {
    let advice = match error {
        BackendError::Busy => "Try again when this turn is over, or stop it with `!stop`.",
        _ => "Nothing has changed.",
    };
    format!("That was not chosen: {error}. {advice}")
}

/// An agent that could not be asked what it offers.
pub(in crate::session) fn option_not_reached(error: &BackendError) -> String {
    format!("I could not ask the agent: {error}. Your session is kept.")
}
