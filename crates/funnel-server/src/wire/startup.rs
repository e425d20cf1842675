//! Who connects: the name of a token and its secret, or anybody of this machine where there are no tokens.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{Sink, SinkExt};
use pgwire::api::auth::{
    ServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::{
    ClientInfo, METADATA_DATABASE, METADATA_USER, PgWireConnectionState, PidSecretKeyGenerator,
};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::startup::Authentication;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use super::errors::Failure;
use super::session::Session;

/// The database, where a client names none.
const DATABASE: &str = "funnel";
/// Longest name in PostgreSQL.
const NAME_MAX: usize = 63;

/// The start of one connection.
pub(super) struct Startup(pub(super) Arc<Session>);

/// What the client is told when it is let in.
struct Parameters<'a>(&'a Session);

impl ServerParameterProvider for Parameters<'_> {
    fn server_parameters<C: ClientInfo>(&self, client: &C) -> Option<HashMap<String, String>> {
        let settings = self.0.settings();
        let mut parameters: HashMap<String, String> = settings
            .reported()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if let Some(user) = client.metadata().get(METADATA_USER) {
            parameters.insert("session_authorization".to_owned(), user.clone());
        }
        Some(parameters)
    }
}

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let app = &self.0.shared.app;
        let address = client.socket_addr().ip();
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                if app.failures.is_refused(address) {
                    return Err(too_many_failures().into());
                }
                if app.access.is_needed() {
                    client.set_state(PgWireConnectionState::AuthenticationInProgress);
                    let ask =
                        PgWireBackendMessage::Authentication(Authentication::CleartextPassword);
                    client.send(ask).await?;
                    return Ok(());
                }
                self.let_in(client, None).await
            }
            PgWireFrontendMessage::PasswordMessageFamily(password) => {
                let password = password.into_password()?;
                self.let_in(client, Some(&password.password)).await
            }
            _ => {
                Err(Failure::fatal("08P01", "the connection begins with a startup message").into())
            }
        }
    }
}

impl Startup {
    async fn let_in<C>(&self, client: &mut C, password: Option<&str>) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = &self.0;
        let app = &session.shared.app;
        let address = client.socket_addr().ip();
        let metadata = client.metadata();
        if metadata
            .get("replication")
            .is_some_and(|value| value != "false" && value != "off")
        {
            return Err(Failure::fatal("0A000", "there is nothing to replicate").into());
        }
        let user = name(metadata, METADATA_USER)?.unwrap_or_default();
        let Some(caller) = app.access.caller_by_name(&user, password) else {
            app.failures.count(address);
            app.metrics.unknown_caller();
            let message = format!("password authentication failed for user \"{user}\"");
            return Err(Failure::fatal("28P01", message)
                .hint("the user is the name of a token of `serve.tokens`, the password its secret")
                .into());
        };
        let database = name(metadata, METADATA_DATABASE)?.unwrap_or_else(|| DATABASE.to_owned());
        let given = metadata
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let options = options(metadata.get("options").map(String::as_str));
        let options = options
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        session.begin(caller, user, database, given.chain(options))?;
        let (pid, key) = session.shared.keys.generate(client);
        client.set_pid_and_secret_key(pid, key.clone());
        session.can_be_cancelled(pid, &key);
        finish_authentication(client, &Parameters(session)).await?;
        session.is_let_in();
        Ok(())
    }
}

fn too_many_failures() -> Failure {
    Failure::fatal(
        "28000",
        "too many failed attempts came from your address; wait a minute",
    )
}

/// A name that the client gave; none where it is empty.
fn name(metadata: &HashMap<String, String>, key: &str) -> Result<Option<String>, Failure> {
    let Some(name) = metadata.get(key).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    if name.len() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(Failure::fatal(
            "42602",
            format!("the {key} is no name of at most {NAME_MAX} bytes"),
        ));
    }
    Ok(Some(name.clone()))
}

/// `-c name=value --name=value`, as `PGOPTIONS` has them.
fn options(text: Option<&str>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut words = text.unwrap_or_default().split_whitespace();
    while let Some(word) = words.next() {
        let pair = match word.strip_prefix("--") {
            Some(rest) => Some(rest),
            None if word == "-c" => words.next(),
            None => word.strip_prefix("-c"),
        };
        if let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) {
            found.push((name.replace('-', "_"), value.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_each_of_their_forms() {
        let found = options(Some(
            "-c statement_timeout=5s --time-zone=UTC -cjit=off stray",
        ));
        let found: Vec<_> = found
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("statement_timeout", "5s"),
                ("time_zone", "UTC"),
                ("jit", "off")
            ]
        );
    }
}
