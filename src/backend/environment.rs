//! What an agent's process gets to see of our environment: an allow-listed part, and what is configured for it.

use std::collections::BTreeMap;
use std::path::Path;

use super::BackendParts;
use super::error::BackendError;

/// The variable that marks every process of one run of the daemon.
pub(super) const RUN_ID: &str = "HITCHLINE_RUN_ID";

/// What every agent gets, where we have it. Variables that begin with `LC_` come on top.
const INHERITED: [&str; 20] = [
    "PATH",
    "HOME",
    "LANG",
    "TERM",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
];

/// What a backend's configuration gives to its agents' processes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    /// What agents of its kind want, whatever is configured.
    pub(super) peculiar: &'a [(&'a str, &'a str)],
    /// Variables with their values.
    pub(super) env: &'a BTreeMap<String, String>,
    /// Names of our own variables that are passed on.
    pub(super) env_pass: &'a [String],
    /// A file of `KEY=value` lines.
    pub(super) env_file: Option<&'a Path>,
}

impl Given<'_> {
    /// The whole environment of an agent's process.
    ///
    /// # Errors
    /// When the file can't be read, or has another shape.
    pub(super) async fn environment(&self, parts: &BackendParts) -> Result<BTreeMap<String, String>, BackendError> {
        let file = match self.env_file {
            Some(path) => read_file(path).await?,
            None => BTreeMap::new(),
        };
        Ok(self.over(&parts.environment, file, &parts.run_id))
    }

    /// Later sources win: ours, what agents of its kind want, the file, the passed names, the configured values.
    fn over(
        &self,
        ours: &BTreeMap<String, String>,
        file: BTreeMap<String, String>,
        run_id: &str,
    ) -> BTreeMap<String, String> {
        let inherited = |name: &str| INHERITED.contains(&name) || name.starts_with("LC_");
        let mut env: BTreeMap<String, String> = ours
            .iter()
            .filter(|(name, _)| inherited(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        env.extend(self.peculiar.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        env.extend(file);
        let passed = self.env_pass.iter().filter_map(|name| ours.get(name).map(|value| (name.clone(), value.clone())));
        env.extend(passed);
        env.extend(self.env.clone());
        env.insert(RUN_ID.to_owned(), run_id.to_owned());
        env
    }
}

/// Reads a file of `KEY=value` lines.
///
/// # Errors
/// When it can't be read, or a line is none of that shape. The text names the file and the line, never what stands there.
async fn read_file(path: &Path) -> Result<BTreeMap<String, String>, BackendError> {
    let text = tokio::fs::read_to_string(path).await.map_err(|error| {
        BackendError::Auth(format!(
            "its `env_file` {} can't be read ({error}); check its path and mode",
            path.display()
        ))
    })?;
    parse(&text).map_err(|line| {
        BackendError::Auth(format!("line {line} of its `env_file` {} is not of the shape KEY=value", path.display()))
    })
}

/// Reads `KEY=value` lines; empty ones and those that begin with `#` don't count. An error is the number of the wrong line.
fn parse(text: &str) -> Result<BTreeMap<String, String>, usize> {
    let content = |line: &str| !line.is_empty() && !line.starts_with('#');
    let numbered = text.lines().map(str::trim).enumerate().filter(|(_, line)| content(line));
    numbered.map(|(at, line)| variable(line).ok_or(at + 1)).collect()
}

fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let quoted = |mark| value.strip_prefix(mark).and_then(|rest: &str| rest.strip_suffix(mark));
    let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
    let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    named.then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_what_is_listed_or_configured_gets_through() {
        let ours =
            map(&[("PATH", "/bin"), ("LC_ALL", "C"), ("SLACK_BOT_TOKEN", "secret"), ("KEY", "ours"), ("A", "1")]);
        let env_pass = ["KEY".to_owned(), "ABSENT".to_owned()];
        let peculiar = [("D", "peculiar"), ("B", "peculiar")];
        let given = Given { peculiar: &peculiar, env: &map(&[("B", "set")]), env_pass: &env_pass, env_file: None };
        let env = given.over(&ours, map(&[("B", "file"), ("KEY", "file"), ("C", "file")]), "run");
        let expected = map(&[
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("KEY", "ours"),
            ("B", "set"),
            ("C", "file"),
            ("D", "peculiar"),
            ("HITCHLINE_RUN_ID", "run"),
        ]);
        assert_eq!(env, expected);
    }

    #[test]
    fn a_file_holds_a_variable_on_each_line() {
        let text = "# keys\n\nA=1\nexport B = two words \nC=\"x=y\"\nD='q'\nE=\n";
        assert_eq!(parse(text), Ok(map(&[("A", "1"), ("B", "two words"), ("C", "x=y"), ("D", "q"), ("E", "")])));
        assert_eq!(parse("A=1\nnonsense"), Err(2));
        assert_eq!(parse("=1"), Err(1));
    }
}
