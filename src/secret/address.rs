//! An address that may hold a password, which is not shown.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use url::Url;
use zeroize::Zeroizing;

/// An address such as `postgres://user:password@host/database`. Wherever it is shown, written or serialised,
/// the password is left out; whoever needs it in full asks for it by [`MaskedAddress::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct MaskedAddress(Zeroizing<String>);

impl MaskedAddress {
    /// The address in full.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for MaskedAddress {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for MaskedAddress {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Display for MaskedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.0))
    }
}

impl fmt::Debug for MaskedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MaskedAddress").field(&masked(&self.0)).finish()
    }
}

impl Serialize for MaskedAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MaskedAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// The text of an address without its password; any other text as it is, unless it may hold a password.
#[must_use]
pub fn masked(text: &str) -> String {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    // Folders, in whose names anything may stand.
    if ["sled", "redb", "memory"].contains(&scheme) {
        return text.to_owned();
    }
    if !text.contains('@') && !names_a_password(text) {
        return text.to_owned();
    }
    let hidden = || if text.contains("://") { format!("{scheme}://…") } else { "…".to_owned() };
    let Ok(mut url) = Url::parse(text) else { return hidden() };
    let behind_the_host = [Some(url.path()), url.query(), url.fragment()];
    // A password with a `/`, `?` or `#` that was not escaped is read as what follows the host.
    if url.cannot_be_a_base() || behind_the_host.iter().flatten().any(|part| part.contains('@') || names_a_password(part)) {
        return hidden();
    }
    match url.password() {
        None => text.to_owned(),
        Some(_) => url.set_password(Some("***")).map_or_else(|()| hidden(), |()| url.into()),
    }
}

/// Whether it says somewhere that what follows is a password.
fn names_a_password(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["password", "passwd", "pwd"].iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_nowhere_shown() {
        for (text, shown) in [
            ("postgres://user:geheim@db.example:5432/d", "postgres://user:***@db.example:5432/d"),
            ("postgres://user:geh@eim@db.example/d", "postgres://user:***@db.example/d"),
            ("postgres://:geheim@db.example", "postgres://:***@db.example"),
            ("postgres://user:geheim@db.example:port/d", "postgres://…"),
            ("postgres://user:1/geheim@db.example/d", "postgres://…"),
            ("postgres://user:1?geheim@db.example/d", "postgres://…"),
            ("postgres://user:1#geheim@db.example/d", "postgres://…"),
            ("postgres://db.example/d?user=a&password=geheim", "postgres://…"),
            ("postgres:user:geheim@db.example/d", "…"),
            ("host=db.example password=geheim", "…"),
        ] {
            let address = MaskedAddress::from(text);
            assert_eq!(address.to_string(), shown);
            assert_eq!(serde_json::to_value(&address).unwrap(), shown);
            assert!(!format!("{address:?}{:?}", Some(&address)).contains("eim"), "{address:?}");
            assert_eq!(address.expose(), text);
        }
    }

    #[test]
    fn what_holds_no_password_is_shown_as_it_is() {
        for text in ["sled", "memory:", "redb:/var/lib/password@home", "postgres://user@db.example/d", "postgres://%2Frun%2Fpg/d", "else"] {
            assert_eq!(masked(text), text);
        }
    }
}
