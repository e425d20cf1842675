//! How many connections a port has. One too many is told so, and let in with its next request if there is a place by then.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum_server::accept::Accept;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections beyond the limit that are told so at the same time; those beyond these are closed without a word.
const TOLD_MAX: usize = 32;

/// The connections of one port.
#[derive(Debug)]
pub(crate) struct Connections {
    places: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    most: usize,
    /// Those that came when there was no place.
    late: Mutex<HashMap<SocketAddr, Late>>,
    refused: Counter,
}

#[derive(Debug)]
struct Late {
    _permit: OwnedSemaphorePermit,
    is_refused: bool,
}

/// One connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    permit: Option<OwnedSemaphorePermit>,
    peer: SocketAddr,
}

impl Connections {
    pub(crate) fn new(most: usize, refused: Counter) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most)),
            spare: Arc::new(Semaphore::new(TOLD_MAX)),
            most,
            late: Mutex::default(),
            refused,
        }
    }

    /// How many there are, without those that are refused.
    pub(crate) fn open(&self) -> usize {
        self.most.saturating_sub(self.places.available_permits())
    }

    /// One connection more; none that cannot even be told that there is no place.
    pub(crate) fn take(self: &Arc<Self>, peer: SocketAddr) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok();
        if permit.is_none() {
            self.refused.inc();
            let late = Late {
                _permit: Arc::clone(&self.spare).try_acquire_owned().ok()?,
                is_refused: true,
            };
            self.late().insert(peer, late);
        }
        Some(Place {
            connections: Arc::clone(self),
            permit,
            peer,
        })
    }

    /// Is there still no place for this one?
    pub(crate) fn is_refused(&self, peer: SocketAddr) -> bool {
        let mut late = self.late();
        let Some(late) = late.get_mut(&peer).filter(|late| late.is_refused) else {
            return false;
        };
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            *late = Late {
                _permit: permit,
                is_refused: false,
            };
        }
        late.is_refused
    }

    /// What one is told for which there is no place.
    pub(crate) fn refusal(&self) -> String {
        format!(
            "there are {} connections to this port already, as many as `serve.connections` allows; close \
             some, or try again later",
            self.most
        )
    }

    fn late(&self) -> MutexGuard<'_, HashMap<SocketAddr, Late>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.permit.is_none() {
            self.connections.late().remove(&self.peer);
        }
    }
}

/// Gives each connection its place.
#[derive(Debug, Clone)]
pub(crate) struct Counted(pub(crate) Arc<Connections>);

impl<S> Accept<TcpStream, S> for Counted {
    type Stream = Held;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Held, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let held = stream.peer_addr().and_then(|peer| {
            let place = self.0.take(peer);
            let place = place.ok_or_else(|| io::Error::other("too many connections"))?;
            Ok(Held {
                stream,
                _place: place,
            })
        });
        std::future::ready(held.map(|held| (held, service)))
    }
}

/// A connection with its place.
#[derive(Debug)]
pub(crate) struct Held {
    stream: TcpStream,
    _place: Place,
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn one_too_many_is_refused_until_there_is_a_place() {
        let connections = Arc::new(Connections::new(1, Counter::default()));
        let first = connections.take(peer(1)).unwrap();
        let late = connections.take(peer(2)).unwrap();
        assert!(!connections.is_refused(peer(1)));
        assert!(connections.is_refused(peer(2)));
        drop(first);
        assert!(!connections.is_refused(peer(2)));
        // It has the only place now.
        let third = connections.take(peer(3)).unwrap();
        assert!(connections.is_refused(peer(3)));
        assert_eq!((connections.open(), connections.refused.get()), (1, 2));
        drop(late);
        drop(third);
        assert_eq!(connections.open(), 0);
        assert!(connections.late().is_empty());
    }

    #[test]
    fn so_many_are_told_and_the_others_are_not() {
        let connections = Arc::new(Connections::new(0, Counter::default()));
        let port = |at: usize| peer(u16::try_from(at).unwrap());
        let told: Vec<_> = (0..TOLD_MAX)
            .map(|at| connections.take(port(at)).unwrap())
            .collect();
        assert!(connections.take(peer(9_999)).is_none());
        drop(told);
        assert!(connections.take(peer(9_999)).is_some());
    }
}
