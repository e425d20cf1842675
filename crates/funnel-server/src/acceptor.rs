//! Connections of HTTP: who is too slow is sent away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::connections::{Connections, Counted};

/// A client may take so long for a TLS handshake, for the first request, for the head of each, and between two pieces of a
/// body.
pub(crate) const CLIENT_TIME: Duration = Duration::from_secs(10);
/// A connection of HTTP/2 on which nothing comes is asked whether its client is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Calls at the same time on one connection of HTTP/2.
const CALLS_MAX: u32 = 32;

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What is answered where.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) router: Router,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) protocol: Protocol,
    pub(crate) connections: Arc<Connections>,
}

/// Answers until the token is cancelled; requests that run then are answered first.
pub(crate) async fn serve(port: Port, stop: CancellationToken) -> std::io::Result<()> {
    let listener = port.listener.into_std()?;
    let service = port
        .router
        .into_make_service_with_connect_info::<SocketAddr>();
    let (protocol, counted) = (port.protocol, Counted(port.connections));
    let handle = Handle::new();
    let stopping = handle.clone();
    let _stopping = AbortOnDropHandle::new(tokio::spawn(async move {
        stop.cancelled().await;
        stopping.graceful_shutdown(None);
    }));
    match port.tls {
        Some(tls) => {
            let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(tls))?
                .map(|tls| tls.handshake_timeout(CLIENT_TIME).acceptor(counted));
            patient(server, protocol, handle).serve(service).await
        }
        None => {
            let server = axum_server::from_tcp(listener)?.acceptor(counted);
            patient(server, protocol, handle).serve(service).await
        }
    }
}

/// Slow clients are sent away.
fn patient<A>(
    server: axum_server::Server<SocketAddr, A>,
    protocol: Protocol,
    handle: Handle<SocketAddr>,
) -> axum_server::Server<SocketAddr, A> {
    let mut server = server.first_request_timeout(CLIENT_TIME).handle(handle);
    match protocol {
        Protocol::Http1 => {
            let mut server = server.http1_only();
            let http = server.http_builder();
            http.http1().header_read_timeout(CLIENT_TIME);
            server
        }
        Protocol::Http2 => {
            server
                .http_builder()
                .http2()
                .max_concurrent_streams(CALLS_MAX)
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(CLIENT_TIME);
            server.http2_only()
        }
    }
}
