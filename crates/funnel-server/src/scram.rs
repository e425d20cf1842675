//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the side of the server: who proves to have a secret does not send
//! it, and what is kept of the secret lets nobody in. Verifiers are written as PostgreSQL writes them:
//! `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

pub(crate) const METHOD: &str = "SCRAM-SHA-256";
/// As many as PostgreSQL has; secrets of 256 random bits need no more.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);
/// A client is told no greater number to compute with.
const ITERATIONS_MAX: u32 = 10_000_000;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 18;
const KEY_BYTES: usize = 32;
/// Longest message of a client.
const MESSAGE_MAX: usize = 4096;

type Key = [u8; KEY_BYTES];

/// What is kept of a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Verifier {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

/// A client answered what is no answer, or has not the secret; it learns no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|part| STANDARD.encode(part));
        write!(f, "{METHOD}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl FromStr for Verifier {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let parts: Vec<&str> = text.trim().split(['$', ':']).collect();
        let [METHOD, iterations, salt, stored, server] = parts[..] else {
            return Err(Refused);
        };
        let bytes = |text| STANDARD.decode(text).map_err(|_| Refused);
        let key = |text| -> Result<Key, Refused> { bytes(text)?.try_into().map_err(|_| Refused) };
        let iterations: NonZeroU32 = iterations.parse().map_err(|_| Refused)?;
        let salt = bytes(salt)?;
        if iterations.get() > ITERATIONS_MAX || salt.is_empty() {
            return Err(Refused);
        }
        Ok(Self {
            iterations,
            salt,
            stored_key: key(stored)?,
            server_key: key(server)?,
        })
    }
}

impl Verifier {
    /// Of a secret in ASCII, with a salt of its own.
    pub(crate) fn of(secret: &str) -> Self {
        let salt: [u8; SALT_BYTES] = rand::random();
        Self::salted(secret, salt.to_vec(), ITERATIONS)
    }

    /// That no secret has. Who asks twice for the same name is told the same salt, as if it were known.
    pub(crate) fn of_nobody(name: &str, key: &Key) -> Self {
        let salt = blake3::keyed_hash(key, name.as_bytes());
        Self {
            iterations: ITERATIONS,
            salt: salt.as_bytes()[..SALT_BYTES].to_vec(),
            stored_key: rand::random(),
            server_key: rand::random(),
        }
    }

    fn salted(secret: &str, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let mut salted = [0; KEY_BYTES];
        let algorithm = ring::pbkdf2::PBKDF2_HMAC_SHA256;
        ring::pbkdf2::derive(algorithm, iterations, &salt, secret.as_bytes(), &mut salted);
        Self {
            iterations,
            salt,
            stored_key: sha256(&keyed(&salted, b"Client Key")),
            server_key: keyed(&salted, b"Server Key"),
        }
    }
}

/// A client that named itself and was told what to prove.
#[derive(Debug)]
pub(crate) struct Exchange {
    verifier: Verifier,
    /// How the client must repeat the header of its first message.
    header: String,
    nonce: String,
    /// What both sign, up to the last message of the client.
    signed: String,
}

impl Exchange {
    /// From the first message of a client; gives the first of the server.
    pub(crate) fn begin(verifier: Verifier, message: &[u8]) -> Result<(Self, String), Refused> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        Self::begin_with(verifier, message, &STANDARD.encode(nonce))
    }

    fn begin_with(
        verifier: Verifier,
        message: &[u8],
        nonce: &str,
    ) -> Result<(Self, String), Refused> {
        let message = text(message)?;
        // Binding to the channel is not offered: a client that asks for it must not be let in without.
        let Some(bare) = ["n,,", "y,,"]
            .iter()
            .find_map(|header| message.strip_prefix(header))
        else {
            return Err(Refused);
        };
        let header = STANDARD.encode(&message[..message.len() - bare.len()]);
        // The name is that of the startup message; PostgreSQL's clients leave this one empty.
        let rest = bare.strip_prefix("n=").ok_or(Refused)?;
        let (_, rest) = rest.split_once(",r=").ok_or(Refused)?;
        let own = rest.split(',').next().unwrap_or_default();
        if own.is_empty() || !own.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Refused);
        }
        let nonce = format!("{own}{nonce}");
        let salt = STANDARD.encode(&verifier.salt);
        let answer = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let exchange = Self {
            verifier,
            header,
            nonce,
            signed: format!("{bare},{answer}"),
        };
        Ok((exchange, answer))
    }

    /// From the last message of a client; gives the last of the server, by which the client knows that the
    /// server has the verifier.
    pub(crate) fn finish(self, message: &[u8]) -> Result<String, Refused> {
        let message = text(message)?;
        let (unproved, proof) = message.rsplit_once(",p=").ok_or(Refused)?;
        let mut attributes = unproved.split(',');
        let header = attributes.next().and_then(|part| part.strip_prefix("c="));
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r="));
        if header != Some(self.header.as_str()) || nonce != Some(self.nonce.as_str()) {
            return Err(Refused);
        }
        let proof: Key = STANDARD
            .decode(proof)
            .ok()
            .and_then(|proof| proof.try_into().ok())
            .ok_or(Refused)?;
        let signed = format!("{},{unproved}", self.signed);
        let mut client_key = keyed(&self.verifier.stored_key, signed.as_bytes());
        for (byte, other) in client_key.iter_mut().zip(proof) {
            *byte ^= other;
        }
        // Hashes of blake3 are compared in constant time.
        let [found, known] =
            [sha256(&client_key), self.verifier.stored_key].map(blake3::Hash::from);
        if found != known {
            return Err(Refused);
        }
        let signature = keyed(&self.verifier.server_key, signed.as_bytes());
        Ok(format!("v={}", STANDARD.encode(signature)))
    }
}

