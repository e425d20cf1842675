//! `funnel serve`: the HTTP API and the web page, the PostgreSQL wire, and Arrow Flight SQL.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use funnel_server::{Access, Limits, NewToken, Server, ServerConfig, ServerError, Tls};
use tokio_util::sync::CancellationToken;

use super::context::{Context, open_lake, query_options};
use super::signals::Signals;
use crate::args::ServeArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output;
use crate::settings::{Origin, Overrides, Settings};

/// What the queries of one kind of caller hold in memory together, unless `query.memory` says otherwise.
const MEMORY: usize = 2 << 30;

pub(super) async fn run(context: &Context, args: &ServeArgs) -> Result<Exit> {
    if let Some(name) = &args.new_token {
        return new_token(name);
    }
    if args.openapi {
        output::print(&format!("{}\n", Server::openapi()))?;
        return Ok(Exit::Done);
    }
    let settings = context.settings_with(overrides(args))?;
    let lake = open_lake(&settings).await?;
    let mut signals = Signals::new()?;
    let mut options = query_options(&settings)?;
    // One query must not take the machine from all others.
    options.memory_limit.get_or_insert(MEMORY);
    let server = Server::bind(lake, options, config(&settings)?).await?;
    let scheme = if settings.text("serve.tls_cert").is_some() {
        "https"
    } else {
        "http"
    };
    output::note(&format!(
        "{scheme}://{}  the page; the API is described at /api/v1/openapi.json",
        server.address()
    ));
    if let Some(address) = server.pg_address() {
        output::note(&format!(
            "postgresql://{address}/funnel  for PostgreSQL clients"
        ));
    }
    if let Some(address) = server.flight_address() {
        let scheme = if scheme == "https" {
            "grpc+tls"
        } else {
            "grpc"
        };
        output::note(&format!("{scheme}://{address}  Arrow Flight SQL"));
    }
    let stop = CancellationToken::new();
    let serving = server.serve(stop.clone());
    tokio::pin!(serving);
    let mut stopped = false;
    loop {
        tokio::select! {
            ended = &mut serving => {
                ended.map_err(|error| CliError::failed("the server ended").because(error))?;
                return Ok(Exit::Done);
            }
            exit = signals.next() => {
                if stopped {
                    return Ok(exit);
                }
                output::note("stopping after the requests that run; a second signal stops at once");
                stopped = true;
                stop.cancel();
            }
        }
    }
}

/// Prints a token, and what the file of tokens must have of it.
fn new_token(name: &str) -> Result<Exit> {
    let token = NewToken::random();
    output::note(&format!(
        "give this token to {name}; it is kept nowhere and cannot be shown again:\n\n  {}\n\n\
         add this to the file that `serve.tokens` names:\n",
        token.secret
    ));
    let name = toml::Value::String(name.to_owned());
    output::print(&format!(
        "[[token]]\nname = {name}\nhash = \"{}\"\nscram = \"{}\"\nrole = \"reader\"\n",
        token.hash, token.scram
    ))?;
    Ok(Exit::Done)
}

fn config(settings: &Settings) -> Result<ServerConfig> {
    let defaults = Limits::default();
    let count = |path| settings.count(path).and_then(|n| usize::try_from(n).ok());
    let size = |path| settings.size(path).and_then(|n| usize::try_from(n).ok());
    Ok(ServerConfig {
        listen: address(settings, "serve.listen")?.ok_or_else(|| {
            CliError::config("`serve.listen` is `off`, so there is nothing to serve")
                .hint("write an address and a port, such as 127.0.0.1:8088")
        })?,
        pg_listen: address(settings, "serve.pg_listen")?,
        flight_listen: address(settings, "serve.flight_listen")?,
        tls: tls(settings)?,
        access: match settings.text("serve.tokens") {
            Some(path) => Access::from_file(Path::new(path))?,
            None => Access::default(),
        },
        refresh: settings
            .span("serve.refresh")
            .unwrap_or(Duration::from_secs(10)),
        stale_after: settings
            .span("serve.stale_after")
            .unwrap_or(Duration::from_secs(24 * 3_600)),
        limits: Limits {
            queries: count("serve.queries").unwrap_or(defaults.queries),
            time: settings.span("serve.query_time").unwrap_or(defaults.time),
            answer_bytes: size("serve.answer_size").unwrap_or(defaults.answer_bytes),
            connections: count("serve.connections").unwrap_or(defaults.connections),
            ..defaults
        },
    })
}

fn tls(settings: &Settings) -> Result<Option<Tls>> {
    match (
        settings.text("serve.tls_cert"),
        settings.text("serve.tls_key"),
    ) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some(Tls::from_files(Path::new(cert), Path::new(key))?)),
        (Some(_), None) => Err(
            CliError::config("`serve.tls_cert` is set without `serve.tls_key`")
                .hint("name the file of the certificate's private key, or leave both out"),
        ),
        (None, Some(_)) => Err(
            CliError::config("`serve.tls_key` is set without `serve.tls_cert`")
                .hint("name the file of the certificates, or leave both out"),
        ),
    }
}

/// An address of the settings; none where it is `off`.
fn address(settings: &Settings, key: &str) -> Result<Option<SocketAddr>> {
    let text = settings.text(key).unwrap_or("off");
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        CliError::config(format!("`{key}` is `{text}`"))
            .hint("write an address and a port, such as 127.0.0.1:8088, or off")
    })
}

fn overrides(args: &ServeArgs) -> Overrides {
    let listen = args.listen.map(|address| address.to_string());
    let tokens = args.tokens.as_ref().map(|path| path.display().to_string());
    let values = [
        ("serve.listen", listen, Origin::Flag("--listen")),
        (
            "serve.pg_listen",
            args.pg_listen.clone(),
            Origin::Flag("--pg-listen"),
        ),
        (
            "serve.flight_listen",
            args.flight_listen.clone(),
            Origin::Flag("--flight-listen"),
        ),
        ("serve.tokens", tokens, Origin::Flag("--tokens")),
    ];
    let values = values
        .into_iter()
        .filter_map(|(path, value, origin)| Some((path, value?, origin)));
    Overrides {
        config: None,
        values: values.collect(),
    }
}

impl From<ServerError> for CliError {
    fn from(error: ServerError) -> Self {
        super::context::wrap(Exit::Config, error)
    }
}
