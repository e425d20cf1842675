//! Who may ask, and what they see.
//!
//! Without tokens everybody on this machine is the operator. With tokens a request carries one, as
//! `Authorization: Bearer TOKEN`; the file has only their hashes:
//!
//! ```toml
//! [[token]]
//! name = "dashboards"
//! hash = "…64 hexadecimal digits…"
//! scram = "SCRAM-SHA-256$…"       # for PostgreSQL clients, who then do not send the token
//! role = "reader"                 # or "operator"
//! accounts = ["71520386"]         # a reader of these alone; all, where it is left out
//! ```

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use funnel_query::session::Sight;
use serde::Deserialize;

use crate::error::{Result, ServerError};
use crate::scram::Verifier;

/// Refusals from one address within [`FAILURE_SPAN`] before it is not heard any more.
const FAILURES_MAX: u32 = 20;
const FAILURE_SPAN: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond, the list begins anew.
const ADDRESSES_MAX: usize = 10_000;
const TOKEN_BYTES: usize = 32;

/// The tokens that are known.
#[derive(Debug, Clone, Default)]
pub struct Access {
    tokens: Arc<Vec<Token>>,
    /// For names that no token has.
    nobody: Arc<[u8; 32]>,
}

#[derive(Debug)]
struct Token {
    name: String,
    hash: blake3::Hash,
    scram: Option<Verifier>,
    sight: Sight,
}

/// Somebody who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token, for logs.
    pub name: String,
    /// What of the lake is there for them.
    pub sight: Sight,
}

/// A token that was just made.
pub struct NewToken {
    /// What a client sends. It is kept nowhere.
    pub secret: String,
    /// What the file of tokens has of it.
    pub hash: String,
    /// What it has of it for PostgreSQL clients.
    pub scram: String,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

impl NewToken {
    /// 256 random bits.
    #[must_use]
    pub fn random() -> Self {
        let bytes: [u8; TOKEN_BYTES] = rand::random();
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = format!("fnl_{digits}");
        let hash = blake3::hash(secret.as_bytes()).to_hex().to_string();
        let scram = Verifier::of(&secret).to_string();
        Self {
            secret,
            hash,
            scram,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    hash: String,
    scram: Option<String>,
    role: Role,
    accounts: Option<BTreeSet<String>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Role {
    Reader,
    Operator,
}

impl Access {
    /// Reads a file of tokens.
    ///
    /// # Errors
    /// The file cannot be read, or is not as the module describes it.
    pub fn from_file(path: &Path) -> Result<Self> {
        let failed = |what: &str| {
            ServerError::new(format!(
                "could not {what} the file of tokens `{}`",
                path.display()
            ))
        };
        let text = std::fs::read_to_string(path).map_err(|e| failed("read").because(e))?;
        Self::parse(&text).map_err(|error| failed("use").because(error))
    }

    /// As [`from_file`](Self::from_file), from the text of a file.
    ///
    /// # Errors
    /// The text is not as the module describes it.
    pub fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text)
            .map_err(|error| ServerError::new("it is no list of tokens").because(error))?;
        if file.token.is_empty() {
            return Err(ServerError::new(
                "it has no token: `funnel serve --new-token NAME` makes one",
            ));
        }
        let tokens = file.token.into_iter().map(Token::of);
        let tokens: Vec<Token> = tokens.collect::<Result<_>>()?;
        for (index, token) in tokens.iter().enumerate() {
            if tokens
                .iter()
                .take(index)
                .any(|other| other.name == token.name)
            {
                return Err(ServerError::new(format!(
                    "two tokens have the name `{}`",
                    token.name
                )));
            }
        }
        Ok(Self {
            tokens: Arc::new(tokens),
            nobody: Arc::new(rand::random()),
        })
    }

    /// Must a request carry a token?
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Who sends this header; none if it is nobody that is known.
    pub(crate) fn caller(&self, authorization: Option<&str>) -> Option<Caller> {
        if !self.is_needed() {
            return Some(Caller::local());
        }
        let (scheme, secret) = authorization?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        self.holder(secret.trim(), None)
    }

    /// Who has this name and this secret; none if it is nobody that is known.
    pub(crate) fn caller_by_name(&self, name: &str, secret: Option<&str>) -> Option<Caller> {
        if !self.is_needed() {
            return Some(Caller::local());
        }
        self.holder(secret?, Some(name))
    }

    /// By what a client of this name proves that it has the secret without sending it; none if it must
    /// send it. Where others prove it, a name that no token has is asked as well.
    pub(crate) fn verifier(&self, name: &str) -> Option<Verifier> {
        match self.tokens.iter().find(|token| token.name == name) {
            Some(token) => token.scram.clone(),
            None if self.tokens.iter().any(|token| token.scram.is_some()) => {
                Some(Verifier::of_nobody(name, &self.nobody))
            }
            None => None,
        }
    }

    /// Who has this name, which was proved.
    pub(crate) fn proved(&self, name: &str) -> Option<Caller> {
        let known = self.tokens.iter().find(|token| token.name == name)?;
        Some(known.caller())
    }

    /// Hashes are compared in constant time, all of them.
    fn holder(&self, secret: &str, name: Option<&str>) -> Option<Caller> {
        let hash = blake3::hash(secret.as_bytes());
        let known = self.tokens.iter().fold(None, |known, token| {
            if token.hash == hash && name.is_none_or(|name| name == token.name) {
                Some(token)
            } else {
                known
            }
        })?;
        Some(known.caller())
    }
}

impl Caller {
    /// Anybody of this machine, where nobody needs a token.
    fn local() -> Self {
        Self {
            name: "local".to_owned(),
            sight: Sight::default(),
        }
    }
}

impl Token {
    fn of(entry: Entry) -> Result<Self> {
        let Entry {
            name,
            hash,
            scram,
            role,
            accounts,
        } = entry;
        let hash = blake3::Hash::from_hex(hash.trim()).map_err(|error| {
            ServerError::new(format!(
                "`hash` of token `{name}` is not what `funnel serve --new-token` prints"
            ))
            .because(error)
        })?;
        let scram = scram.map(|text| {
            text.parse::<Verifier>().map_err(|_| {
                ServerError::new(format!(
                    "`scram` of token `{name}` is not what `funnel serve --new-token` prints"
                ))
            })
        });
        if role == Role::Operator && accounts.is_some() {
            return Err(ServerError::new(format!(
                "token `{name}` is an operator's, who sees all accounts: leave `accounts` out"
            )));
        }
        if accounts.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(ServerError::new(format!(
                "`accounts` of token `{name}` names none, so that it could see nothing"
            )));
        }
        let sight = Sight {
            accounts,
            operations: role == Role::Operator,
        };
        Ok(Self {
            name,
            hash,
            scram: scram.transpose()?,
            sight,
        })
    }

