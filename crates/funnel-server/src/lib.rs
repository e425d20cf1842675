//! Serves the lake: an HTTP API with the web page over it, the PostgreSQL wire, and Arrow Flight SQL.
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
//! | `flight` | Arrow Flight SQL |
//! | `failure`, `running`, `placeholders`, `read_only` | what both of them need of a statement |
//! | `acceptor`, `connections`, `tls` | connections of HTTP, and how many each port has; certificate and key, and where a server may listen |

mod acceptor;
pub mod access;
pub mod config;
mod connections;
mod error;
mod failure;
mod flight;
mod http;
mod metrics;
mod placeholders;
mod read_only;
mod runner;
mod running;
mod scram;
mod snapshots;
mod tls;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use funnel_lake::Lake;
use funnel_query::QueryOptions;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use access::{Access, NewToken};
pub use config::{Limits, ServerConfig};
pub use error::{Result, ServerError};
pub use tls::Tls;

use acceptor::Protocol;
use access::Failures;
use connections::Connections;
use flight::Flight;
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
    ports: Ports,
    snapshots: Arc<Snapshots>,
}

/// The connections of each port.
#[derive(Debug)]
struct Ports {
    http: Arc<Connections>,
    wire: Arc<Connections>,
    flight: Arc<Connections>,
}

impl Ports {
    fn new(limits: &Limits, metrics: &Metrics) -> Self {
        let port = |name| {
            Arc::new(Connections::new(
                limits.connections,
                metrics.refused_by(name),
            ))
        };
        Self {
            http: port("http"),
            wire: port("postgresql"),
            flight: port("flight"),
        }
    }

    fn named(&self) -> [(&'static str, &Connections); 3] {
        [
            ("http", &self.http),
            ("postgresql", &self.wire),
            ("flight", &self.flight),
        ]
    }
}

/// A server that has its ports and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    connections: Arc<Connections>,
    tls: Option<Tls>,
    wire: Option<Wire>,
    flight: Option<Flight>,
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
        let ports = Ports::new(&config.limits, &metrics);
        let snapshots = Snapshots::new(lake, options, config.refresh, Arc::clone(&metrics));
        let app = Arc::new(App {
            access: config.access,
            failures: Failures::default(),
            limits: config.limits,
            stale_after: config.stale_after,
            runner: Runner::new(&config.limits)?,
            ports,
            snapshots: Arc::new(snapshots),
            metrics,
        });
        let wire = match config.pg_listen {
            Some(listen) => Some(Wire::bind(Arc::clone(&app), listen, config.tls.as_ref()).await?),
            None => None,
        };
        let flight = match config.flight_listen {
            Some(listen) => Some(Flight::bind(Arc::clone(&app), listen, config.tls.clone()).await?),
            None => None,
        };
        Ok(Self {
            listener,
            address,
            connections: Arc::clone(&app.ports.http),
            router: http::router(app),
            tls: config.tls,
            wire,
            flight,
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

    /// Where it will speak Arrow Flight SQL, if it does.
    #[must_use]
    pub fn flight_address(&self) -> Option<SocketAddr> {
        self.flight.as_ref().map(Flight::address)
    }

    /// The document that describes the API (OpenAPI 3.1, JSON).
    #[must_use]
    pub fn openapi() -> String {
        http::document().to_pretty_json().unwrap_or_default()
    }

    /// Answers until the token is cancelled; requests and statements that run then are answered first.
    ///
    /// # Errors
    /// A port failed.
    pub async fn serve(self, stop: CancellationToken) -> std::io::Result<()> {
        let tls = self.tls.map(|tls| tls.http());
        let port = acceptor::Port {
            listener: self.listener,
            router: self.router,
            tls,
            protocol: Protocol::Http1,
            connections: self.connections,
        };
        let http = acceptor::serve(port, stop.clone());
        let flight = async {
            match self.flight {
                Some(flight) => flight.serve(stop.clone()).await,
                None => Ok(()),
            }
        };
        let wire = async {
            if let Some(wire) = self.wire {
                wire.serve(stop.clone()).await;
            }
        };
        let (http, flight, ()) = tokio::join!(http, flight, wire);
        http.and(flight)
    }
}
