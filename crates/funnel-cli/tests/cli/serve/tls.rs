//! Who may listen where, and what is said over TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::sql::client::FlightSqlServiceClient;
use funnel_server::NewToken;
use futures::TryStreamExt;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use super::super::ingest::wait_for_line;
use super::super::{empty_dir, funnel, run};
use super::client::Answer;
use super::{command, lake};

const TLS: &str = "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"";
/// Longer than the server waits for any client.
const PATIENCE: Duration = Duration::from_secs(60);
const TOKENS: &str = "tokens = \"tokens.toml\"";

/// A folder with certificate, key and file of tokens, and what a client needs of them.
struct Place {
    dir: TempDir,
    certificate: String,
    token: NewToken,
    client: Arc<ClientConfig>,
}

impl Place {
    fn new() -> Self {
        let dir = empty_dir();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("cert.pem", &cert.pem());
        write("key.pem", &signing_key.serialize_pem());
        let token = NewToken::random();
        let tokens = format!(
            "[[token]]\nname = \"ann\"\nhash = \"{}\"\nrole = \"operator\"\n",
            token.hash
        );
        write("tokens.toml", &tokens);
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            dir,
            certificate: cert.pem(),
            token,
            client: Arc::new(client),
        }
    }

    /// Writes the configuration with these lines of `[serve]`.
    fn configure(&self, serve: &str) -> &Path {
        let text = format!("[lake]\nurl = \"{}\"\n[serve]\n{serve}\n", lake().display());
        std::fs::write(self.dir.path().join("funnel.toml"), text).unwrap();
        self.dir.path()
    }

    /// What a server says that does not start.
    fn refusal(&self, serve: &str) -> String {
        let dir = self.configure(serve);
        let (_, said) = run(funnel(dir).args(["serve", "--config", "funnel.toml"]), 78);
        said
    }

    fn start(&self, serve: &str) -> Service {
        let dir = self.configure(serve);
        let mut child = command(dir, &["serve", "--config", "funnel.toml"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let started = wait_for_line(&mut child, "Arrow Flight SQL");
        let port = |scheme: &str| {
            let (_, rest) = started.split_once(scheme).unwrap();
            let address: SocketAddr = rest.split(['/', ' ']).next().unwrap().parse().unwrap();
            SocketAddr::from(([127, 0, 0, 1], address.port()))
        };
        Service {
            http: port("https://"),
            pg: port("postgresql://"),
            flight: port("grpc+tls://"),
            child,
        }
    }

    /// The answer to a request over TLS.
    fn get(&self, at: SocketAddr, path: &str, token: &str) -> Answer {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let mut socket = StreamOwned::new(connection, TcpStream::connect(at).unwrap());
        let request = format!(
            "GET {path} HTTP/1.0\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        Answer::parse(&answer)
    }
}

/// A server that ends with the test.
struct Service {
    http: SocketAddr,
    pg: SocketAddr,
    flight: SocketAddr,
    child: Child,
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn others_are_let_in_only_with_tls_and_tokens() {
    let place = Place::new();
    for beyond in ["listen", "pg_listen", "flight_listen"] {
        for (more, missing) in [
            (String::new(), "TLS and tokens"),
            (TOKENS.to_owned(), "without TLS: set `serve.tls_cert`"),
            (TLS.to_owned(), "without tokens: set `serve.tokens`"),
        ] {
            let others = ["listen", "pg_listen"].iter().filter(|key| **key != beyond);
            let others: String = others
                .map(|key| format!("{key} = \"127.0.0.1:0\"\n"))
                .collect();
            let serve = format!("{beyond} = \"0.0.0.0:0\"\n{others}{more}");
            let said = place.refusal(&serve);
            assert!(
                said.contains(missing) && said.contains("0.0.0.0:0"),
                "{said}"
            );
        }
    }
}

#[test]
fn files_that_prove_nothing_are_refused_by_name() {
    let place = Place::new();
    let other = Place::new();
    std::fs::copy(
        other.dir.path().join("key.pem"),
        place.dir.path().join("other.pem"),
    )
    .unwrap();
    std::fs::write(place.dir.path().join("empty.pem"), "").unwrap();
    for (cert, key, named) in [
        ("cert.pem", "other.pem", "`other.pem`"),
        ("cert.pem", "no.pem", "`no.pem`"),
        ("cert.pem", "empty.pem", "`empty.pem`"),
        ("no.pem", "key.pem", "`no.pem`"),
        ("empty.pem", "key.pem", "`empty.pem`"),
    ] {
        let said = place.refusal(&format!("tls_cert = \"{cert}\"\ntls_key = \"{key}\""));
        assert!(said.contains(named), "{said}");
    }
    let said = place.refusal("tls_cert = \"cert.pem\"");
    assert!(said.contains("without `serve.tls_key`"), "{said}");
}

#[tokio::test]
async fn with_tls_nothing_is_answered_in_the_clear() {
    let place = Place::new();
    let ports =
        ["listen", "pg_listen", "flight_listen"].map(|key| format!("{key} = \"0.0.0.0:0\""));
    let serve = format!("{}\n{TLS}\n{TOKENS}", ports.join("\n"));
    let service = place.start(&serve);
    let known = place.get(service.http, "/api/v1/status", &place.token.secret);
    assert_eq!(known.status, 200, "{}", known.text());
    assert_eq!(
        place.get(service.http, "/api/v1/status", "fnl_00").status,
        401
    );

    let mut plain = TcpStream::connect(service.http).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"GET /livez HTTP/1.0\r\n\r\n").unwrap();
    let mut said = Vec::new();
    // What comes is an alert of TLS or a closed connection.
    drop(plain.read_to_end(&mut said));
    assert!(!String::from_utf8_lossy(&said).contains("HTTP"), "{said:?}");

    let mut config = Config::new();
    config
        .host("localhost")
        .hostaddr(service.pg.ip())
        .port(service.pg.port())
        .user("ann")
        .password(&place.token.secret)
        .dbname("lake");
    let refused = config.connect(NoTls).await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "28000");
    let tls = MakeRustlsConnect::new((*place.client).clone());
    config.ssl_mode(tokio_postgres::config::SslMode::Require);
    let (client, connection) = config.connect(tls).await.unwrap();
    tokio::spawn(connection);
    let row = client
        .query_one("SELECT count(*) > 0 FROM events", &[])
        .await;
    assert!(row.unwrap().get::<_, bool>(0));
    over_flight(&place, service.flight).await;
}

async fn over_flight(place: &Place, at: SocketAddr) {
    let plain = Endpoint::from_shared(format!("http://{at}")).unwrap();
    // The connection may be made; nothing is answered on it.
    if let Ok(channel) = plain.connect().await {
        let mut client = FlightSqlServiceClient::new(channel);
        client.set_token(place.token.secret.clone());
        client
            .execute("SELECT 1".to_owned(), None)
            .await
            .unwrap_err();
    }
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&place.certificate))
        .domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://{at}")).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
    let mut client = FlightSqlServiceClient::new(channel);
    let refused = client.execute("SELECT 1".to_owned(), None).await;
    assert!(
        refused.unwrap_err().to_string().contains("Bearer TOKEN"),
        "it was let in without a token"
    );
    client.set_token(place.token.secret.clone());
    let info = client.execute("SELECT 1".to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let rows: Vec<_> = client
        .do_get(ticket)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(rows[0].num_rows(), 1);
}

/// A client that never comes to its point is sent away, and others are answered meanwhile.
#[test]
fn slow_clients_are_sent_away() {
    let service = super::Service::start("");
    let slow = |begin: &'static [u8]| {
        let address = service.client.address;
        std::thread::spawn(move || {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.write_all(begin).unwrap();
            let mut said = Vec::new();
            // Closed or reset; not that nothing comes any more.
            if let Err(error) = socket.read_to_end(&mut said) {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            }
            String::from_utf8_lossy(&said).into_owned()
        })
    };
    let clients = [
        slow(b""),
        slow(b"GET /livez HTTP/1.1\r\nhost: loc"),
        // The second request of a connection.
        slow(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\nGET /livez HTTP/1.1\r\n"),
        slow(b"POST /api/v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"),
    ];
    assert_eq!(service.get("/livez").status, 200);
    for client in clients {
        let said = client.join().unwrap();
        let answers = said.matches("HTTP/1.1 200").count();
        assert!(answers <= 1, "{said}");
    }
}
