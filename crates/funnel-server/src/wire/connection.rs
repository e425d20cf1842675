//! One connection from its first byte to its last.

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use pgwire::api::{ClientInfo, PgWireConnectionState};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::server::{
    MaybeTls, PgWireMessageServerCodec, negotiate_tls, process_error, process_message,
};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::codec::Framed;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::errors::{Failure, plain};
use super::extended::Extended;
use super::prepared::Prepared;
use super::session::Session;
use super::simple::{NoCopyIn, Simple};
use super::startup::Startup;

/// A client that is not through with its start by then is sent away.
const STARTUP_TIME: Duration = Duration::from_secs(10);
/// How long a client may take to read why its connection or its statement ended.
const GOODBYE_TIME: Duration = Duration::from_secs(10);

type Socket = Framed<MaybeTls, PgWireMessageServerCodec<Prepared>>;

/// Talks with one client until either of them has enough.
pub(super) async fn serve(
    shared: Arc<Shared>,
    socket: TcpStream,
    address: SocketAddr,
    stop: CancellationToken,
) {
    let (socket, watched) = match twice(socket) {
        Ok(both) => both,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be watched");
            return;
        }
    };
    let session = Arc::new(Session::new(shared));
    let talking = talk(Arc::clone(&session), socket, stop);
    let leaving = async {
        session.let_in().await;
        gone(&watched).await;
    };
    // What the client waited for ends with it.
    let ended = tokio::select! {
        ended = talking => ended,
        () = leaving => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %address, "a connection ended");
    }
}

/// A second handle on the socket: the first is in use while a statement runs.
fn twice(socket: TcpStream) -> io::Result<(TcpStream, TcpStream)> {
    let socket = socket.into_std()?;
    let second = TcpStream::from_std(socket.try_clone()?)?;
    Ok((TcpStream::from_std(socket)?, second))
}

/// Ends when the client has closed the connection.
async fn gone(socket: &TcpStream) {
    while let Ok(ready) = socket.ready(Interest::READABLE).await {
        if ready.is_read_closed() {
            return;
        }
        // What came is for somebody else; the next change is waited for.
        let wait = || Err::<(), _>(io::Error::from(io::ErrorKind::WouldBlock));
        drop(socket.try_io(Interest::READABLE, wait));
    }
}

async fn talk(session: Arc<Session>, socket: TcpStream, stop: CancellationToken) -> io::Result<()> {
    let until = Instant::now() + STARTUP_TIME;
    let tls = session.shared.tls.clone();
    let Ok(socket) = timeout_at(until, negotiate_tls(socket, tls)).await else {
        return Ok(());
    };
    let Some(mut socket) = socket? else {
        return Ok(());
    };
    if session.shared.tls.is_some() && !socket.is_secure() {
        return goodbye(&mut socket, Failure::not_encrypted()).await;
    }
    let limit = session.shared.app.limits.request_bytes;
    let startup = Arc::new(Startup::new(Arc::clone(&session)));
    let simple = Arc::new(Simple(Arc::clone(&session)));
    let extended = Arc::new(Extended(Arc::clone(&session)));
    let copy = Arc::new(NoCopyIn);
    let cancel = Arc::clone(&session.shared.running);
    loop {
        let is_starting = matches!(
            socket.state(),
            PgWireConnectionState::AwaitingStartup
                | PgWireConnectionState::AuthenticationInProgress
        );
        let message = tokio::select! {
            biased;
            () = sleep_until(until), if is_starting => return Ok(()),
            () = stop.cancelled() => return goodbye(&mut socket, Failure::stopping()).await,
            message = next(&mut socket, limit) => message,
        };
        let message = match message {
            None | Some(Ok(PgWireFrontendMessage::Terminate(_))) => return Ok(()),
            Some(Ok(message)) => message,
            Some(Err(failure)) => return goodbye(&mut socket, failure).await,
        };
        let is_cancel = matches!(message, PgWireFrontendMessage::CancelRequest(_));
        let is_extended = message.is_extended_query();
        let done = process_message(
            message,
            &mut socket,
            Arc::clone(&startup),
            Arc::clone(&simple),
            Arc::clone(&extended),
            Arc::clone(&copy),
            Arc::clone(&cancel),
        );
        let done = AssertUnwindSafe(done).catch_unwind().await;
        if is_cancel {
            return Ok(());
        }
        let done = done.unwrap_or_else(|_| {
            tracing::error!("a message panicked");
            Err(Failure::internal().into())
        });
        if let Err(error) = done
            && !answered(&mut socket, error, is_starting, is_extended).await?
        {
            return Ok(());
        }
    }
}

/// Tells the client what went wrong. Does the connection go on?
async fn answered(
    socket: &mut Socket,
    error: PgWireError,
    is_starting: bool,
    is_extended: bool,
) -> io::Result<bool> {
    if let PgWireError::IoError(error) = error {
        return Err(error);
    }
    let info = ErrorInfo::from(plain(error));
    let fatal = info.is_fatal();
    if is_starting && !fatal {
        let message = info.message;
        goodbye(socket, Failure::fatal("08P01", message)).await?;
        return Ok(false);
    }
    let error = PgWireError::UserError(Box::new(info));
    let telling = process_error(socket, error, is_extended);
    match timeout(GOODBYE_TIME, telling).await {
        Ok(told) => told.map(|()| !fatal),
        Err(_) => Ok(false),
    }
}

/// The last that the client hears.
async fn goodbye(socket: &mut Socket, failure: Failure) -> io::Result<()> {
    let failure = PgWireBackendMessage::ErrorResponse(failure.info().into());
    let telling = async {
        socket.send(failure).await?;
        socket.close().await
    };
    timeout(GOODBYE_TIME, telling).await.unwrap_or(Ok(()))
}

/// The next message; none at the end. One that is longer than `limit`, or none of the protocol, is an error that ends
/// the connection, since nobody knows where the next one begins.
async fn next(socket: &mut Socket, limit: usize) -> Option<Result<PgWireFrontendMessage, Failure>> {
    let next = futures::future::poll_fn(|cx| match socket.poll_next_unpin(cx) {
        Poll::Pending if socket.read_buffer().len() > limit => {
            Poll::Ready(Some(Err(PgWireError::MessageTooLarge(limit, limit))))
        }
        polled => polled,
    });
    let next: Option<PgWireResult<_>> = match AssertUnwindSafe(next).catch_unwind().await {
        Ok(next) => next,
        Err(_) => {
            return Some(Err(Failure::fatal(
                "08P01",
                "a message that is none of the protocol",
            )));
        }
    };
    Some(next?.map_err(|error| match error {
        PgWireError::MessageTooLarge(..) => Failure::fatal(
            "54000",
            format!("a message has more than {limit} bytes, which is the limit of a statement"),
        ),
        PgWireError::IoError(error) => Failure::fatal("08006", error.to_string()),
        error => Failure::fatal(
            "08P01",
            format!("a message that is none of the protocol: {error}"),
        ),
    }))
}
