//! `/livez`, `/readyz`, `/metrics`. Loopback unless the configuration says otherwise.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::{IngestError, Result};
use crate::health::Health;
use crate::metrics::Metrics;

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// A bound port that does not answer yet.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

impl Server {
    /// Takes the port, so that a wrong address is an error at start.
    pub(crate) async fn bind(
        listen: SocketAddr,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let failed = |error| {
            IngestError::config(format!("could not listen on `{listen}` for [http]"))
                .with_source(error)
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(text))
            .with_state(Shared { health, metrics });
        Ok(Self {
            listener,
            address,
            router,
        })
    }

    /// Where it will answer.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the token is cancelled.
    pub(crate) async fn serve(self, stop: CancellationToken) -> std::io::Result<()> {
        axum::serve(self.listener, self.router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
    }
}

/// Never depends on Kafka or the storage: a restart would not help them.
async fn livez(State(shared): State<Shared>) -> Response {
    let hanging = shared.health.hanging();
    if hanging.is_empty() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    let text = format!("hanging: {}\n", hanging.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let checks = shared.health.checks();
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({ "ready": ready, "checks": checks });
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, format!("{body}\n")).into_response()
}

async fn text(State(shared): State<Shared>) -> Response {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match shared.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
