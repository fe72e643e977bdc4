//! What can be chosen about an agent: its model, and the way it works.

use serde_json::Value;

use super::text_of;
use crate::domain::agent::{AgentOption, Offers, OptionCategory, OptionValue};

/// The option for the model; its values are `provider/model`.
pub(super) const MODEL: &str = "model";
/// The option for the way of working, which the server calls an agent.
pub(super) const MODE: &str = "mode";
/// The most values of an option: a list in Slack holds no more.
const MOST: usize = 100;

/// The options that the server's answers name; those without a choice are left out.
pub(super) fn read(
    providers: &Value,
    agents: &Value,
    config: &Value,
    session: &Value,
    configured: Option<&str>,
) -> Offers {
    let model = configured.map(ToOwned::to_owned);
    let model = model.or_else(|| used_model(session)).or_else(|| text_of(config, "model").map(ToOwned::to_owned));
    let mode = text_of(session, "agent").or_else(|| text_of(config, "default_agent"));
    let model = option(MODEL, "Model", OptionCategory::Model, models(providers), model.as_deref());
    let mode = option(MODE, "Mode", OptionCategory::Mode, modes(agents), mode);
    Offers { commands: Vec::new(), options: model.into_iter().chain(mode).collect() }
}

fn option(
    id: &str,
    name: &str,
    category: OptionCategory,
    mut values: Vec<OptionValue>,
    current: Option<&str>,
) -> Option<AgentOption> {
    // Without a word of the server the first is what it takes.
    let current = current.or(values.first().map(|first| first.value.as_str()))?.to_owned();
    let chosen = values.iter().position(|value| value.value == current)?;
    if values.len() > MOST {
        values.swap(0, chosen);
        values.truncate(MOST);
    }
    (values.len() > 1).then(|| AgentOption { id: id.to_owned(), name: name.to_owned(), category, current, values })
}

fn used_model(session: &Value) -> Option<String> {
    let model = session.get("model")?;
    Some(format!("{}/{}", text_of(model, "providerID")?, text_of(model, "id")?))
}

fn models(providers: &Value) -> Vec<OptionValue> {
    let providers = providers.get("providers").and_then(Value::as_array);
    let models = providers.into_iter().flatten().filter_map(|provider| {
        let (id, models) = (text_of(provider, "id")?, provider.get("models")?.as_object()?);
        let of_provider = text_of(provider, "name").unwrap_or(id);
        Some(models.iter().map(move |(model, known)| OptionValue {
            value: format!("{id}/{model}"),
            name: format!("{of_provider}: {}", text_of(known, "name").unwrap_or(model)),
            description: None,
        }))
    });
    models.flatten().collect()
}

/// The agents that a person may talk to; the others work for these.
fn modes(agents: &Value) -> Vec<OptionValue> {
    let agents = agents.as_array().into_iter().flatten();
    let agents = agents.filter(|agent| {
        text_of(agent, "mode") != Some("subagent") && agent.get("hidden").and_then(Value::as_bool) != Some(true)
    });
    let value = |agent: &Value| {
        let name = text_of(agent, "name")?.to_owned();
        let description = text_of(agent, "description").map(ToOwned::to_owned);
        Some(OptionValue { value: name.clone(), name, description })
    };
    agents.filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn offered(session: &Value, configured: Option<&str>) -> Vec<(String, String, Vec<String>)> {
        let providers = json!({"providers": [
            {"id": "a", "name": "A", "models": {"one": {"name": "One"}, "two": {}}},
            {"id": "b", "models": {"one": {}}},
            {"id": "broken"},
        ]});
        let agents = json!([
            {"name": "build", "mode": "primary", "description": "Does it"},
            {"name": "plan", "mode": "all"},
            {"name": "explore", "mode": "subagent"},
            {"name": "title", "mode": "primary", "hidden": true},
        ]);
        let options = read(&providers, &agents, &json!({"model": "a/two"}), session, configured).options;
        let values = |option: &AgentOption| option.values.iter().map(|value| value.value.clone()).collect();
        options.iter().map(|option| (option.id.clone(), option.current.clone(), values(option))).collect()
    }

    #[test]
    fn models_and_agents_are_options_with_what_holds_now() {
        let used = json!({"agent": "plan", "model": {"id": "one", "providerID": "b"}});
        for (session, configured, model, mode) in [
            (json!({}), None, "a/two", "build"),
            (json!({}), Some("a/one"), "a/one", "build"),
            (used, None, "b/one", "plan"),
        ] {
            let offered = offered(&session, configured);
            let expected = [
                (
                    "model".to_owned(),
                    model.to_owned(),
                    vec!["a/one".to_owned(), "a/two".to_owned(), "b/one".to_owned()],
                ),
                ("mode".to_owned(), mode.to_owned(), vec!["build".to_owned(), "plan".to_owned()]),
            ];
            assert_eq!(offered, expected);
        }
    }

    #[test]
    fn what_leaves_no_choice_is_no_option() {
        let one = json!({"providers": [{"id": "a", "models": {"one": {}}}]});
        assert_eq!(read(&one, &json!([]), &json!({}), &json!({}), None), Offers::default());
        assert_eq!(read(&Value::Null, &Value::Null, &Value::Null, &Value::Null, None), Offers::default());
        // What is used may be gone.
        assert_eq!(read(&one, &json!([]), &json!({"model": "x/y"}), &json!({}), None), Offers::default());
    }

    #[test]
    fn a_long_list_is_cut_and_keeps_what_holds_now() {
        let models: serde_json::Map<String, Value> = (0..300).map(|n| (format!("m{n}"), json!({}))).collect();
        let providers = json!({"providers": [{"id": "a", "models": models}]});
        let offers = read(&providers, &json!([]), &json!({"model": "a/m299"}), &json!({}), None);
        let option = &offers.options[0];
        assert_eq!((option.values.len(), option.current.as_str()), (MOST, "a/m299"));
        assert!(option.values.iter().any(|value| value.value == "a/m299"));
    }
}