fn text(message: &[u8]) -> Result<&str, Refused> {
    if message.len() > MESSAGE_MAX {
        return Err(Refused);
    }
    std::str::from_utf8(message).map_err(|_| Refused)
}

fn keyed(key: &[u8], message: &[u8]) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    fixed(tag.as_ref())
}

fn sha256(message: &[u8]) -> Key {
    fixed(ring::digest::digest(&ring::digest::SHA256, message).as_ref())
}

/// SHA-256 has as many bytes as a key.
fn fixed(bytes: &[u8]) -> Key {
    let mut key = [0; KEY_BYTES];
    for (byte, given) in key.iter_mut().zip(bytes) {
        *byte = *given;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_standard_is_answered_as_it_says() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::salted("pencil", salt, ITERATIONS);
        let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        let (exchange, answer) =
            Exchange::begin_with(verifier, first, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").unwrap();
        assert_eq!(
            answer,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let said = exchange.finish(last);
        assert_eq!(
            said.as_deref(),
            Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        );
    }

    #[test]
    fn a_verifier_is_read_as_it_is_written() {
        let verifier = Verifier::of("fnl_00");
        assert_eq!(verifier.to_string().parse(), Ok(verifier.clone()));
        assert_ne!(
            Verifier::of("fnl_00"),
            verifier,
            "each has a salt of its own"
        );
        for wrong in [
            "",
            "md5abc",
            "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
            &verifier.to_string().replace("$4096:", "$0:"),
            &verifier.to_string().replace("$4096:", "$10000001:"),
            &format!("{verifier}:"),
        ] {
            assert_eq!(wrong.parse::<Verifier>(), Err(Refused), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let verifier = Verifier::of("fnl_00");
        for first in [
            "p=tls-server-end-point,,n=,r=abc",
            "n,a=other,n=,r=abc",
            "n,,m=1,n=,r=abc",
            "n,,n=,r=",
            "n,,n=,r=a b",
            "n,,r=abc",
            "",
            &format!("n,,n=,r={}", "a".repeat(MESSAGE_MAX)),
        ] {
            let begun = Exchange::begin(verifier.clone(), first.as_bytes());
            assert!(begun.is_err(), "{first}");
        }
        assert!(Exchange::begin(verifier.clone(), b"n,,n=,r=\xff").is_err());
        let proof = STANDARD.encode([0; KEY_BYTES]);
        for last in [
            format!("c=eSws,r=abcdef,p={proof}"),
            format!("c=biws,r=abcde,p={proof}"),
            format!("c=biws,r=abcdef,p={proof}"),
            "c=biws,r=abcdef,p=AAAA".to_owned(),
            "c=biws,r=abcdef".to_owned(),
            String::new(),
        ] {
            let (exchange, _) =
                Exchange::begin_with(verifier.clone(), b"n,,n=,r=abc", "def").unwrap();
            assert_eq!(exchange.finish(last.as_bytes()), Err(Refused), "{last}");
        }
    }

    #[test]
    fn no_message_but_the_right_one_is_a_proof() {
        let verifier = Verifier::of("fnl_00");
        let right = [
            b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO".as_slice(),
            b"c=biws,r=rOprNGfwEbeRWgbNEkqOdef,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        ];
        let mut begun = 0;
        for _ in 0..20_000 {
            let [first, last] = right.map(|right| {
                let mut bytes = right.to_vec();
                for _ in 0..rand::random_range(0..3) {
                    let at = rand::random_range(0..bytes.len());
                    match rand::random_range(0..3) {
                        0 => bytes[at] = rand::random(),
                        1 => bytes.truncate(at.max(1)),
                        _ => bytes[at] = b"=,;/+ar"[rand::random_range(0..7)],
                    }
                }
                bytes
            });
            if let Ok((exchange, _)) = Exchange::begin_with(verifier.clone(), &first, "def") {
                begun += 1;
                assert_eq!(exchange.finish(&last), Err(Refused), "{first:?} {last:?}");
            }
        }
        assert!(begun > 5_000, "{begun}");
    }

    #[test]
    fn who_is_not_known_is_told_the_same_salt_again() {
        let key = [7; KEY_BYTES];
        let [one, again, other] = ["a", "a", "b"].map(|name| Verifier::of_nobody(name, &key));
        assert_eq!(one.salt, again.salt);
        assert_ne!(one.salt, other.salt);
        assert_ne!(one.stored_key, again.stored_key);
    }
}
