//! The listener and its connections.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, http::StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::core::{Core, lock};
use super::request::{Door, admitted};
use super::{control, files, link, page, respond, web_api};

/// The tasks of one simulator, which end with it.
#[derive(Debug, Clone)]
pub(super) struct Tasks(Arc<Mutex<Option<JoinSet<()>>>>);

impl Tasks {
    /// No tasks yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(JoinSet::new()))))
    }

    /// Runs a task until it ends or the simulator does; at the end of the simulator the task is dropped.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = lock(&self.0).as_mut() {
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }

    /// Takes all tasks out, to wait for them or to abort them. None can be added any more.
    pub(super) fn take(&self) -> JoinSet<()> {
        lock(&self.0).take().unwrap_or_default()
    }
}

/// Ends the TCP connection a request came on, before it is answered.
#[derive(Debug, Clone)]
pub(super) struct CutLine(CancellationToken);

impl CutLine {
    /// Cuts, and never returns: there is nobody left to answer.
    pub(super) async fn cut(&self) -> Infallible {
        self.0.cancel();
        std::future::pending().await
    }
}

/// Accepts connections, for ever.
pub(super) async fn accept(listener: TcpListener, core: Arc<Core>, tasks: Tasks) {
    let router = router(&core, &tasks);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => tasks.spawn(connection(stream, router.clone(), core.stop.clone())),
            Err(error) => {
                tracing::warn!(%error, "The simulator could not accept a connection");
                // Out of descriptors, most likely: without a pause this would spin.
                core.clock.sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "Could not set TCP_NODELAY");
    }
    let line = CutLine(CancellationToken::new());
    let service = TowerToHyperService::new(router.layer(Extension(line.clone())));
    let serving =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        served = serving.as_mut() => if let Err(error) = served {
            tracing::debug!(%error, "A connection to the simulator ended early");
        },
        () = line.0.cancelled() => {}
        () = stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
}

fn router(core: &Arc<Core>, tasks: &Tasks) -> Router {
    let slack = Router::new()
        .route("/api/{method}", any(web_api::call))
        .route("/link/", get(link::upgrade))
        .route("/commands/{team}/{number}/{secret}", post(respond::respond))
        .route("/actions/{team}/{number}/{secret}", post(respond::respond))
        .route("/upload/v1/{secret}", post(files::upload).layer(DefaultBodyLimit::max(files::LARGEST + 4_096)))
        .route("/files-pri/{key}/{name}", get(files::private))
        .route("/files-pri/{key}/download/{name}", get(files::private))
        .layer(middleware::from_fn(async |request, next| admit(Door::Slack, request, next).await));
    let control = Router::new()
        .merge(control::routes())
        .merge(page::routes())
        .layer(middleware::from_fn(async |request, next| admit(Door::Control, request, next).await));
    slack.merge(control).layer(Extension(tasks.clone())).with_state(Arc::clone(core))
}

async fn admit(door: Door, request: Request, next: Next) -> Response {
    if admitted(door, request.method(), request.headers()) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "only pages of this server, under its loopback address, may do this").into_response()
}
