//! Where settings come from, lowest first: built-in defaults, the file, the environment, the flags.

use std::path::{Path, PathBuf};

use super::layer::{self, Layer};
use super::{Environment, Findings, Settings, paths, secrets, shape, typed, variables};
use crate::telemetry::Format;

/// Names the lowest layer in what is said about its values.
const DEFAULTS: &str = "the defaults";

/// What the command line says about settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// The configuration file; without it the usual places are looked at.
    pub config: Option<PathBuf>,
    /// Whether the built-in Slack server stands in for Slack.
    pub simulator: bool,
    /// Over `log.level`.
    pub log_level: Option<String>,
    /// Over `log.format`.
    pub log_format: Option<Format>,
}

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    /// The settings; what could not be used stands at its default.
    pub settings: Settings,
    /// The file that was used.
    pub file: Option<PathBuf>,
    /// Whether nobody named a state directory for the simulator: then each run makes one of its own below `store.dir`.
    pub fresh_state: bool,
    /// What was found on the way.
    pub findings: Findings,
}

impl Loaded {
    /// Reads the files of secrets into the settings. Not everybody who asks for a setting may read them, or needs to.
    pub fn read_secrets(&mut self) {
        secrets::read(&mut self.settings, &mut self.findings);
    }
}

/// Why there are no settings at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("{}", secrets::cannot_read(path, source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path}, line {line}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// The simulator was asked for, and a real token is there: which one is meant is for a person to say.
    #[error(
        "{key} is set (in {place}), but `--simulator` talks to no real Slack; take the token away, or `--simulator`"
    )]
    SimulatorWithToken {
        /// The token's key.
        key: String,
        /// The file or variable.
        place: String,
    },
    /// The layers can't be put together.
    #[error("the configuration can't be put together: {0}")]
    Merge(#[from] config::ConfigError),
}

/// Reads every source but the files of secrets.
///
/// # Errors
/// Only when there is nothing to go on with; everything else is in [`Loaded::findings`].
pub fn load(flags: &Flags, environment: &Environment) -> Result<Loaded, LoadError> {
    let file = flags.config.clone().or_else(|| usual_places(environment).into_iter().find(|path| path.exists()));
    let file = file.map(|path| std::path::absolute(&path).unwrap_or(path));
    let mut findings = Findings::default();
    let mut layers = vec![
        defaults(flags.simulator, environment),
        if flags.simulator { simulator_defaults() } else { Layer::default() },
        file.as_deref().map(read_file).transpose()?.unwrap_or_default(),
        Layer::from_known_names(environment),
        Layer::from_environment(environment),
        from_flags(flags),
    ];
    variables::warn_of_misspelt(environment, &mut findings);
    secrets::settle_twins(&mut layers, &mut findings);
    let mut values = layer::merge(layers)?;
    if let Some((key, place)) = secrets::first_slack_secret(&values).filter(|_| flags.simulator) {
        return Err(LoadError::SimulatorWithToken { key, place });
    }
    if let Some(file) = &file {
        secrets::warn_of_open_file(file, &values, &mut findings);
    }
    let base = paths::Base { file: file.as_deref(), home: home(environment) };
    paths::resolve(base, &mut values, &mut findings);
    shape::conform(&mut values, &mut findings);
    let fresh_state = flags.simulator && layer::origin(&values, "store", "dir") == Some(DEFAULTS);
    let settings = typed::settings(values, &mut findings);
    Ok(Loaded { settings, file, fresh_state, findings })
}

/// The places where a configuration file is looked for, first one first. Only one is used.
pub fn usual_places(environment: &Environment) -> Vec<PathBuf> {
    let own = variable(environment, "XDG_CONFIG_HOME").map(PathBuf::from);
    let own = own.or_else(|| Some(Path::new(home(environment)?).join(".config")));
    let own = own.map(|folder| folder.join("hitchline/hitchline.toml"));
    own.into_iter().chain([PathBuf::from("/etc/hitchline/hitchline.toml")]).collect()
}

/// What holds when nobody says otherwise.
fn defaults(simulator: bool, environment: &Environment) -> Layer {
    let text = toml::to_string(&Settings::default()).unwrap_or_default();
    let mut layer = Layer::from_toml(&text, DEFAULTS).unwrap_or_default();
    if let Some((dir, origin)) = state_dir(simulator, environment) {
        layer.set(["store", "dir"], &dir.to_string_lossy(), origin);
    }
    layer
}

/// Nobody is a stranger in the simulator, and a port that is free is good enough.
fn simulator_defaults() -> Layer {
    Layer::from_toml("access.users = ['*']\nhttp.listen = '127.0.0.1:0'", DEFAULTS).unwrap_or_default()
}

/// The state directory when none is configured, and who names it. The simulator has one of its own, so that trying something out never touches what
/// belongs to a real workspace.
fn state_dir(simulator: bool, environment: &Environment) -> Option<(PathBuf, &'static str)> {
    const GIVEN: &str = "STATE_DIRECTORY";
    let name = if simulator { "hitchline-simulator" } else { "hitchline" };
    // systemd gives a colon-separated list when the unit names several.
    let given = variable(environment, GIVEN).and_then(|list| list.split(':').next());
    if let Some(given) = given {
        return Some((if simulator { Path::new(given).join("simulator") } else { PathBuf::from(given) }, GIVEN));
    }
    let states = variable(environment, "XDG_STATE_HOME").map(PathBuf::from);
    let states = states.or_else(|| Some(Path::new(home(environment)?).join(".local/state")));
    states.map(|folder| (folder.join(name), DEFAULTS))
}

fn read_file(path: &Path) -> Result<Layer, LoadError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
    Layer::from_toml(&text, &path.to_string_lossy()).map_err(|error| LoadError::Syntax {
        path: path.to_owned(),
        line: error.line,
        message: error.message,
    })
}

fn from_flags(flags: &Flags) -> Layer {
    let mut layer = Layer::default();
    if let Some(level) = &flags.log_level {
        layer.set(["log", "level"], level, "--log-level");
    }
    if let Some(format) = flags.log_format {
        let name = match format {
            Format::Pretty => "pretty",
            Format::Json => "json",
        };
        layer.set(["log", "format"], name, "--log-format");
    }
    layer
}

fn home(environment: &Environment) -> Option<&str> {
    variable(environment, "HOME")
}

/// A variable that is set to something.
fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
}
