//! A subscription's channel: its keys and secrets, ready for use.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::mask::Mask;
use super::token::TokenSource;
use crate::attempt::{Failure, FailureKind, SentRequest};
use crate::clock::Timestamp;
use crate::request::send::TlsIdentity;
use crate::request::sign::{SigningKey, sign_headers, sign_query};
use crate::secret::Secret;
use crate::subscription::{CredentialsSpec, HIDDEN, Subscription, SubscriptionSecrets, SubscriptionSpec, literal_target};

/// What one version of a subscription sends with. Share it in an [`Arc`].
pub struct Channel {
    pub(super) spec: Arc<SubscriptionSpec>,
    signer: Option<Signer>,
    pub(super) credentials: Option<Credentials>,
    pub(super) identity: Option<Arc<TlsIdentity>>,
    /// What is masked in answers.
    pub(super) mask: Mask,
}

/// The keys that sign.
struct Signer {
    present: SigningKey,
    /// The key before, and until when it signs too.
    previous: Option<(SigningKey, Timestamp)>,
}

/// What a request proves its sender with.
pub(super) enum Credentials {
    /// A header whose value stays the same.
    Fixed { header: String, value: Secret },
    /// A token that is fetched.
    Token(TokenSource),
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("signs", &self.signer.is_some()).finish_non_exhaustive()
    }
}

impl Channel {
    /// The channel of this version of a subscription.
    ///
    /// # Errors
    /// [`Failure`] of our own side if a secret that the spec needs is not there, since its record was damaged.
    /// What is owed then waits until the secret is set again.
    pub fn open(subscription: &Subscription) -> Result<Self, Failure> {
        let (spec, secrets) = (&subscription.spec, &subscription.secrets);
        if let Some(what) = secrets.missing(spec) {
            let detail = format!("the {what} of this subscription cannot be opened any more; send it again with PATCH");
            return Err(Failure { kind: FailureKind::Local, detail });
        }
        let mut mask = Mask::default();
        let credentials = credentials(spec, secrets, &mut mask);
        let (signer, identity) = (signer(spec, secrets, &mut mask)?, identity(spec, secrets)?);
        Ok(Self { spec: spec.clone(), signer, credentials, identity, mask })
    }

    /// Adds to `request` what is added at `at`: the header of the credentials, as it is recorded, and the
    /// signature of the delivery `id`.
    pub(super) fn dress(&self, mut request: SentRequest, id: &str, at: Timestamp) -> Result<SentRequest, Failure> {
        if let Some(credentials) = &self.credentials {
            let header = credentials.header();
            // A template of an earlier version may still set what the credentials set now.
            request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(header));
            request.headers.push((header.to_owned(), HIDDEN.to_owned()));
        }
        let (Some(signer), Some(signing)) = (&self.signer, &self.spec.signing) else { return Ok(request) };
        let keys = signer.keys(at);
        let method = self.method_of(&request);
        if signing.is_in_query(method) && !method.has_body() {
            sign_query(&mut request.url, id, at, &keys)?;
        } else {
            sign_headers(&mut request.headers, id, at, &request.body, &keys);
        }
        Ok(request)
    }

    /// The method by which the form of the signature is chosen: that of the request, which may come from
    /// an earlier version of the template.
    fn method_of(&self, request: &SentRequest) -> crate::subscription::Method {
        use crate::subscription::Method;
        [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete]
            .into_iter()
            .find(|method| method.as_str() == request.method)
            .unwrap_or(self.spec.request.method)
    }

    /// Refuses to show credentials to another host than they were given for: a template of an earlier
    /// version may lead to one.
    pub(super) fn admits(&self, request: &SentRequest) -> Result<(), Failure> {
        let origin = |url: &str| literal_target(url).map(|url| url.origin());
        if self.credentials.is_none() || origin(&request.url) == origin(&self.spec.request.url) {
            return Ok(());
        }
        let detail = "the template of this delivery leads to another host than the credentials of the subscription are for; \
                      retry the delivery, so that it is rendered with the present template";
        Err(Failure { kind: FailureKind::NotRendered, detail: detail.into() })
    }
}

impl Signer {
    fn keys(&self, at: Timestamp) -> Vec<&SigningKey> {
        let previous = self.previous.as_ref().filter(|(_, until)| at < *until).map(|(key, _)| key);
        std::iter::once(&self.present).chain(previous).collect()
    }
}

impl Credentials {
    fn header(&self) -> &str {
        match self {
            Self::Fixed { header, .. } => header,
            Self::Token(_) => "Authorization",
        }
    }
}

fn signer(spec: &SubscriptionSpec, secrets: &SubscriptionSecrets, mask: &mut Mask) -> Result<Option<Signer>, Failure> {
    let (Some(signing), Some(secret)) = (&spec.signing, &secrets.signing) else { return Ok(None) };
    let parse = |secret: &Secret| {
        secret.expose().parse::<SigningKey>().map_err(|error| Failure {
            kind: FailureKind::Local,
            detail: format!("the signing key of this subscription cannot be used: {error}"),
        })
    };
    let previous = match (&secrets.previous_signing, signing.previous_until) {
        (Some(secret), Some(until)) => Some((parse(secret)?, until)),
        _ => None,
    };
    secrets.previous_signing.iter().chain([secret]).for_each(|secret| mask.add(secret));
    Ok(Some(Signer { present: parse(secret)?, previous }))
}

fn identity(spec: &SubscriptionSpec, secrets: &SubscriptionSecrets) -> Result<Option<Arc<TlsIdentity>>, Failure> {
    let Some(tls) = &spec.tls else { return Ok(None) };
    let identity = TlsIdentity::parse(tls.client_certificate.as_deref(), secrets.client_key.as_ref(), tls.ca.as_deref());
    identity.map(|identity| Some(Arc::new(identity))).map_err(|error| Failure {
        kind: FailureKind::Local,
        detail: format!("the `tls` settings of this subscription cannot be used any more: {error}"),
    })
}

fn credentials(spec: &SubscriptionSpec, secrets: &SubscriptionSecrets, mask: &mut Mask) -> Option<Credentials> {
    let (credentials, secret) = (spec.credentials.as_ref()?, secrets.credentials.as_ref()?);
    mask.add(secret);
    let fixed = |value: Secret| Credentials::Fixed { header: credentials.header().to_owned(), value };
    Some(match credentials {
        CredentialsSpec::Basic { username, .. } => {
            let pair = STANDARD.encode(format!("{username}:{}", secret.expose()));
            mask.add(&Secret::new(pair.as_str()));
            fixed(Secret::new(format!("Basic {pair}")))
        }
        CredentialsSpec::Bearer { .. } => fixed(Secret::new(format!("Bearer {}", secret.expose()))),
        CredentialsSpec::Header { .. } => fixed(secret.clone()),
        CredentialsSpec::OAuth2 { .. } => Credentials::Token(TokenSource::new(credentials, secret)?),
    })
}
