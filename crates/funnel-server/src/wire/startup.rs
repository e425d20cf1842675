//! Who connects: the name of a token and its secret, or anybody of this machine where there are no tokens.
//! The secret is proved by SCRAM-SHA-256 where the file of tokens has a verifier, else it is sent.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

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
use pgwire::messages::startup::{Authentication, PasswordMessageFamily};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use super::errors::Failure;
use super::session::Session;
use crate::access::Caller;
use crate::scram::{self, Exchange, Refused, Verifier};

/// The database, where a client names none.
const DATABASE: &str = "funnel";
/// Longest name in PostgreSQL.
const NAME_MAX: usize = 63;

/// The start of one connection.
pub(super) struct Startup {
    session: Arc<Session>,
    asked: Mutex<Asked>,
}

/// What the client was asked for.
enum Asked {
    Secret,
    Method(Verifier),
    Proof(Box<Exchange>),
}

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
        let app = &self.session.shared.app;
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
                    let user = name(client.metadata(), METADATA_USER)?.unwrap_or_default();
                    let ask = self.ask(app.access.verifier(&user));
                    client
                        .send(PgWireBackendMessage::Authentication(ask))
                        .await?;
                    return Ok(());
                }
                let local = app.access.caller_by_name("", None);
                self.let_in(client, local).await
            }
            PgWireFrontendMessage::PasswordMessageFamily(message) => {
                let user = name(client.metadata(), METADATA_USER)?.unwrap_or_default();
                match self.heard(&user, message)? {
                    Heard::Answer(answer) => {
                        let answer = Authentication::SASLContinue(answer.into());
                        client
                            .send(PgWireBackendMessage::Authentication(answer))
                            .await?;
                        Ok(())
                    }
                    Heard::Proof(answer, caller) => {
                        let answer = Authentication::SASLFinal(answer.into());
                        client
                            .send(PgWireBackendMessage::Authentication(answer))
                            .await?;
                        self.let_in(client, caller).await
                    }
                    Heard::Caller(caller) => self.let_in(client, caller).await,
                }
            }
            _ => {
                Err(Failure::fatal("08P01", "the connection begins with a startup message").into())
            }
        }
    }
}

/// What a message of the client comes to.
enum Heard {
    /// It is to prove that it has the secret, by this.
    Answer(String),
    /// It proved it, and is told that the server knows it.
    Proof(String, Option<Caller>),
    /// It has the secret, or there is nobody who has.
    Caller(Option<Caller>),
}

impl Startup {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self {
            session,
            asked: Mutex::new(Asked::Secret),
        }
    }

    fn now_asked(&self, asked: Asked) -> Asked {
        let mut held = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut held, asked)
    }

    fn ask(&self, verifier: Option<Verifier>) -> Authentication {
        match verifier {
            Some(verifier) => {
                self.now_asked(Asked::Method(verifier));
                Authentication::SASL(vec![scram::METHOD.to_owned()])
            }
            None => Authentication::CleartextPassword,
        }
    }

    fn heard(&self, user: &str, message: PasswordMessageFamily) -> PgWireResult<Heard> {
        let access = &self.session.shared.app.access;
        match self.now_asked(Asked::Secret) {
            // Whoever was asked for a proof is not let in by sending the secret after it.
            Asked::Secret if access.verifier(user).is_some() => Ok(Heard::Caller(None)),
            Asked::Secret => {
                let password = message.into_password()?.password;
                Ok(Heard::Caller(access.caller_by_name(user, Some(&password))))
            }
            Asked::Method(verifier) => {
                let begun = scram_message(&message).map(|first| Exchange::begin(verifier, first));
                let Some(Ok((exchange, answer))) = begun else {
                    return Ok(Heard::Caller(None));
                };
                self.now_asked(Asked::Proof(Box::new(exchange)));
                Ok(Heard::Answer(answer))
            }
            Asked::Proof(exchange) => match exchange.finish(&message.into_sasl_response()?.data) {
                Ok(answer) => Ok(Heard::Proof(answer, access.proved(user))),
                Err(Refused) => Ok(Heard::Caller(None)),
            },
        }
    }

    async fn let_in<C>(&self, client: &mut C, caller: Option<Caller>) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = &self.session;
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
        let Some(caller) = caller else {
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

/// What the client begins SCRAM with; none where it begins another method or nothing that is known.
fn scram_message(message: &PasswordMessageFamily) -> Option<&[u8]> {
    let PasswordMessageFamily::Raw(body) = message else {
        return None;
    };
    let rest = body.strip_prefix(scram::METHOD.as_bytes())?;
    let (length, first) = rest.strip_prefix(b"\0")?.split_first_chunk()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    (first.len() == length).then_some(first)
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
