//! The PostgreSQL wire: the lake for every client that speaks it. It only reads.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | `connection` | one connection from its first byte to its last |
//! | `startup` | who connects |
//! | `session` | settings, transaction, and the state of the lake of one connection |
//! | `statements`, `dialect`, `rewrite` | texts to what they ask for; what is refused |
//! | `simple`, `extended`, `prepared`, `parameters` | the two protocols |
//! | `answers`, `run`, `copy` | queries that run apart, and their rows on the way out |
//! | `names` | what columns are called |
//! | `catalog`, `tables`, `information`, `functions`, `privileges`, `procedures`, `text`, `to_char`, `operators` | what PostgreSQL has and clients ask for |
//! | `cancel`, `errors`, `settings` | cancel requests, SQLSTATEs, `SET` and `SHOW` |

mod answers;
mod cancel;
mod catalog;
mod connection;
mod copy;
mod dialect;
mod errors;
mod extended;
mod functions;
mod information;
mod names;
mod operators;
mod parameters;
mod prepared;
mod privileges;
mod procedures;
mod rewrite;
mod run;
mod session;
mod settings;
mod simple;
mod startup;
mod statements;
mod tables;
mod text;
mod to_char;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pgwire::api::RandomPidSecretKeyGenerator;
use pgwire::messages::PgWireBackendMessage;
use pgwire::tokio::TlsAcceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::App;
use crate::connections::Place;
use crate::error::Result;
use crate::tls::Tls;
use errors::Failure;

/// What clients take the server for.
const SERVER_VERSION: &str = "15.8";
const SERVER_VERSION_NUM: &str = "150008";
/// Before the next attempt to accept, when one failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections share.
struct Shared {
    app: Arc<App>,
    running: Arc<cancel::Running>,
    keys: RandomPidSecretKeyGenerator,
    tls: Option<TlsAcceptor>,
}

/// A server that has its port and does not answer yet.
pub(crate) struct Wire {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Wire {
    pub(crate) async fn bind(app: Arc<App>, listen: SocketAddr, tls: Option<&Tls>) -> Result<Self> {
        let has_tokens = app.access.is_needed();
        let (listener, address) = crate::tls::listen(listen, tls.is_some(), has_tokens).await?;
        let shared = Shared {
            app,
            running: Arc::default(),
            keys: RandomPidSecretKeyGenerator::default(),
            tls: tls.map(|tls| TlsAcceptor::from(tls.postgresql())),
        };
        Ok(Self {
            listener,
            address,
            shared: Arc::new(shared),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the token is cancelled; statements that run then are answered first.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, address)) => {
                    let shared = Arc::clone(&self.shared);
                    // One that cannot be told that it is too many is closed.
                    if let Some(place) = shared.app.ports.wire.take(address) {
                        connections.spawn(serve(shared, socket, place, stop.clone()));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

async fn serve(shared: Arc<Shared>, mut socket: TcpStream, place: Place, stop: CancellationToken) {
    let ports = &shared.app.ports;
    if !ports.wire.is_refused(place.peer()) {
        let address = place.peer();
        connection::serve(shared, socket, address, stop).await;
        return;
    }
    let refusal = Failure::fatal("53300", "too many clients already").hint(ports.wire.refusal());
    let refusal = PgWireBackendMessage::ErrorResponse(refusal.info().into());
    let mut bytes = BytesMut::new();
    if refusal.encode(&mut bytes).is_ok() {
        // It may have gone already.
        drop(socket.write_all(&bytes).await);
        drop(socket.shutdown().await);
    }
}
