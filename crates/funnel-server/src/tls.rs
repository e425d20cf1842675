//! Certificate and key, and where a server may listen.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use crate::error::{Result, ServerError};

/// What a server proves itself with, read and checked.
#[derive(Debug, Clone)]
pub struct Tls {
    config: ServerConfig,
}

/// The name of HTTP/1.1 in a TLS handshake.
const HTTP: &[u8] = b"http/1.1";
/// The name of HTTP/2 in a TLS handshake.
const HTTP2: &[u8] = b"h2";
/// The name of PostgreSQL's protocol in a TLS handshake.
const POSTGRESQL: &[u8] = b"postgresql";

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its key; both PEM.
    ///
    /// # Errors
    /// A file cannot be read or has no such thing in it, or the key does not belong to the certificate.
    pub fn from_files(certificates: &Path, key: &Path) -> Result<Self> {
        let failed = |what: &str, path: &Path| {
            ServerError::new(format!("could not use {what} `{}`", path.display()))
        };
        let not_certificates = |error: rustls::pki_types::pem::Error| {
            failed("the certificates of `serve.tls_cert`,", certificates).because(error)
        };
        let chain: Vec<_> = CertificateDer::pem_file_iter(certificates)
            .map_err(not_certificates)?
            .collect::<Result<_, _>>()
            .map_err(not_certificates)?;
        if chain.is_empty() {
            return Err(
                failed("the certificates of `serve.tls_cert`,", certificates)
                    .because("it has no `BEGIN CERTIFICATE`"),
            );
        }
        let secret = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| failed("the key of `serve.tls_key`,", key).because(error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed("the certificates in", certificates).because(error))?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|error| {
                failed("this key with the certificates of `serve.tls_cert`:", key).because(error)
            })?;
        Ok(Self { config })
    }

    pub(crate) fn http(&self) -> Arc<ServerConfig> {
        self.named(HTTP)
    }

    pub(crate) fn postgresql(&self) -> Arc<ServerConfig> {
        self.named(POSTGRESQL)
    }

    pub(crate) fn flight(&self) -> Arc<ServerConfig> {
        self.named(HTTP2)
    }

    fn named(&self, protocol: &[u8]) -> Arc<ServerConfig> {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }
}

/// Takes a port. Beyond this machine only with TLS and tokens: neither answers nor passwords may be read on
/// the way, and nobody who is not known may ask.
pub(crate) async fn listen(
    listen: SocketAddr,
    is_encrypted: bool,
    has_tokens: bool,
) -> Result<(TcpListener, SocketAddr)> {
    let missing = match (is_encrypted, has_tokens) {
        (true, true) => None,
        (false, true) => Some("TLS: set `serve.tls_cert` and `serve.tls_key`"),
        (true, false) => {
            Some("tokens: set `serve.tokens`; `funnel serve --new-token NAME` makes one")
        }
        (false, false) => Some(
            "TLS and tokens: set `serve.tls_cert`, `serve.tls_key` and `serve.tokens`; \
             `funnel serve --new-token NAME` makes a token",
        ),
    };
    if !listen.ip().is_loopback()
        && let Some(missing) = missing
    {
        return Err(ServerError::new(format!(
            "the server does not listen on `{listen}`, which others can reach, without {missing}; or \
             listen on 127.0.0.1"
        )));
    }
    let failed = |error| ServerError::new(format!("could not listen on `{listen}`")).because(error);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
