//! Serves the lake: an HTTP API, and the web page over it.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`access`] | tokens, and what each may see |
//! | [`config`] | what a server has to know |
//! | `snapshots` | sessions over a lake that goes on |
//! | `runner` | threads of their own for queries; time limit, number of queries |
//! | `http` | routes, forms of answers, errors |

pub mod access;
pub mod config;
mod error;
mod http;
mod runner;
mod snapshots;

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

/// What the handlers of requests share.
#[derive(Debug)]
struct App {
    access: Access,
    failures: Failures,
    limits: Limits,
    runner: Runner,
    snapshots: Arc<Snapshots>,
}

/// A server that has its port and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

impl Server {
    /// Takes the port, so that a wrong address is an error at start.
    ///
    /// # Errors
    /// The address is not one of this machine alone, or is taken.
    pub async fn bind(lake: Lake, options: QueryOptions, config: ServerConfig) -> Result<Self> {
        let listen = config.listen;
        if !listen.ip().is_loopback() {
            return Err(ServerError::new(format!(
                "the server does not listen on `{listen}`: it has no TLS of its own, so tokens and \
                 answers would be readable on the way; listen on 127.0.0.1 and let a proxy on this \
                 machine speak TLS to others"
            )));
        }
        let failed =
            |error| ServerError::new(format!("could not listen on `{listen}`")).because(error);
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let app = App {
            access: config.access,
            failures: Failures::default(),
            limits: config.limits,
            runner: Runner::new(&config.limits)?,
            snapshots: Arc::new(Snapshots::new(lake, options, config.refresh)),
        };
        Ok(Self {
            listener,
            address,
            router: http::router(Arc::new(app)),
        })
    }

    /// Where it will answer.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The document that describes the API (OpenAPI 3.1, JSON).
    #[must_use]
    pub fn openapi() -> String {
        http::document().to_pretty_json().unwrap_or_default()
    }

    /// Answers until the token is cancelled; requests that run then are answered first.
    ///
    /// # Errors
    /// The port failed.
    pub async fn serve(self, stop: CancellationToken) -> std::io::Result<()> {
        let service = self
            .router
            .into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(self.listener, service)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
    }
}
