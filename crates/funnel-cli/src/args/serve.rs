//! The command line of `funnel serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::with_exit_codes;

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel serve --lake ./lake                       then open http://127.0.0.1:8088
  psql -h 127.0.0.1 -p 5433 funnel                 the same lake in SQL, from any PostgreSQL client
  funnel serve --lake ./lake --flight-listen 127.0.0.1:32010
  funnel serve --config funnel.toml --tokens tokens.toml
  funnel serve --new-token dashboards >> tokens.toml
  funnel serve --openapi > openapi.json

It listens on this machine only, unless `serve.tls_cert`, `serve.tls_key` and tokens are set. Without
tokens everybody on it may ask everything; with tokens a request carries one, and a reader's token may
name the accounts whose rows are there for it. For PostgreSQL clients the name of the token is the
user, and the token the password.

SIGTERM or SIGINT: requests that run are answered, then exit 0. A second signal stops at once."))]
pub(crate) struct ServeArgs {
    /// Where it listens, instead of `serve.listen` of the file
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where it speaks PostgreSQL's protocol, or `off`, instead of `serve.pg_listen` of the file
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) pg_listen: Option<String>,
    /// Where it speaks Arrow Flight SQL, or `off`, instead of `serve.flight_listen` of the file
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) flight_listen: Option<String>,
    /// The file of tokens, instead of `serve.tokens` of the file
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,
    /// Make a token and end: the token goes to stderr, its entry for the file of tokens to stdout
    #[arg(long, value_name = "NAME", conflicts_with_all = ["listen", "pg_listen", "flight_listen", "tokens", "openapi"])]
    pub(crate) new_token: Option<String>,
    /// Print the description of the API (OpenAPI 3.1, JSON) and end
    #[arg(long)]
    pub(crate) openapi: bool,
}
