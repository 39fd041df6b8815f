//! By what a receiver knows us: the form in which callers write it, and what is wrong with it.

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use url::Url;

use super::check::{Faults, is_header_name, is_reserved_header};
use super::signing::SIGNATURE_HEADERS;
use super::spec::{HasSecret, SubscriptionSpec};
use super::target::literal_target;
use crate::secret::Secret;

/// Longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 4 * 1024;
/// Longest user name, client id, scope or audience, in bytes.
const NAME_BYTES_MAX: usize = 1024;
/// Longest URL of a token endpoint.
const TOKEN_URL_BYTES_MAX: usize = 2 * 1024;

/// What a request proves its sender with. The secret parts are written and never read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum CredentialsSpec {
    /// `Authorization: Basic`. Source: RFC 7617.
    Basic {
        /// The user's name; no colon.
        #[schemars(length(max = NAME_BYTES_MAX))]
        username: String,
        /// Never shown.
        #[serde(default, skip_serializing)]
        password: Option<Secret>,
        /// What an answer says; ignored when it is sent back.
        #[serde(default, skip_serializing)]
        #[schemars(!skip_serializing, with = "HasSecret")]
        has_secret: IgnoredAny,
    },
    /// `Authorization: Bearer`. Source: RFC 6750.
    Bearer {
        /// Never shown.
        #[serde(default, skip_serializing)]
        token: Option<Secret>,
        /// What an answer says; ignored when it is sent back.
        #[serde(default, skip_serializing)]
        #[schemars(!skip_serializing, with = "HasSecret")]
        has_secret: IgnoredAny,
    },
    /// A header of the receiver's choice.
    Header {
        /// Its name.
        name: String,
        /// Never shown.
        #[serde(default, skip_serializing)]
        value: Option<Secret>,
        /// What an answer says; ignored when it is sent back.
        #[serde(default, skip_serializing)]
        #[schemars(!skip_serializing, with = "HasSecret")]
        has_secret: IgnoredAny,
    },
    /// A token that is fetched with client credentials. Source: RFC 6749, section 4.4.
    OAuth2 {
        /// Where tokens are fetched.
        token_url: String,
        /// Our name there.
        client_id: String,
        /// Never shown.
        #[serde(default, skip_serializing)]
        client_secret: Option<Secret>,
        /// What the token is to be good for; several are separated by blanks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
        /// For whom the token is, where the token endpoint asks for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<String>,
        /// Where id and secret stand.
        #[serde(default)]
        client_authentication: ClientAuthentication,
        /// What an answer says; ignored when it is sent back.
        #[serde(default, skip_serializing)]
        #[schemars(!skip_serializing, with = "HasSecret")]
        has_secret: IgnoredAny,
    },
}

/// Where client id and secret stand in the request for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthentication {
    /// In the header `Authorization`.
    #[default]
    Basic,
    /// In the body.
    Body,
}

impl CredentialsSpec {
    /// The name of the type.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Basic { .. } => "basic",
            Self::Bearer { .. } => "bearer",
            Self::Header { .. } => "header",
            Self::OAuth2 { .. } => "oauth2",
        }
    }

    /// The name of the secret field.
    #[must_use]
    pub const fn secret_field(&self) -> &'static str {
        match self {
            Self::Basic { .. } => "password",
            Self::Bearer { .. } => "token",
            Self::Header { .. } => "value",
            Self::OAuth2 { .. } => "client_secret",
        }
    }

    /// The header that it sets.
    #[must_use]
    pub fn header(&self) -> &str {
        match self {
            Self::Header { name, .. } => name,
            Self::Basic { .. } | Self::Bearer { .. } | Self::OAuth2 { .. } => "Authorization",
        }
    }

    /// Where the secret itself is sent to beside the receiver: the token endpoint.
    #[must_use]
    pub fn token_url(&self) -> Option<&str> {
        match self {
            Self::OAuth2 { token_url, .. } => Some(token_url),
            Self::Basic { .. } | Self::Bearer { .. } | Self::Header { .. } => None,
        }
    }

    /// The place of the secret.
    pub(super) const fn secret_slot(&mut self) -> &mut Option<Secret> {
        match self {
            Self::Basic { password: secret, .. }
            | Self::Bearer { token: secret, .. }
            | Self::Header { value: secret, .. }
            | Self::OAuth2 { client_secret: secret, .. } => secret,
        }
    }
}

