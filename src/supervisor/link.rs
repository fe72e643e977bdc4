//! The sockets' states, seen as one.

use futures_util::future::select_all;
use tokio::sync::watch;

use crate::admin::Readiness;
use crate::slack::{LinkState, LinkStatus};

/// All sockets together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// How many are live.
    pub(super) sockets: usize,
    /// Why the others are not, where one can say.
    pub(super) trouble: Option<String>,
    /// Slack's word for a token that it does not take.
    pub(super) refused: Option<String>,
}

/// Looks at every socket's state.
pub(super) fn view(links: &[watch::Receiver<LinkStatus>]) -> View {
    let mut view = View::default();
    for link in links {
        let status = link.borrow();
        match &status.state {
            LinkState::Live => view.sockets += 1,
            LinkState::Connecting => {}
            LinkState::Halted { reason } => view.trouble = Some(format!("slack: {reason}")),
        }
        if let Some(code) = &status.auth_refused {
            view.refused = Some(code.clone());
        }
    }
    view
}

/// What is to be said about a trouble that only a person can mend.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News<'a> {
    /// It has appeared, or become another one.
    Trouble(&'a str),
    /// It has gone.
    Mended,
}

/// Compares the trouble before with the one now.
pub(super) fn news<'a>(before: Option<&str>, now: Option<&'a str>) -> Option<News<'a>> {
    (before != now).then(|| now.map_or(News::Mended, News::Trouble))
}

/// Logs it.
pub(super) fn tell(news: &News<'_>) {
    match news {
        News::Trouble(trouble) => tracing::error!(trouble, "Slack refuses connections until a person does something"),
        News::Mended => tracing::info!("Slack takes connections again"),
    }
}

/// Waits until a socket's state changes; for ever when there is none.
pub(super) async fn changed(links: &mut [watch::Receiver<LinkStatus>]) {
    if links.is_empty() {
        return std::future::pending().await;
    }
    let changes = links.iter_mut().map(|link| {
        Box::pin(async move {
            if link.changed().await.is_err() {
                // Its socket has ended; whoever stopped it knows.
                std::future::pending::<()>().await;
            }
        })
    });
    select_all(changes).await;
}

/// Brings the probes up to date. Returns whether anything changed.
pub(super) fn update(readiness: &mut Readiness, sockets: usize, trouble: Option<String>) -> bool {
    let fresh = Readiness { sockets, trouble, ..readiness.clone() };
    let changed = *readiness != fresh;
    *readiness = fresh;
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    // holds: T-5
    #[test]
    fn a_trouble_is_said_once_when_it_appears_changes_or_goes() {
        let (off, refused) = (Some("switched off"), Some("token refused"));
        let cases = [
            (None, None, None),
            (None, off, Some(News::Trouble("switched off"))),
            (off, off, None),
            (off, refused, Some(News::Trouble("token refused"))),
            (refused, None, Some(News::Mended)),
        ];
        for (before, now, expected) in cases {
            assert_eq!(news(before, now), expected, "{before:?} {now:?}");
        }
    }
}
