use super::*;

fn model() -> Value {
    json!({"id": "llm", "name": "Model", "category": "model", "type": "select", "currentValue": "small", "options": [
        {"value": "small", "name": "Small", "description": "Fast"},
        {"group": "x", "name": "Elsewhere", "options": [{"value": "large", "name": "Large"}, {"value": "small"}]},
    ]})
}

fn mode() -> Value {
    json!({"id": "how", "name": "How", "category": "mode", "type": "select", "currentValue": "ask", "options": [
        {"value": "ask", "name": "Ask"}, {"value": "plan", "name": "Plan"},
    ]})
}

fn modes() -> Value {
    json!({"currentModeId": "code", "availableModes": [{"id": "code", "name": "Code"}, {"id": "plan", "name": "Plan"}]})
}

fn opened(answer: &Value) -> Menu {
    let mut menu = Menu::default();
    menu.answered(answer);
    menu
}

/// What is offered, as `id = current`.
fn current(menu: &Menu) -> Vec<String> {
    menu.offers().options.iter().map(|option| format!("{} = {}", option.id, option.current)).collect()
}

#[test]
fn an_option_is_read_with_its_groups() {
    let value = |value: &str, name: &str, description: Option<&str>| OptionValue {
        value: value.to_owned(),
        name: name.to_owned(),
        description: description.map(ToOwned::to_owned),
    };
    let expected = AgentOption {
        id: "llm".to_owned(),
        name: "Model".to_owned(),
        category: OptionCategory::Model,
        current: "small".to_owned(),
        values: vec![value("small", "Small", Some("Fast")), value("large", "Elsewhere: Large", None)],
    };
    assert_eq!(opened(&json!({"configOptions": [model()]})).offers().options, [expected]);
}

#[test]
fn what_is_not_known_is_left_out() {
    let menu = opened(&json!({"configOptions": [
        {"id": "web", "name": "Search", "type": "boolean", "currentValue": true},
        {"id": "of tomorrow", "name": "?", "type": "slider", "currentValue": "1", "options": []},
        {"name": "without an id", "type": "select", "currentValue": "a", "options": []},
        {"id": "effort", "category": "thought_level", "type": "select", "currentValue": "low", "options": [7, {"value": "low"}]},
        {"id": "effort", "type": "select", "currentValue": "again", "options": []},
        7,
    ]}));
    let offers = menu.offers();
    assert_eq!(current(&menu), ["effort = low"]);
    assert_eq!((offers.options[0].category, offers.options[0].values.len()), (OptionCategory::Other, 1));
    assert_eq!(opened(&Value::Null).offers(), Offers::default());
    assert_eq!(opened(&json!({"configOptions": null, "modes": null})).offers(), Offers::default());
}

#[test]
fn commands_are_replaced_by_the_next_list() {
    let mut menu = Menu::default();
    let update = |commands: Value| json!({"sessionUpdate": "available_commands_update", "availableCommands": commands});
    assert!(menu.updated(&update(json!([{"name": "old", "description": "Old"}]))));
    assert!(menu.updated(&update(json!([
        {"name": "web", "description": "Searches", "input": {"hint": "what for"}},
        {"name": "/init", "description": "Begins", "input": null},
        {"name": "web", "description": "Again"},
        {"description": "without a name"},
    ]))));
    let command = |name: &str, description: &str, hint: Option<&str>| AgentCommand {
        name: name.to_owned(),
        description: description.to_owned(),
        hint: hint.map(ToOwned::to_owned),
    };
    assert_eq!(menu.offers().commands, [command("web", "Searches", Some("what for")), command("init", "Begins", None)]);
}

#[test]
fn modes_are_an_option_where_none_is_in_their_place() {
    let cases = [
        (json!({"modes": modes()}), vec!["mode = code"]),
        (json!({"modes": modes(), "configOptions": [model()]}), vec!["llm = small", "mode = code"]),
        (json!({"modes": modes(), "configOptions": [model(), mode()]}), vec!["llm = small", "how = ask"]),
    ];
    for (answer, expected) in cases {
        assert_eq!(current(&opened(&answer)), expected, "{answer}");
    }
}

#[test]
fn updates_change_what_is_chosen() {
    let mut menu = opened(&json!({"modes": modes()}));
    for (name, mode) in [("currentModeId", "plan"), ("modeId", "code")] {
        assert!(menu.updated(&json!({"sessionUpdate": "current_mode_update", name: mode})));
        assert_eq!(current(&menu), [format!("mode = {mode}")]);
    }
    assert!(menu.updated(&json!({"sessionUpdate": "config_option_update", "configOptions": [mode()]})));
    assert_eq!(current(&menu), ["how = ask"]);
    menu.set("how", "plan");
    assert_eq!(current(&menu), ["how = plan"]);
    assert!(!menu.updated(&json!({"sessionUpdate": "agent_message_chunk"})));
}

#[test]
fn an_option_is_set_by_the_request_of_its_kind() {
    let menu = opened(&json!({"modes": modes(), "configOptions": [model()]}));
    let expected = Setting {
        method: "session/set_config_option",
        params: json!({"sessionId": "s", "configId": "llm", "value": "large"}),
    };
    assert_eq!(menu.setting("s", "llm", "large"), Ok(expected));
    let expected = Setting { method: "session/set_mode", params: json!({"sessionId": "s", "modeId": "plan"}) };
    assert_eq!(menu.setting("s", "mode", "plan"), Ok(expected));
    let replaced = opened(&json!({"modes": modes(), "configOptions": [mode()]}));
    assert_eq!(replaced.setting("s", "how", "plan").unwrap().method, "session/set_config_option");
    for (menu, option, value) in [(&menu, "llm", "huge"), (&menu, "how", "plan"), (&replaced, "mode", "plan")] {
        let refused = menu.setting("s", option, value);
        assert!(matches!(refused, Err(BackendError::Rejected(_))), "{option} = {value}: {refused:?}");
    }
}
