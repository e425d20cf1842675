//! Routes, and what every request goes through: an id, a token, headers.

mod answer;
mod asked;
mod comparison;
mod extract;
mod funnels;
mod page;
mod people;
pub(crate) mod problem;
mod queries;
mod question;
mod sql;
mod status;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::acceptor::CLIENT_TIME;
use crate::metrics;
use problem::{Problem, REQUEST_ID};

/// No script but our own files, nothing from elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The page at `/`, the API below `/api/v1`.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (api, document) = api().split_for_parts();
    let document = Arc::new(document);
    let api = api
        .route(
            "/api/v1/openapi.json",
            get(move || async move { Json((*document).clone()) }),
        )
        .route("/metrics", get(metrics::show))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            with_caller,
        ));
    let limit = app.limits.request_bytes;
    api.route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(status::ready))
        .route("/", get(page::index))
        .route("/{*path}", get(page::other))
        .layer(CompressionLayer::new())
        .layer(RequestBodyLimitLayer::new(limit))
        .layer(RequestBodyTimeoutLayer::new(CLIENT_TIME))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), with_place))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            metrics::count,
        ))
        .layer(middleware::from_fn(with_headers))
        .with_state(app)
}

/// The description of the API.
pub(crate) fn document() -> OpenApi {
    api().split_for_parts().1
}

fn api() -> OpenApiRouter<Arc<App>> {
    let info = InfoBuilder::new()
        .title("Engagement funnel")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Funnels over the lake: counts, losses and their reasons, the people behind them. Errors \
             are `application/problem+json`. Times are RFC 3339 in UTC.",
        ))
        .build();
    let mut components = Components::new();
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
    );
    let document = OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .build();
    OpenApiRouter::with_openapi(document)
        .routes(routes!(status::status))
        .routes(routes!(funnels::list))
        .routes(routes!(funnels::report))
        .routes(routes!(comparison::comparison))
        .routes(routes!(funnels::availability))
        .routes(routes!(sql::statement))
        .routes(routes!(sql::plan))
        .routes(routes!(people::keys))
        .routes(routes!(people::losses))
        .routes(routes!(people::trend))
        .routes(routes!(people::explain))
        .routes(routes!(queries::list))
        .routes(routes!(queries::run))
        .routes(routes!(queries::sql))
}

/// Names the request, and says of every answer what a browser may do with it.
async fn with_headers(request: Request, next: Next) -> Response {
    let id = uuid::Uuid::now_v7().to_string();
    let mut response = REQUEST_ID.scope(id.clone(), next.run(request)).await;
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", id);
    }
    response
}

/// What is answered on any connection: who watches the server must not take a full one for a dead one.
const WATCHED: [&str; 3] = ["/livez", "/metrics", "/readyz"];

/// Answers on connections for which there is a place.
async fn with_place(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let ports = &app.ports;
    if WATCHED.contains(&request.uri().path()) || !ports.http.is_refused(address) {
        return next.run(request).await;
    }
    let mut response = Problem::busy(ports.http.refusal()).into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// Lets in who is known.
async fn with_caller(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    if !app.access.is_needed() && !is_local(request.headers()) {
        return Problem::foreign_host().into_response();
    }
    if app.failures.is_refused(address.ip()) {
        return Problem::too_many_failures().into_response();
    }
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let Some(caller) = app.access.caller(authorization) else {
        if authorization.is_some() {
            app.failures.count(address.ip());
            app.metrics.unknown_caller();
        }
        return Problem::unknown_caller().into_response();
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Was this machine asked by its own name? A page from elsewhere whose name was made to lead here asks by that name.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    host.as_ref().is_some_and(is_local_name)
}

/// Is it a name or an address of this machine?
pub(crate) fn is_local_name(host: &Authority) -> bool {
    let name = host.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Does the asker have the answer with this tag?
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH);
    let known = known.and_then(|value| value.to_str().ok());
    known.is_some_and(|known| {
        known.split(',').any(|known| {
            let known = known.trim();
            known == "*" || known.trim_start_matches("W/") == tag.trim_start_matches("W/")
        })
    })
}
