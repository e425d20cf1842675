//! Who calls: the holder of a token, or anybody of this machine where there are no tokens.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use tonic::Status;

use crate::App;
use crate::access::Caller;
use crate::http::is_local_name;

/// The only call that may bring a name and a secret instead of a token.
const HANDSHAKE: &str = "/arrow.flight.protocol.FlightService/Handshake";

/// Drivers in Go write no padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the caller sent as a token, or as the secret of a handshake: it is what further calls bring.
#[derive(Clone)]
pub(super) struct Secret(pub(super) String);

/// Lets in who is known.
pub(super) async fn with_caller(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    match caller(&app, address, &request) {
        Ok((caller, secret)) => {
            let extensions = request.extensions_mut();
            extensions.insert(caller);
            extensions.insert(Secret(secret));
            next.run(request).await
        }
        Err(status) => status.into_http::<Body>(),
    }
}

fn caller(app: &App, address: SocketAddr, request: &Request) -> Result<(Caller, String), Status> {
    let name = request.uri().authority();
    if !app.access.is_needed() && !name.is_some_and(is_local_name) {
        return Err(Status::permission_denied(
            "without tokens the server answers to `localhost` and addresses of this machine only; set \
             `serve.tokens`",
        ));
    }
    if app.ports.flight.is_refused(address) {
        return Err(Status::unavailable(app.ports.flight.refusal()));
    }
    let address = address.ip();
    if app.failures.is_refused(address) {
        return Err(Status::resource_exhausted(
            "too many calls with unknown tokens came from your address; wait a minute",
        ));
    }
    let authorization = authorization(request.headers());
    let (scheme, sent) = authorization
        .and_then(|value| value.split_once(' '))
        .unwrap_or_default();
    let is_basic = scheme.eq_ignore_ascii_case("basic") && request.uri().path() == HANDSHAKE;
    let known = if is_basic {
        let (name, secret) = basic(sent).unwrap_or_default();
        let caller = app.access.caller_by_name(&name, Some(&secret));
        caller.map(|caller| (caller, secret))
    } else {
        let caller = app.access.caller(authorization);
        caller.map(|caller| (caller, sent.trim().to_owned()))
    };
    known.ok_or_else(|| {
        if authorization.is_some() {
            app.failures.count(address);
            app.metrics.unknown_caller();
        }
        Status::unauthenticated(
            "send a token that this server knows as `authorization: Bearer TOKEN`, or in a handshake its \
             name as the user and the token as the password",
        )
    })
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

/// A name and a secret (RFC 7617).
fn basic(sent: &str) -> Option<(String, String)> {
    let bytes = BASE64.decode(sent.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, secret) = text.split_once(':')?;
    Some((name.to_owned(), secret.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_secret_are_read_and_nothing_else() {
        let pair = Some(("ann".to_owned(), "fnl_1:2".to_owned()));
        assert_eq!(basic("YW5uOmZubF8xOjI="), pair);
        assert_eq!(basic("YW5uOmZubF8xOjI"), pair);
        for wrong in ["", "ann:fnl_1", "YW5u", "/////w=="] {
            assert_eq!(basic(wrong), None, "{wrong}");
        }
    }
}
