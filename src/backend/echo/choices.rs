//! What an echo session offers beside answering, and what is chosen of it.

use crate::backend::error::BackendError;
use crate::domain::agent::{AgentCommand, AgentEvent, AgentOption, Offers, OptionCategory, OptionValue};

/// What is chosen in a session; a new one begins with neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Choices {
    /// Whether its model answers in upper case.
    shouts: bool,
    /// Whether its mode shows a plan before each answer.
    pub(super) plans: bool,
}

impl Choices {
    /// Chooses a value of an option.
    ///
    /// # Errors
    /// [`BackendError::Rejected`] when there is no such option or value.
    pub(super) fn choose(&mut self, option: &str, value: &str) -> Result<(), BackendError> {
        match (option, value) {
            ("model", "plain") => self.shouts = false,
            ("model", "shout") => self.shouts = true,
            ("mode", "chat") => self.plans = false,
            ("mode", "plan") => self.plans = true,
            ("model" | "mode", _) => {
                return Err(BackendError::Rejected(format!("its option `{option}` has no value `{value}`")));
            }
            _ => return Err(BackendError::Rejected(format!("there is no option `{option}`"))),
        }
        Ok(())
    }

    /// An event as the chosen model says it.
    pub(super) fn voiced(self, event: AgentEvent) -> AgentEvent {
        match event {
            AgentEvent::Text { message, delta } if self.shouts => {
                AgentEvent::Text { message, delta: delta.to_uppercase() }
            }
            other => other,
        }
    }

    pub(super) fn offers(self) -> Offers {
        let reverse = AgentCommand {
            name: "reverse".to_owned(),
            description: "Answers with the text backwards".to_owned(),
            hint: Some("text".to_owned()),
        };
        let voices = [("plain", "Answers as it was asked"), ("shout", "Answers in upper case")];
        let manners = [("chat", "Answers at once"), ("plan", "Shows a plan before it answers")];
        Offers {
            commands: vec![reverse],
            options: vec![
                option("model", OptionCategory::Model, voices, self.shouts),
                option("mode", OptionCategory::Mode, manners, self.plans),
            ],
        }
    }
}

/// An option of two values, of which the first or the `second` is chosen.
fn option(id: &str, category: OptionCategory, values: [(&str, &str); 2], second: bool) -> AgentOption {
    let [(first, _), (other, _)] = values;
    let value = |(value, description): (&str, &str)| OptionValue {
        value: value.to_owned(),
        name: capitalised(value),
        description: Some(description.to_owned()),
    };
    let current = if second { other } else { first }.to_owned();
    AgentOption { id: id.to_owned(), name: capitalised(id), category, current, values: values.map(value).to_vec() }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_that_is_offered_can_be_chosen_and_no_other() {
        let mut choices = Choices::default();
        for option in Choices::default().offers().options {
            assert_eq!(option.current, option.values[0].value, "a session begins with the first");
            for value in option.values.iter().rev() {
                choices.choose(&option.id, &value.value).unwrap();
                let now = choices.offers().options.into_iter().find(|known| known.id == option.id).unwrap();
                assert_eq!(now.current, value.value);
            }
            assert!(matches!(choices.choose(&option.id, "other"), Err(BackendError::Rejected(_))));
        }
        assert!(matches!(choices.choose("voice", "plain"), Err(BackendError::Rejected(_))));
        assert_eq!(choices, Choices::default());
    }
}
