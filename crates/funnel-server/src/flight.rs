//! Arrow Flight SQL: the lake as batches of Arrow, for programs that read much. It only reads.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | `access` | who calls |
//! | `service` | what is called, and who answers it |
//! | `statement`, `values` | texts to plans; values of parameters |
//! | `rows` | queries that run apart, and their rows on the way out |
//! | `metadata` | catalogs, schemas, tables, what the server can do |
//! | `status` | errors as gRPC has them |
//!
//! The server keeps nothing between two calls: a ticket and the handle of a prepared statement have the statement in them with
//! its values, and what they give is decided by the token of the call that brings them.

mod access;
mod metadata;
mod rows;
mod service;
mod statement;
mod status;
mod values;

use std::net::SocketAddr;
use std::sync::Arc;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::Router;
use axum::middleware;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::App;
use crate::acceptor::{self, CLIENT_TIME, Protocol};
use crate::connections::Connections;
use crate::error::Result;
use crate::metrics;
use crate::tls::Tls;
use service::Service;

/// A ticket has a statement and its values, each as long as they may be, and some more around them.
const MESSAGE_PARTS: usize = 4;

/// A server that has its port and does not answer yet.
#[derive(Debug)]
pub(crate) struct Flight {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    tls: Option<Tls>,
    connections: Arc<Connections>,
}

impl Flight {
    pub(crate) async fn bind(app: Arc<App>, listen: SocketAddr, tls: Option<Tls>) -> Result<Self> {
        let has_tokens = app.access.is_needed();
        let (listener, address) = crate::tls::listen(listen, tls.is_some(), has_tokens).await?;
        Ok(Self {
            listener,
            address,
            connections: Arc::clone(&app.ports.flight),
            router: router(app),
            tls,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the token is cancelled; calls that run then are answered first.
    pub(crate) async fn serve(self, stop: CancellationToken) -> std::io::Result<()> {
        let port = acceptor::Port {
            listener: self.listener,
            router: self.router,
            tls: self.tls.map(|tls| tls.flight()),
            protocol: Protocol::Http2,
            connections: self.connections,
        };
        acceptor::serve(port, stop).await
    }
}

fn router(app: Arc<App>) -> Router {
    let most = app.limits.request_bytes.saturating_mul(MESSAGE_PARTS);
    let service =
        FlightServiceServer::new(Service::new(Arc::clone(&app))).max_decoding_message_size(most);
    Routes::new(service)
        .prepare()
        .into_axum_router()
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            access::with_caller,
        ))
        .layer(RequestBodyLimitLayer::new(most))
        .layer(RequestBodyTimeoutLayer::new(CLIENT_TIME))
        .layer(middleware::from_fn_with_state(app, metrics::count_call))
}