    fn caller(&self) -> Caller {
        Caller {
            name: self.name.clone(),
            sight: self.sight.clone(),
        }
    }
}

/// Addresses that sent what nobody knows.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    by_address: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

impl Failures {
    /// Is this address not heard for now?
    pub(crate) fn is_refused(&self, address: IpAddr) -> bool {
        let known = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.get(&address).is_some_and(|(failures, since)| {
            *failures >= FAILURES_MAX && since.elapsed() < FAILURE_SPAN
        })
    }

    pub(crate) fn count(&self, address: IpAddr) {
        let mut known = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ADDRESSES_MAX {
            known.clear();
        }
        let (failures, since) = known.entry(address).or_insert((0, Instant::now()));
        if since.elapsed() >= FAILURE_SPAN {
            (*failures, *since) = (0, Instant::now());
        }
        *failures += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(more: &str) -> (NewToken, String) {
        let token = NewToken::random();
        let text = format!("[[token]]\nname = \"a\"\nhash = \"{}\"\n{more}", token.hash);
        (token, text)
    }

    #[test]
    fn a_token_is_known_by_its_hash_and_sees_what_its_role_allows() {
        let (token, text) = file("role = \"reader\"\naccounts = [\"1\"]");
        assert!(!text.contains(&token.secret));
        let access = Access::parse(&text).unwrap();
        let caller = access
            .caller(Some(&format!("Bearer {}", token.secret)))
            .unwrap();
        assert_eq!(caller.name, "a");
        assert_eq!(
            caller.sight.accounts,
            Some(BTreeSet::from(["1".to_owned()]))
        );
        assert!(!caller.sight.operations);
        for wrong in [
            None,
            Some("Bearer "),
            Some("Bearer fnl_00"),
            Some(token.secret.as_str()),
        ] {
            assert_eq!(access.caller(wrong), None, "{wrong:?}");
        }
        let basic = format!("Basic {}", token.secret);
        assert_eq!(access.caller(Some(&basic)), None);
        assert_eq!(
            access.caller_by_name("a", Some(&token.secret)),
            Some(caller)
        );
        for (name, secret) in [
            ("a", None),
            ("a", Some("")),
            ("b", Some(token.secret.as_str())),
            ("", Some(token.secret.as_str())),
        ] {
            assert_eq!(
                access.caller_by_name(name, secret),
                None,
                "{name} {secret:?}"
            );
        }
    }

    #[test]
    fn wrong_files_say_what_is_wrong() {
        let cases = [
            (String::new(), "has no token"),
            (file("role = \"admin\"").1, "no list of tokens"),
            (
                file("role = \"operator\"\naccounts = [\"1\"]").1,
                "leave `accounts` out",
            ),
            (file("role = \"reader\"\naccounts = []").1, "names none"),
            (
                "[[token]]\nname = \"a\"\nhash = \"1\"\nrole = \"reader\"".to_owned(),
                "`hash` of token `a`",
            ),
            (
                file("role = \"reader\"\nscram = \"SCRAM-SHA-256$1\"").1,
                "`scram` of token `a`",
            ),
        ];
        for (text, said) in cases {
            let error = Access::parse(&text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn an_address_that_guesses_is_not_heard() {
        let (failures, address) = (Failures::default(), IpAddr::from([127, 0, 0, 1]));
        for _ in 0..FAILURES_MAX {
            assert!(!failures.is_refused(address));
            failures.count(address);
        }
        assert!(failures.is_refused(address));
        assert!(!failures.is_refused(IpAddr::from([127, 0, 0, 2])));
    }
}
