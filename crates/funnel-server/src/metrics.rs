//! Every metric of this crate, declared once. Prefix `funnel_serve_`; base units.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::App;

/// What a client must read to understand the text: OpenMetrics.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Of a request that no route answers.
const NO_ROUTE: &str = "none";

/// What Flight calls its methods.
const METHODS: [&str; 10] = [
    "DoAction",
    "DoExchange",
    "DoGet",
    "DoPut",
    "GetFlightInfo",
    "GetSchema",
    "Handshake",
    "ListActions",
    "ListFlights",
    "PollFlightInfo",
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabel {
    /// As the description of the API has it, so that there are few.
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    /// Of Flight.
    method: String,
    /// Of gRPC.
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PortLabel {
    port: String,
}

type Seconds = Family<RouteLabel, Histogram, fn() -> Histogram>;

/// What is counted.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabel, Counter>,
    seconds: Seconds,
    flight_calls: Family<CallLabel, Counter>,
    unknown_callers: Counter,
    connections: Family<PortLabel, Gauge>,
    connections_max: Gauge,
    connections_refused: Family<PortLabel, Counter>,
    queries: Gauge,
    queries_max: Gauge,
    lake_version: Gauge,
}

fn register_connections(
    registry: &mut Registry,
    connections: &Family<PortLabel, Gauge>,
    max: &Gauge,
    refused: &Family<PortLabel, Counter>,
) {
    registry.register(
        "connections",
        "Connections that are open, by port",
        Clone::clone(connections),
    );
    registry.register(
        "connections_max",
        "Connections that each port may have",
        Clone::clone(max),
    );
    registry.register(
        "connections_refused",
        "Connections for which there was no place, by port",
        Clone::clone(refused),
    );
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("funnel_serve");
        let requests = Family::default();
        let seconds =
            Seconds::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 4.0, 9)));
        let flight_calls = Family::default();
        let unknown_callers = Counter::default();
        let (connections, connections_max) = (Family::default(), Gauge::default());
        let connections_refused = Family::default();
        let (queries, queries_max) = (Gauge::default(), Gauge::default());
        let lake_version = Gauge::default();
        registry.register(
            "requests",
            "Requests answered, by route and status",
            Clone::clone(&requests),
        );
        registry.register_with_unit(
            "request",
            "Time to the head of an answer",
            Unit::Seconds,
            Clone::clone(&seconds),
        );
        registry.register(
            "flight_calls",
            "Calls of Flight, by method and by the code at the head of their answer",
            Clone::clone(&flight_calls),
        );
        registry.register(
            "unknown_callers",
            "Requests and connections with a token that is not known",
            Clone::clone(&unknown_callers),
        );
        register_connections(
            &mut registry,
            &connections,
            &connections_max,
            &connections_refused,
        );
        registry.register(
            "queries_running",
            "Queries that run, of all protocols",
            Clone::clone(&queries),
        );
        registry.register(
            "queries_max",
            "Queries that may run at the same time",
            Clone::clone(&queries_max),
        );
        registry.register(
            "lake_version",
            "Version of the table of events that was answered from last",
            Clone::clone(&lake_version),
        );
        Self {
            registry,
            requests,
            seconds,
            flight_calls,
            unknown_callers,
            connections,
            connections_max,
            connections_refused,
            queries,
            queries_max,
            lake_version,
        }
    }

    /// Somebody came with a token that is not known.
    pub(crate) fn unknown_caller(&self) {
        self.unknown_callers.inc();
    }

    /// Counts the connections for which a port has no place.
    pub(crate) fn refused_by(&self, port: &str) -> Counter {
        let port = port.to_owned();
        let counter = self.connections_refused.get_or_create(&PortLabel { port });
        counter.clone()
    }

    /// A query is answered from this version of the lake.
    pub(crate) fn answered_from(&self, version: i64) {
        self.lake_version.set(version);
    }

    fn answered(&self, route: &str, status: u16, time: Duration) {
        let route = route.to_owned();
        let of_route = RouteLabel {
            route: route.clone(),
        };
        self.seconds
            .get_or_create(&of_route)
            .observe(time.as_secs_f64());
        self.requests
            .get_or_create(&RequestLabel { route, status })
            .inc();
    }
}

/// Counts the request.
pub(crate) async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let begin = Instant::now();
    let response = next.run(request).await;
    app.metrics
        .answered(&route, response.status().as_u16(), begin.elapsed());
    response
}

/// Counts the call of Flight.
pub(crate) async fn count_call(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let called = request.uri().path().rsplit('/').next().unwrap_or_default();
    let method = METHODS.iter().find(|method| **method == called);
    let method = method.copied().unwrap_or(NO_ROUTE).to_owned();
    let response = next.run(request).await;
    let code = match Status::from_header_map(response.headers()) {
        Some(status) => status.code(),
        None if response.status().is_success() => Code::Ok,
        None => Code::Unknown,
    };
    let code = format!("{code:?}");
    let calls = &app.metrics.flight_calls;
    calls.get_or_create(&CallLabel { method, code }).inc();
    response
}

/// All metrics as text.
pub(crate) async fn show(State(app): State<Arc<App>>) -> Response {
    let metrics = &app.metrics;
    let (running, most) = app.runner.places();
    let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.queries.set(signed(running));
    metrics.queries_max.set(signed(most));
    for (port, connections) in app.ports.named() {
        let port = port.to_owned();
        let open = metrics.connections.get_or_create(&PortLabel { port });
        open.set(signed(connections.open()));
    }
    metrics.connections_max.set(signed(app.limits.connections));
    let mut text = String::new();
    match encode(&mut text, &metrics.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            crate::http::problem::Problem::internal().into_response()
        }
    }
}
