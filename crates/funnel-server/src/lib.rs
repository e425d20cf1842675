//! Serves the lake: an HTTP API with the web page over it, and the PostgreSQL wire.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`access`] | tokens, and what each may see |
//! | [`config`] | what a server has to know |
//! | `snapshots` | sessions over a lake that goes on |
//! | `runner` | threads of their own for queries; time limit, number of queries |
//! | `http` | routes, forms of answers, errors |
//! | `metrics` | what is counted |
//! | `wire` | the PostgreSQL wire |
//! | `tls` | certificate and key, and where a server may listen |

pub mod access;
pub mod config;
mod error;
mod http;
mod metrics;
mod runner;
mod scram;
mod snapshots;
mod tls;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use funnel_lake::Lake;
use funnel_query::QueryOptions;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use access::{Access, NewToken};
pub use config::{Limits, ServerConfig};
pub use error::{Result, ServerError};
pub use tls::Tls;

use access::Failures;
use metrics::Metrics;
use runner::Runner;
use snapshots::Snapshots;
use wire::Wire;

/// What the handlers of requests share.
#[derive(Debug)]
struct App {
    access: Access,
    failures: Failures,
    limits: Limits,
    stale_after: Duration,
    metrics: Arc<Metrics>,
    runner: Runner,
    snapshots: Arc<Snapshots>,
}

/// A server that has its ports and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    tls: Option<Tls>,
    wire: Option<Wire>,
}

impl Server {
    /// Takes the ports, so that a wrong address is an error at start.
    ///
    /// # Errors
    /// An address is taken, or others can reach it and there are no tokens, or no TLS.
    pub async fn bind(lake: Lake, options: QueryOptions, config: ServerConfig) -> Result<Self> {
        let (is_encrypted, has_tokens) = (config.tls.is_some(), config.access.is_needed());
        let (listener, address) = tls::listen(config.listen, is_encrypted, has_tokens).await?;
        let metrics = Arc::new(Metrics::new());
        let snapshots = Snapshots::new(lake, options, config.refresh, Arc::clone(&metrics));
        let app = Arc::new(App {
            access: config.access,
            failures: Failures::default(),
            limits: config.limits,
            stale_after: config.stale_after,
            runner: Runner::new(&config.limits)?,
            snapshots: Arc::new(snapshots),
            metrics,
        });
        let wire = match config.pg_listen {
            Some(listen) => Some(Wire::bind(Arc::clone(&app), listen, config.tls.as_ref()).await?),
            None => None,
        };
        Ok(Self {
            listener,
            address,
            router: http::router(app),
            tls: config.tls,
            wire,
        })
    }

    /// Where it will answer HTTP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it will speak PostgreSQL's protocol, if it does.
    #[must_use]
    pub fn pg_address(&self) -> Option<SocketAddr> {
        self.wire.as_ref().map(Wire::address)
    }

    /// The document that describes the API (OpenAPI 3.1, JSON).
    #[must_use]
    pub fn openapi() -> String {
        http::document().to_pretty_json().unwrap_or_default()
    }

    /// Answers until the token is cancelled; requests and statements that run then are answered first.
    ///
    /// # Errors
    /// The port failed.
    pub async fn serve(self, stop: CancellationToken) -> std::io::Result<()> {
        let listener = self.listener.into_std()?;
        let service = self
            .router
            .into_make_service_with_connect_info::<SocketAddr>();
        let handle = Handle::new();
        let (stopped, stopping) = (stop.clone(), handle.clone());
        let _stopping = AbortOnDropHandle::new(tokio::spawn(async move {
            stopped.cancelled().await;
            stopping.graceful_shutdown(None);
        }));
        let http = async {
            match &self.tls {
                Some(tls) => {
                    let config = RustlsConfig::from_config(tls.http());
                    let server = axum_server::from_tcp_rustls(listener, config)?
                        .map(|tls| tls.handshake_timeout(CLIENT_TIME));
                    patient(server, &handle).serve(service).await
                }
                None => {
                    let server = axum_server::from_tcp(listener)?;
                    patient(server, &handle).serve(service).await
                }
            }
        };
        let wire = async {
            if let Some(wire) = self.wire {
                wire.serve(stop).await;
            }
        };
        let (ended, ()) = tokio::join!(http, wire);
        ended
    }
}

/// A client may take so long for a TLS handshake, for the first request, and for the head of each.
const CLIENT_TIME: Duration = Duration::from_secs(10);

/// Slow clients are sent away.
fn patient<A>(
    server: axum_server::Server<SocketAddr, A>,
    handle: &Handle<SocketAddr>,
) -> axum_server::Server<SocketAddr, A> {
    let mut server = server.first_request_timeout(CLIENT_TIME).http1_only();
    let http = server.http_builder();
    http.http1().header_read_timeout(CLIENT_TIME);
    server.handle(handle.clone())
}
