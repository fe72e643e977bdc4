//! Variables that look like ours and are not.

use super::layer::{PREFIX, SEPARATOR};
use super::spelling::nearest;
use super::{Environment, Findings, Settings};

/// What the names of our own variables have in common with those that were meant to be.
const START: &str = "HITCHLINE_";
/// What a daemon gives its agents, in one of which this may run.
const GIVEN_TO_AGENTS: [&str; 2] = ["HITCHLINE_RUN_ID", "HITCHLINE_AGENT_ID"];

/// Warns of variables that would be read if they were written as ours are.
pub(super) fn warn_of_misspelt(environment: &Environment, findings: &mut Findings) {
    let is_misspelt = |name: &&String| {
        name.starts_with(START) && !name.starts_with(PREFIX) && !GIVEN_TO_AGENTS.contains(&name.as_str())
    };
    let misspelt: Vec<&String> = environment.keys().filter(is_misspelt).collect();
    if misspelt.is_empty() {
        return;
    }
    let known = known();
    let known = known.iter().map(String::as_str).collect();
    for name in misspelt {
        let advice = nearest(name, &known).map_or_else(
            || format!("a variable of ours is written {PREFIX}SECTION{SEPARATOR}KEY"),
            |near| format!("did you mean {near}?"),
        );
        findings.warning(name, format!("is not read; {advice}"));
    }
}

/// The variables of all keys that stand in a section, as the schema has them.
fn known() -> Vec<String> {
    let schema = Settings::schema();
    let mut known = Vec::new();
    for (section, node) in schema["properties"].as_object().into_iter().flatten() {
        let target = node["$ref"].as_str().and_then(|path| schema.pointer(path.strip_prefix('#')?));
        for key in target.and_then(|target| target["properties"].as_object()).into_iter().flat_map(|keys| keys.keys()) {
            known.push(format!("{PREFIX}{}{SEPARATOR}{}", section.to_uppercase(), key.to_uppercase()));
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_was_meant_to_be_ours_is_named() {
        let variables = [
            ("HITCHLINE_SLACK_SOCKETS", "is not read; did you mean HITCHLINE__SLACK__SOCKETS?"),
            ("HITCHLINE_STORE__DIR", "is not read; did you mean HITCHLINE__STORE__DIR?"),
            ("HITCHLINE_X", "is not read; a variable of ours is written HITCHLINE__SECTION__KEY"),
        ];
        let fine = ["HITCHLINE__SLACK__SOCKETS", "HITCHLINE_RUN_ID", "HITCHLINE_AGENT_ID", "HITCHLINE", "PATH"];
        let names = variables.iter().map(|(name, _)| *name).chain(fine);
        let environment = names.map(|name| (name.to_owned(), "1".to_owned())).collect();
        let mut findings = Findings::default();
        warn_of_misspelt(&environment, &mut findings);
        let said: Vec<_> =
            findings.warnings.iter().map(|warning| (warning.key.as_str(), warning.sentence.as_str())).collect();
        assert_eq!(said, variables);
        assert!(findings.is_ok());
    }
}
