//! The session room's rules, from the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::backend;
use crate::session::FilePolicy;
use crate::session::config::Route as ConfiguredRoute;
use crate::session::policy::{BackendPolicy, Policy, Route};
use crate::settings::Settings;

/// The rules, checked before.
pub(super) fn from(settings: &Settings, environment: &BTreeMap<String, String>) -> Policy {
    let sessions = &settings.sessions;
    let home = environment.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let backend = |(name, config): (&String, &backend::config::Config)| {
        let settings = BackendPolicy {
            working_dir: config.working_dir().map_or_else(|| home.clone(), Into::into),
            create_timeout: config.create_timeout().unwrap_or(sessions.create_timeout),
        };
        (name.clone(), settings)
    };
    let route = |route: &ConfiguredRoute| {
        let choice = Route { backend: route.backend.clone(), working_dir: route.working_dir.clone() };
        (route.channel.as_str().into(), choice)
    };
    Policy {
        backend: sessions.backend.clone(),
        auto_session: sessions.auto_session,
        require_mention: sessions.require_mention,
        max_per_user: Some(sessions.max_per_user).filter(|max| *max > 0),
        idle_expiry: Some(sessions.idle_expiry).filter(|expiry| !expiry.is_zero()),
        on_interrupt: sessions.on_interrupt,
        when_busy: sessions.when_busy,
        history_on_loss: sessions.history_on_loss,
        show_usage: sessions.show_usage,
        inactivity_timeout: sessions.inactivity_timeout,
        turn_timeout: sessions.turn_timeout,
        approval_timeout: sessions.approval_timeout,
        files: FilePolicy { dir: files_dir(settings), largest: sessions.max_file_size },
        command: settings.slack.command.clone(),
        backends: settings.backends.iter().map(backend).collect(),
        routes: settings.routes.iter().map(route).collect(),
        roots: settings.access.roots.clone(),
        home,
    }
}

/// Where files are kept: beside the store, for what lies there is as private.
pub(super) fn files_dir(settings: &Settings) -> PathBuf {
    settings.store.dir.join("files")
}
