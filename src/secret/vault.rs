//! Sealing: from a secret to a text that only the master key opens, and only in its place.
//!
//! XChaCha20-Poly1305 with a nonce of 24 random bytes. The sealed form is
//! `1.<id of the key>.<base64url of nonce and ciphertext>`; what it is sealed for goes in as associated
//! data, so that moving it to another record or field is noticed as a changed bit is.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Secret;
use super::master_key::{MasterKey, MasterKeys};
use crate::rng::Rng;

/// Bytes of a nonce: long enough to be drawn at random without ever meeting the same one twice.
const NONCE_BYTES: usize = 24;
/// What the form begins with.
const VERSION: &str = "1";

/// Seals and opens. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    keys: MasterKeys,
    rng: Arc<dyn Rng>,
}

/// A sealed secret, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

/// Where a sealed secret belongs; it opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The record, with its kind.
    pub record: &'a str,
    /// The field in it.
    pub field: &'a str,
}

/// Why a sealed secret does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It has not the form of one.
    #[error("it is not in the form of a sealed secret")]
    Malformed,
    /// It was sealed with a key that is not there.
    #[error("it is sealed with the master key `{key}`, which is not among those given")]
    UnknownKey {
        /// The id of that key.
        key: String,
    },
    /// It was changed, or belongs to another record or field.
    #[error("it was changed, or was sealed for another record or field")]
    NotAuthentic,
}

impl Vault {
    /// A vault with these keys, which draws its nonces from `rng`.
    #[must_use]
    pub fn new(keys: MasterKeys, rng: Arc<dyn Rng>) -> Self {
        Self { keys, rng }
    }

    /// The master keys.
    #[must_use]
    pub const fn keys(&self) -> &MasterKeys {
        &self.keys
    }

    /// Seals `secret` for `place` with the first key.
    #[must_use]
    pub fn seal(&self, place: Place<'_>, secret: &Secret) -> Sealed {
        let key = self.keys.first();
        let mut nonce = [0; NONCE_BYTES];
        self.rng.fill(&mut nonce);
        let payload = Payload { msg: secret.expose().as_bytes(), aad: &place.bytes() };
        let ciphertext = cipher(key).encrypt(&XNonce::from(nonce), payload).expect("a secret is far shorter than the cipher's limit");
        Sealed(format!("{VERSION}.{}.{}", key.id, URL_SAFE_NO_PAD.encode([&nonce[..], &ciphertext].concat())))
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    /// [`OpenError`] if its key is not there, or it is not what was sealed for this place.
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, OpenError> {
        let (id, body) = sealed.parts().ok_or(OpenError::Malformed)?;
        let key = self.keys.find(id).ok_or_else(|| OpenError::UnknownKey { key: id.chars().take(32).collect() })?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| OpenError::Malformed)?;
        let (nonce, ciphertext) = bytes.split_at_checked(NONCE_BYTES).ok_or(OpenError::Malformed)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| OpenError::Malformed)?;
        let payload = Payload { msg: ciphertext, aad: &place.bytes() };
        let opened = cipher(key).decrypt(&XNonce::from(nonce), payload).map(Zeroizing::new).map_err(|_| OpenError::NotAuthentic)?;
        std::str::from_utf8(&opened).map(Secret::new).map_err(|_| OpenError::NotAuthentic)
    }

    /// Whether `sealed` was sealed with the first key, and need not be sealed again.
    #[must_use]
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        sealed.key() == Some(self.keys.first().id.as_str())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Sealed {
    /// The id of the key that it was sealed with; none if it has not the form of a sealed secret.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.parts().map(|(key, _)| key)
    }

    fn parts(&self) -> Option<(&str, &str)> {
        self.0.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')
    }
}

impl Place<'_> {
    /// Lengths are part of it, so that no two places give the same bytes.
    fn bytes(&self) -> Vec<u8> {
        format!("postrider sealed {VERSION}\0{}\0{}\0{}\0{}", self.record.len(), self.record, self.field.len(), self.field).into_bytes()
    }
}

fn cipher(key: &MasterKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&*key.bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    const HERE: Place<'static> = Place { record: "secret/sub_1", field: "credentials.password" };

    fn vault(seed: u64) -> Vault {
        let rng = Arc::new(SeededRng::new(seed));
        Vault::new(MasterKeys::draw(&*rng), rng)
    }

    #[test]
    fn what_is_sealed_opens_in_its_place() {
        let vault = vault(1);
        for text in ["", "geheim", "\u{1f511} mit Umlaut: ä", &"x".repeat(20_000)] {
            let sealed = vault.seal(HERE, &Secret::new(text));
            assert_eq!(vault.open(HERE, &sealed).unwrap().expose(), text);
            assert!(text.is_empty() || !sealed.0.contains(text));
        }
        let again = [vault.seal(HERE, &Secret::new("a")), vault.seal(HERE, &Secret::new("a"))];
        assert_ne!(again[0], again[1], "equal secrets do not look equal");
    }

    #[test]
    fn h20_what_is_swapped_between_records_or_fields_does_not_open() {
        let vault = vault(1);
        let sealed = vault.seal(HERE, &Secret::new("geheim"));
        for place in [
            Place { record: "secret/sub_2", ..HERE },
            Place { field: "credentials.token", ..HERE },
            Place { record: "secret/sub_1c", field: "redentials.password" },
        ] {
            assert_eq!(vault.open(place, &sealed), Err(OpenError::NotAuthentic), "{place:?}");
        }
    }

    #[test]
    fn h20_every_changed_bit_is_noticed() {
        let vault = vault(1);
        let sealed = vault.seal(HERE, &Secret::new("geheim"));
        let (key, body) = sealed.parts().unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(body).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = Sealed(format!("1.{key}.{}", URL_SAFE_NO_PAD.encode(changed)));
            assert_eq!(vault.open(HERE, &changed), Err(OpenError::NotAuthentic), "bit {bit}");
        }
        for text in ["", "1", "2.a.b", &format!("1.{key}"), &format!("1.{key}.AAAA"), &format!("1.{key}.?")] {
            assert_eq!(vault.open(HERE, &Sealed(text.to_owned())), Err(OpenError::Malformed), "{text}");
        }
    }

    #[test]
    fn h20_another_key_does_not_open_and_is_named() {
        let (mine, other) = (vault(1), vault(2));
        let sealed = mine.seal(HERE, &Secret::new("geheim"));
        let key = mine.keys.ids().next().unwrap().to_owned();
        assert_eq!(other.open(HERE, &sealed), Err(OpenError::UnknownKey { key }));
    }

    #[test]
    fn of_several_keys_the_first_seals_and_all_open() {
        let texts = [[1; 32], [2; 32]].map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes));
        let with = |text: &str| Vault::new(MasterKeys::parse(text).unwrap(), Arc::new(SeededRng::new(1)));
        let (old, both) = (with(&texts[0]), with(&format!("{}\n{}", texts[1], texts[0])));
        let sealed = old.seal(HERE, &Secret::new("geheim"));
        assert!(old.is_current(&sealed) && !both.is_current(&sealed));
        let opened = both.open(HERE, &sealed).unwrap();
        let again = both.seal(HERE, &opened);
        assert!(both.is_current(&again) && with(&texts[1]).open(HERE, &again).is_ok() && old.open(HERE, &again).is_err());
    }
}