pub(super) fn check_credentials(spec: &SubscriptionSpec, faults: &mut Faults) {
    if let Some(credentials) = &spec.credentials {
        check_names(credentials, faults);
        if let CredentialsSpec::Header { name, .. } = credentials {
            check_header(name, spec.signing.is_some(), faults);
        }
        let targets = [
            ("/request/url", literal_target(&spec.request.url)),
            ("/credentials/token_url", credentials.token_url().and_then(|url| Url::parse(url).ok())),
        ];
        for (pointer, _) in targets.iter().filter(|(_, url)| url.as_ref().is_some_and(|url| url.scheme() == "http")) {
            faults.warn(
                pointer,
                "plain_http_credentials",
                "the credentials are sent unencrypted, for everybody on the way to read; use `https`",
            );
        }
    }
    check_conflicts(spec, faults);
}

fn check_names(credentials: &CredentialsSpec, faults: &mut Faults) {
    let mut check_name = |field: &str, text: &str| {
        let bad = text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control);
        if bad {
            faults.add(
                &format!("/credentials/{field}"),
                "invalid_value",
                format!("it has {} bytes; use 1 to {NAME_BYTES_MAX}, without control characters", text.len()),
            );
        }
    };
    match credentials {
        CredentialsSpec::Basic { username, .. } => {
            check_name("username", username);
            if username.contains(':') {
                faults.add("/credentials/username", "invalid_value", "a user name holds no colon, which separates it from the password");
            }
        }
        CredentialsSpec::OAuth2 { token_url, client_id, scope, audience, .. } => {
            check_name("client_id", client_id);
            scope.iter().for_each(|scope| check_name("scope", scope));
            audience.iter().for_each(|audience| check_name("audience", audience));
            check_token_url(token_url, faults);
        }
        CredentialsSpec::Bearer { .. } | CredentialsSpec::Header { .. } => {}
    }
}

fn check_token_url(text: &str, faults: &mut Faults) {
    let usable = Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.host().is_some() && url.username().is_empty() && url.password().is_none()
    });
    // What is wrong is not quoted: user info would hold a password.
    if !usable || text.len() > TOKEN_URL_BYTES_MAX || text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        faults.add(
            "/credentials/token_url",
            "bad_url",
            "it is no URL that a token can be fetched from; write it like `https://auth.example/oauth/token`, without user info and macros",
        );
    }
}

fn check_header(name: &str, is_signed: bool, faults: &mut Faults) {
    let pointer = "/credentials/name";
    if !is_header_name(name) {
        faults.add(pointer, "invalid_header", format!("`{}` is not a header name; use letters, digits and `-`", name.escape_debug()));
    } else if is_reserved_header(name) {
        faults.add(pointer, "reserved_header", format!("`{name}` is set by the sender itself; choose another"));
    } else if is_signed && SIGNATURE_HEADERS.iter().any(|header| header.eq_ignore_ascii_case(name)) {
        faults.add(pointer, "header_conflict", format!("`{name}` is set by the signature; choose another"));
    }
}

/// Headers of the request that credentials or signature set too.
fn check_conflicts(spec: &SubscriptionSpec, faults: &mut Faults) {
    let signs_headers = spec.signing.as_ref().is_some_and(|signing| !signing.is_in_query(spec.request.method));
    for (index, header) in spec.request.headers.iter().enumerate() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let by = if spec.credentials.as_ref().is_some_and(|credentials| is(credentials.header())) {
            "credentials"
        } else if signs_headers && SIGNATURE_HEADERS.into_iter().any(is) {
            "signing"
        } else {
            continue;
        };
        faults.add(
            &format!("/request/headers/{index}/name"),
            "header_conflict",
            format!("`{}` is set by `{by}`; remove it here or there", header.name.escape_debug()),
        );
    }
}

/// What is wrong with a secret, without saying what it is.
pub(super) fn secret_problem(credentials: &CredentialsSpec, secret: &Secret) -> Option<String> {
    let text = secret.expose();
    let in_header = match credentials {
        CredentialsSpec::Bearer { .. } | CredentialsSpec::Header { .. } => true,
        CredentialsSpec::Basic { .. } | CredentialsSpec::OAuth2 { .. } => false,
    };
    if text.is_empty() || text.len() > SECRET_BYTES_MAX {
        return Some(format!("it has {} bytes; use 1 to {SECRET_BYTES_MAX}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Some("it holds a control character, such as a line end; remove it".into());
    }
    if in_header && text.trim() != text {
        return Some("it begins or ends with a blank, which a header would lose; remove it".into());
    }
    if matches!(credentials, CredentialsSpec::Bearer { .. }) && !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(
            "it holds a character that no bearer token has; use printable ASCII without blanks, and leave out the word `Bearer`".into(),
        );
    }
    None
}
