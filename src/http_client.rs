//! The one HTTP client of the process: built once, lent, and given back last.
//!
//! It carries the Web API, `apps.connections.open`, HTTP agents and, through a `101` upgrade, the Socket Mode connection itself, so
//! that proxies, certificates and time-outs are configured in one place. `reqwest::Client` is a counted handle of its own: only
//! because every borrower holds our [`HttpClient`] and never the inner client can the owner prove that it was given back.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, Serialize};

/// How long a TCP and TLS handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept: below what proxies and Slack's edge tolerate, so that a stale one is not picked up.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// `[http_client]` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "HttpClient")]
pub struct Config {
    /// A PEM file of certificate authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// Why the client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The CA file is of no use.
    #[error("http_client.ca_file: {0}")]
    CaFile(#[from] CaFileError),
    /// The TLS stack did not start, mostly because the system has no certificate authorities.
    #[error("the HTTP client can't start: {0:?}; is the system's `ca-certificates` package installed?")]
    Tls(reqwest::Error),
}

/// Why a CA file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    /// It can't be read.
    #[error("{path} can't be read: {source}; name a PEM file that this user may read")]
    Unreadable {
        /// The file as configured.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not PEM.
    #[error("{path} is not a PEM file with certificates: {source}")]
    Format {
        /// The file as configured.
        path: PathBuf,
        /// What the TLS library said.
        source: reqwest::Error,
    },
    /// There is not one certificate in it.
    #[error("{path} holds no certificate; name a PEM file with `-----BEGIN CERTIFICATE-----` in it")]
    Empty {
        /// The file as configured.
        path: PathBuf,
    },
}

impl Config {
    /// The certificates of the CA file, where one is named.
    ///
    /// # Errors
    /// When the file is of no use.
    pub fn certificates(&self) -> Result<Vec<reqwest::Certificate>, CaFileError> {
        let Some(path) = self.ca_file.clone() else { return Ok(Vec::new()) };
        let pem = match std::fs::read(&path) {
            Ok(pem) => pem,
            Err(source) => return Err(CaFileError::Unreadable { path, source }),
        };
        match reqwest::Certificate::from_pem_bundle(&pem) {
            Ok(certificates) if certificates.is_empty() => Err(CaFileError::Empty { path }),
            Ok(certificates) => Ok(certificates),
            Err(source) => Err(CaFileError::Format { path, source }),
        }
    }
}

/// A borrowed handle on the one client; cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient(Arc<reqwest::Client>);

impl HttpClient {
    /// Starts a request. The caller sets its own time-out: a socket upgrade and a file have different ones.
    pub fn request(&self, method: Method, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.0.request(method, url)
    }

    /// Starts a `POST`.
    pub fn post(&self, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.request(Method::POST, url)
    }
}

/// The owner's side: it lends the client and, last of all, lets it go.
#[derive(Debug)]
pub struct Owner(Option<HttpClient>);

impl Owner {
    /// Builds the client. `loopback_only` is for the simulator: no proxy, and no certificate authorities needed.
    ///
    /// # Errors
    /// When the CA file is unusable or the TLS stack does not start.
    pub fn build(config: &Config, loopback_only: bool) -> Result<Self, BuildError> {
        let builder = base().connect_timeout(CONNECT_TIMEOUT).pool_idle_timeout(POOL_IDLE);
        let builder = if loopback_only {
            builder.no_proxy().tls_certs_only([])
        } else {
            builder.tls_certs_merge(config.certificates()?)
        };
        Ok(Self(Some(HttpClient(Arc::new(builder.build().map_err(BuildError::Tls)?)))))
    }

    /// Builds a client for one server behind a Unix socket; whatever host a URL names, this server is asked.
    ///
    /// # Errors
    /// When the TLS stack does not start.
    pub fn build_for_socket(path: &Path) -> Result<Self, BuildError> {
        let builder = base().no_proxy().tls_certs_only([]).unix_socket(path);
        Ok(Self(Some(HttpClient(Arc::new(builder.build().map_err(BuildError::Tls)?)))))
    }

