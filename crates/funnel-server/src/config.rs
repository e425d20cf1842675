//! What a server has to know.

use std::net::SocketAddr;
use std::time::Duration;

use crate::access::Access;
use crate::tls::Tls;

/// How a server is run.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where it listens; beyond this machine only with TLS and tokens ([`Server::bind`](crate::Server::bind)).
    pub listen: SocketAddr,
    /// Where it speaks PostgreSQL's protocol, by the same rule. `None`: nowhere.
    pub pg_listen: Option<SocketAddr>,
    /// Where it speaks Arrow Flight SQL, by the same rule. `None`: nowhere.
    pub flight_listen: Option<SocketAddr>,
    /// Certificate and key, if it speaks TLS; then it speaks nothing else.
    pub tls: Option<Tls>,
    /// Who may ask.
    pub access: Access,
    /// How old an answer may be: the lake is looked at again after this time.
    pub refresh: Duration,
    /// Data that ends longer ago than this is called stale.
    pub stale_after: Duration,
    /// What queries may take.
    pub limits: Limits,
}

/// What queries may take, all together and each.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Queries that run at the same time; others wait.
    pub queries: usize,
    /// How long a query may wait and run.
    pub time: Duration,
    /// Bytes of one answer of HTTP or of the PostgreSQL wire.
    pub answer_bytes: usize,
    /// Bytes of one request.
    pub request_bytes: usize,
    /// Connections to each port at the same time.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // More would share the cores: all of them later, and none sooner.
            queries: std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2)),
            time: Duration::from_secs(60),
            answer_bytes: 64 << 20,
            request_bytes: 64 << 10,
            // With those of three ports and files there are fewer than the usual 1024 descriptors.
            connections: 256,
        }
    }
}
