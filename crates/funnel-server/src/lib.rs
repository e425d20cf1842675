//! Serves the lake: an HTTP API, and the web page over it.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`access`] | tokens, and what each may see |
//! | [`config`] | what a server has to know |
//! | `snapshots` | sessions over a lake that goes on |
//! | `runner` | threads of their own for queries; time limit, number of queries |
//! | `http` | routes, forms of answers, errors |
//! | `wire` | the PostgreSQL wire |

pub mod access;
pub mod config;
mod error;
mod http;
mod runner;
mod snapshots;
mod wire;

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use funnel_lake::Lake;
use funnel_query::QueryOptions;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use access::{Access, NewToken};
pub use config::{Limits, ServerConfig};
pub use error::{Result, ServerError};

use access::Failures;
use runner::Runner;
use snapshots::Snapshots;
use wire::Wire;

/// What the handlers of requests share.
#[derive(Debug)]
struct App {
    access: Access,
    failures: Failures,
    limits: Limits,
    runner: Runner,
    snapshots: Arc<Snapshots>,
}

/// A server that has its ports and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    wire: Option<Wire>,
}

impl Server {
    /// Takes the ports, so that a wrong address is an error at start.
    ///
    /// # Errors
    /// An address is not one of this machine alone, or is taken.
    pub async fn bind(lake: Lake, options: QueryOptions, config: ServerConfig) -> Result<Self> {
        let (listener, address) = listen(config.listen).await?;
        let app = Arc::new(App {
            access: config.access,
            failures: Failures::default(),
            limits: config.limits,
            runner: Runner::new(&config.limits)?,
            snapshots: Arc::new(Snapshots::new(lake, options, config.refresh)),
        });
        let wire = match config.pg_listen {
            Some(listen) => Some(Wire::bind(Arc::clone(&app), listen).await?),
            None => None,
        };
        Ok(Self {
            listener,
            address,
            router: http::router(app),
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
        let service = self
            .router
            .into_make_service_with_connect_info::<SocketAddr>();
        let http = axum::serve(self.listener, service)
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future();
        let wire = async {
            if let Some(wire) = self.wire {
                wire.serve(stop).await;
            }
        };
        let (ended, ()) = tokio::join!(http, wire);
        ended
    }
}

/// Takes a port of this machine.
async fn listen(listen: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    if !listen.ip().is_loopback() {
        return Err(ServerError::new(format!(
            "the server does not listen on `{listen}`: it has no TLS of its own, so tokens and \
             answers would be readable on the way; listen on 127.0.0.1 and let a proxy on this \
             machine speak TLS to others"
        )));
    }
    let failed = |error| ServerError::new(format!("could not listen on `{listen}`")).because(error);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