    /// Lends the client.
    ///
    /// # Panics
    /// After [`Owner::release`]: nothing may start to speak HTTP then.
    #[expect(clippy::expect_used, reason = "borrowing after the end is a bug of the supervisor, not a state to handle")]
    pub fn lend(&self) -> HttpClient {
        self.0.clone().expect("the client is lent only before it is released")
    }

    /// Drops the client and says so in the log. Doing it twice is fine. Returns how many borrowers still held it.
    pub fn release(&mut self) -> usize {
        let Some(client) = self.0.take() else { return 0 };
        let borrowers = Arc::strong_count(&client.0) - 1;
        drop(client);
        if borrowers == 0 {
            tracing::info!("http client closed");
        } else {
            tracing::warn!(borrowers, "http client closed while something still held it");
        }
        borrowers
    }
}

/// What lies at the bottom of a failed request, such as `Connection refused (os error 111)`. The address that was asked is left out,
/// because it can hold a ticket or a token.
pub fn cause(error: reqwest::Error) -> String {
    // Only the outermost of the errors knows the address.
    let error = error.without_url();
    let mut innermost: &dyn Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[expect(clippy::disallowed_methods, reason = "the one place that builds an HTTP client")]
fn base() -> reqwest::ClientBuilder {
    // HTTP/1.1 only: an HTTP/2 connection can't be upgraded to a WebSocket the way Slack's servers expect it.
    reqwest::Client::builder()
        .user_agent(concat!("hitchline/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
}

#[cfg(test)]
mod tests {
    use super::*;

    // holds: C-3, C-4
    #[test]
    fn releasing_counts_who_still_holds_it_and_twice_is_fine() {
        let mut owner = Owner::build(&Config::default(), true).unwrap();
        let borrowed = owner.lend();
        assert_eq!(owner.release(), 1);
        assert_eq!(owner.release(), 0);
        drop(borrowed);
        let mut owner = Owner::build(&Config::default(), true).unwrap();
        drop(owner.lend());
        assert_eq!(owner.release(), 0);
    }

    // holds: T-1
    #[test]
    fn no_connection_waits_for_acknowledgements_of_the_other_side() {
        let builder = format!("{:?}", base());
        assert!(builder.contains("tcp_nodelay: true"), "{builder}");
    }

    #[test]
    fn a_missing_ca_file_is_named() {
        let config = Config { ca_file: Some("/nowhere/ca.pem".into()) };
        let error = Owner::build(&config, false).unwrap_err().to_string();
        assert!(error.starts_with("http_client.ca_file: /nowhere/ca.pem can't be read"), "{error}");
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "no PEM\n").unwrap();
        let error = Owner::build(&Config { ca_file: Some(path) }, false).unwrap_err().to_string();
        assert!(
            error.ends_with("ca.pem holds no certificate; name a PEM file with `-----BEGIN CERTIFICATE-----` in it"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_failed_request_is_explained_by_its_cause_and_never_by_its_address() {
        let mut owner = Owner::build(&Config::default(), true).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let plain = listener.local_addr().unwrap();
        let mut server = tokio::task::JoinSet::new();
        server.spawn_blocking(move || {
            let (mut connection, _) = listener.accept().unwrap();
            std::io::Write::write_all(&mut connection, b"HTTP/1.1 400 this is no TLS\r\n\r\n").unwrap();
        });
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let cases = [
            (format!("http://{nobody}/link/?ticket=secret"), "Connection refused (os error 111)"),
            (format!("https://{plain}/link/?ticket=secret"), "received corrupt message of type InvalidContentType"),
            ("http://[secret".to_owned(), "invalid IPv6 address"),
        ];
        for (url, expected) in cases {
            let error = owner.lend().request(Method::GET, &url).send().await.unwrap_err();
            assert_eq!(cause(error), expected, "{url}");
        }
        owner.release();
    }
}
