//! The secrets of a subscription: which of them a change keeps, which it must bring, and where they end.
//!
//! Secrets are written and never read. So what a caller does not send is kept from before, as long as it
//! is sent to the same place: else who may change a subscription could have its secrets sent to himself.

use super::check::FieldError;
use super::credentials::secret_problem;
use super::spec::SubscriptionSpec;
use super::target::is_same_origin;
use super::{SigningSpec, Subscription};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// What stands in place of a secret where it is shown. Sent back as the value of a header that is shown
/// so, it means the value that is there.
pub const HIDDEN: &str = "(secret)";

/// Headers that a caller may set and that usually hold secrets; their values are not shown.
const SENSITIVE_HEADERS: [&str; 6] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"];

/// The secrets of one subscription, opened. Which there are follows from the spec; one may be missing
/// that the spec needs if its record was damaged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SubscriptionSecrets {
    /// The key that signs, `whsec_…` or `whsk_…`.
    pub signing: Option<Secret>,
    /// The key before it, which signs too until `previous_until`.
    pub previous_signing: Option<Secret>,
    /// The secret part of the credentials.
    pub credentials: Option<Secret>,
    /// The private key of the client certificate.
    pub client_key: Option<Secret>,
}

impl SubscriptionSecrets {
    /// Each secret that is there, with the field under which it is kept. The field tells the type of the
    /// credentials, so that a password never becomes a token.
    #[must_use]
    pub fn fields(&self, spec: &SubscriptionSpec) -> Vec<(String, &Secret)> {
        let credentials_field = credentials_field(spec).unwrap_or_default();
        [
            (SIGNING_FIELD.to_owned(), &self.signing),
            (PREVIOUS_SIGNING_FIELD.to_owned(), &self.previous_signing),
            (credentials_field, &self.credentials),
            (CLIENT_KEY_FIELD.to_owned(), &self.client_key),
        ]
        .into_iter()
        .filter_map(|(field, secret)| Some((field, secret.as_ref()?)))
        .collect()
    }

    /// The secrets that `spec` needs, each as `find` knows it by its field.
    pub fn collect(spec: &SubscriptionSpec, mut find: impl FnMut(&str) -> Option<Secret>) -> Self {
        let signing = spec.signing.as_ref();
        Self {
            signing: signing.and_then(|_| find(SIGNING_FIELD)),
            previous_signing: signing.and_then(|signing| signing.previous_until).and_then(|_| find(PREVIOUS_SIGNING_FIELD)),
            credentials: credentials_field(spec).and_then(|field| find(&field)),
            client_key: spec.tls.as_ref().and_then(|tls| tls.client_certificate.as_ref()).and_then(|_| find(CLIENT_KEY_FIELD)),
        }
    }

    /// The first thing that `spec` needs and that is not here.
    #[must_use]
    pub fn missing(&self, spec: &SubscriptionSpec) -> Option<&'static str> {
        let needs_key = spec.tls.as_ref().is_some_and(|tls| tls.client_certificate.is_some());
        [
            ("signing key", spec.signing.is_some(), &self.signing),
            ("secret of the credentials", spec.credentials.is_some(), &self.credentials),
            ("client key", needs_key, &self.client_key),
        ]
        .into_iter()
        .find_map(|(what, needed, secret)| (needed && secret.is_none()).then_some(what))
    }
}

const SIGNING_FIELD: &str = "signing.secret";
const PREVIOUS_SIGNING_FIELD: &str = "signing.previous_secret";
const CLIENT_KEY_FIELD: &str = "tls.client_key";

fn credentials_field(spec: &SubscriptionSpec) -> Option<String> {
    spec.credentials.as_ref().map(|credentials| format!("credentials.{}.{}", credentials.type_name(), credentials.secret_field()))
}

/// Whether the value of a header of this name is not shown.
fn is_sensitive_header(name: &str) -> bool {
    SENSITIVE_HEADERS.iter().any(|sensitive| name.eq_ignore_ascii_case(sensitive))
}

/// The value of a header as it is shown.
#[must_use]
pub fn shown_header<'a>(name: &str, value: &'a str) -> &'a str {
    if is_sensitive_header(name) { HIDDEN } else { value }
}

/// Takes the secrets out of `spec`; those that it does not bring are kept from `present`. What the server
/// sets itself is taken over too, and headers that were sent back as they were shown get their values.
///
/// # Errors
/// `secret_missing` for each secret that neither brings, `secret_required` for each that is there and may
/// not be kept, `invalid_secret` for one that cannot be used.
pub fn settle_secrets(
    spec: &mut SubscriptionSpec,
    present: Option<&Subscription>,
    now: Timestamp,
) -> Result<SubscriptionSecrets, Vec<FieldError>> {
    let mut errors = Vec::new();
    restore_headers(spec, present.map(|present| &*present.spec), &mut errors);
    let credentials = settle_credentials(spec, present, &mut errors);
    let client_key = settle_client_key(spec, present, &mut errors);
    let (signing, previous_signing) = settle_signing(spec, present, now, &mut errors);
    if errors.is_empty() { Ok(SubscriptionSecrets { signing, previous_signing, credentials, client_key }) } else { Err(errors) }
}

fn restore_headers(spec: &mut SubscriptionSpec, present: Option<&SubscriptionSpec>, errors: &mut Vec<FieldError>) {
    let mut before: Vec<_> =
        present.iter().flat_map(|present| &present.request.headers).filter(|header| is_sensitive_header(&header.name)).collect();
    let moved = present.is_some_and(|present| !is_same_origin(&present.request.url, &spec.request.url));
    for (index, header) in spec.request.headers.iter_mut().enumerate() {
        if !is_sensitive_header(&header.name) {
            continue;
        }
        // Of several with one name, the first stands for the first.
        let kept = before.iter().position(|kept| kept.name.eq_ignore_ascii_case(&header.name)).map(|place| before.remove(place));
        if header.value != HIDDEN {
            continue;
        }
        let pointer = format!("/request/headers/{index}/value");
        match kept {
            Some(_) if moved => errors.push(required(&pointer, &header.name)),
            Some(kept) => header.value.clone_from(&kept.value),
            None => errors.push(missing(&pointer, &header.name)),
        }
    }
}

fn settle_credentials(spec: &mut SubscriptionSpec, present: Option<&Subscription>, errors: &mut Vec<FieldError>) -> Option<Secret> {
    let url = &spec.request.url;
    let credentials = spec.credentials.as_mut()?;
    let field = credentials.secret_field();
    let pointer = format!("/credentials/{field}");
    if let Some(secret) = credentials.secret_slot().take() {
        if let Some(problem) = secret_problem(credentials, &secret) {
            errors.push(FieldError::new(&pointer, "invalid_secret", problem));
        }
        return Some(secret);
    }
    let before = present.and_then(|present| Some((present, present.spec.credentials.as_ref()?)));
    let Some((present, before)) = before.filter(|(_, before)| before.type_name() == credentials.type_name()) else {
        errors.push(missing(&pointer, field));
        return None;
    };
    let stays = is_same_origin(&present.spec.request.url, url)
        && match (before.token_url(), credentials.token_url()) {
            (Some(before), Some(now)) => is_same_origin(before, now),
            _ => true,
        };
    if !stays {
        errors.push(required(&pointer, field));
    } else if present.secrets.credentials.is_none() {
        errors.push(missing(&pointer, field));
    }
    present.secrets.credentials.clone()
}

fn settle_client_key(spec: &mut SubscriptionSpec, present: Option<&Subscription>, errors: &mut Vec<FieldError>) -> Option<Secret> {
    let tls = spec.tls.as_mut()?;
    let pointer = "/tls/client_key";
    let given = tls.client_key.take();
    if tls.client_certificate.is_none() {
        tls.client_certificate_expires_at = None;
        if given.is_some() {
            errors.push(FieldError::new(
                "/tls/client_certificate",
                "missing_field",
                "a key is of no use without its certificate; send both",
            ));
        }
        return None;
    }
    if given.is_some() {
        return given;
    }
    let before = present.and_then(|present| Some((present, present.spec.tls.as_ref()?)));
    let Some((present, before)) = before.filter(|(_, before)| before.client_certificate.is_some()) else {
        errors.push(missing(pointer, "client_key"));
        return None;
    };
    if before.client_certificate != tls.client_certificate {
        let detail = "a certificate and its key belong together; send `client_key` with the new certificate";
        errors.push(FieldError::new(pointer, "secret_required", detail));
    } else if present.secrets.client_key.is_none() {
        errors.push(missing(pointer, "client_key"));
    }
    tls.client_certificate_expires_at = before.client_certificate_expires_at;
    present.secrets.client_key.clone()
}

fn settle_signing(
    spec: &mut SubscriptionSpec,
    present: Option<&Subscription>,
    now: Timestamp,
    errors: &mut Vec<FieldError>,
) -> (Option<Secret>, Option<Secret>) {
    let Some(signing) = spec.signing.as_mut() else { return (None, None) };
    let before = present.and_then(|present| Some((present, present.spec.signing.as_ref()?)));
    if let Some(secret) = signing.secret.take() {
        // A key that replaces another without an overlap.
        signing.rotated_at = before.map(|_| now);
        signing.previous_until = None;
        return (Some(secret), None);
    }
    let kept = before.filter(|(_, before)| before.version == signing.version);
    let Some((present, before)) = kept.filter(|(present, _)| present.secrets.signing.is_some()) else {
        errors.push(missing("/signing/secret", "secret"));
        return (None, None);
    };
    signing.public_key.clone_from(&before.public_key);
    signing.rotated_at = before.rotated_at;
    signing.previous_until = before.previous_until.filter(|until| *until > now);
    let previous = signing.previous_until.and_then(|_| present.secrets.previous_signing.clone());
    (present.secrets.signing.clone(), previous)
}

/// Replaces the key of `signing` by `key`. The one before it signs too until `previous_until`, if that is set.
pub fn rotate_signing(
    signing: &mut SigningSpec,
    secrets: &mut SubscriptionSecrets,
    (key, public_key): (Secret, Option<String>),
    now: Timestamp,
    previous_until: Option<Timestamp>,
) {
    let before = secrets.signing.replace(key);
    secrets.previous_signing = before.filter(|_| previous_until.is_some());
    signing.public_key = public_key;
    signing.rotated_at = Some(now);
    signing.previous_until = previous_until.filter(|_| secrets.previous_signing.is_some());
}

fn missing(pointer: &str, field: &str) -> FieldError {
    FieldError::new(pointer, "secret_missing", format!("`{field}` is not known; send it"))
}

fn required(pointer: &str, field: &str) -> FieldError {
    let detail =
        format!("`{field}` was given for another scheme, host or port; send it again, so that it goes only where its owner wants it");
    FieldError::new(pointer, "secret_required", detail)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::id::SubscriptionId;
    use crate::subscription::{FieldNames, check};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000);

    fn spec(patch: Value) -> SubscriptionSpec {
        let mut spec = json!({"account": "acme", "name": "x", "event_types": ["*"], "request": {"url": "https://a.example/p"}});
        for (name, value) in patch.as_object().unwrap() {
            spec[name] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    fn stored(patch: Value) -> Subscription {
        let mut spec = spec(patch);
        let secrets = settle_secrets(&mut spec, None, NOW).unwrap();
        let (rules, _) = check(&spec, &FieldNames::default(), &|_| true).unwrap();
        Subscription {
            id: SubscriptionId::from_raw(1),
            version: 1,
            template_version: 1,
            created_at: NOW,
            updated_at: NOW,
            spec: Arc::new(spec),
            rules: Arc::new(rules),
            secrets: Arc::new(secrets),
        }
    }

    /// What a caller reads of a subscription, and may send back.
    fn read(subscription: &Subscription) -> Value {
        serde_json::to_value(&*subscription.spec).unwrap()
    }

    /// What comes of sending back what was read, changed by `patch`.
    fn sent_back(present: &Subscription, patch: Value) -> Result<SubscriptionSecrets, Vec<String>> {
        let mut value = read(present);
        for (pointer, changed) in patch.as_object().unwrap() {
            match value.pointer_mut(pointer) {
                Some(place) => *place = changed.clone(),
                None => {
                    let (parent, name) = pointer.rsplit_once('/').unwrap();
                    value.pointer_mut(parent).unwrap()[name] = changed.clone();
                }
            }
        }
        let mut spec: SubscriptionSpec = serde_json::from_value(value).unwrap();
        let secrets = settle_secrets(&mut spec, Some(present), NOW);
        let given = [
            spec.credentials.as_mut().and_then(|credentials| credentials.secret_slot().take()),
            spec.tls.as_ref().and_then(|tls| tls.client_key.clone()),
            spec.signing.as_ref().and_then(|signing| signing.secret.clone()),
        ];
        assert_eq!(given, [None, None, None], "no secret stays in the spec");
        secrets.map_err(|errors| errors.iter().map(|error| format!("{} {}", error.pointer, error.code)).collect())
    }

    fn all_types() -> [(Value, &'static str); 4] {
        [
            (json!({"type": "basic", "username": "u", "password": "geheim"}), "password"),
            (json!({"type": "bearer", "token": "geheim"}), "token"),
            (json!({"type": "header", "name": "X-Key", "value": "geheim"}), "value"),
            (
                json!({"type": "oauth2", "token_url": "https://auth.example/t", "client_id": "c", "client_secret": "geheim"}),
                "client_secret",
            ),
        ]
    }

    #[test]
    fn secrets_are_written_and_kept_and_never_read() {
        for (credentials, field) in all_types() {
            let present = stored(json!({"credentials": credentials}));
            let shown = read(&present);
            assert!(!shown.to_string().contains("geheim") && !format!("{present:?}").contains("geheim"), "{shown}");
            for patch in [
                json!({}),
                json!({"/name": "other"}),
                json!({"/credentials/has_secret": true}),
                json!({"/request/url": "https://a.example:443/other?x={SubId1}"}),
                json!({format!("/credentials/{field}"): null}),
            ] {
                assert_eq!(sent_back(&present, patch.clone()).as_ref(), Ok(&*present.secrets), "{patch}");
            }
            let changed = sent_back(&present, json!({format!("/credentials/{field}"): "other"})).unwrap();
            assert_eq!(changed.credentials, Some(Secret::new("other")));
            assert_eq!(sent_back(&present, json!({"/credentials": null})), Ok(SubscriptionSecrets::default()));
        }
    }

    #[test]
    fn another_host_asks_for_the_secret_again() {
        for (credentials, field) in all_types() {
            let present = stored(json!({"credentials": credentials}));
            let refused = Err(vec![format!("/credentials/{field} secret_required")]);
            for url in ["http://a.example/p", "https://b.example/p", "https://a.example:8443/p", "https://a.example@b.example/"] {
                assert_eq!(sent_back(&present, json!({"/request/url": url})), refused, "{url}");
                let with_it = json!({"/request/url": url, format!("/credentials/{field}"): "again"});
                assert_eq!(sent_back(&present, with_it).unwrap().credentials, Some(Secret::new("again")));
            }
        }
        let present = stored(json!({"credentials": all_types()[3].0}));
        let moved = json!({"/credentials/token_url": "https://evil.example/t"});
        assert_eq!(sent_back(&present, moved), Err(vec!["/credentials/client_secret secret_required".into()]));
        assert!(sent_back(&present, json!({"/credentials/token_url": "https://auth.example/other"})).is_ok());
    }

    #[test]
    fn another_type_and_a_new_subscription_must_bring_their_secret() {
        let present = stored(json!({"credentials": all_types()[1].0}));
        for (mut credentials, field) in all_types() {
            credentials.as_object_mut().unwrap().remove(field);
            let refused = vec![format!("/credentials/{field} secret_missing")];
            let errors = settle_secrets(&mut spec(json!({"credentials": credentials})), None, NOW).unwrap_err();
            assert_eq!(errors.iter().map(|error| format!("{} {}", error.pointer, error.code)).collect::<Vec<_>>(), refused);
            if field != "token" {
                assert_eq!(sent_back(&present, json!({"/credentials": credentials})), Err(refused));
            }
        }
    }

    #[test]
    fn a_secret_that_cannot_be_sent_is_refused_without_being_quoted() {
        let table = [
            ("password", ""),
            ("token", "ge heim"),
            ("token", "geheim\u{e4}"),
            ("value", "geheim\n"),
            ("value", " geheim"),
            ("password", "ge\u{7}heim"),
        ];
        for (wanted, secret) in table {
            let (mut credentials, field) = all_types().into_iter().find(|(_, field)| *field == wanted).unwrap();
            credentials[field] = json!(secret);
            let [error] = settle_secrets(&mut spec(json!({"credentials": credentials})), None, NOW).unwrap_err().try_into().unwrap();
            assert_eq!((error.pointer.as_str(), error.code.as_str()), (format!("/credentials/{field}").as_str(), "invalid_secret"));
            assert!(!error.detail.contains("heim"), "{}", error.detail);
        }
        let umlauts = json!({"credentials": {"type": "basic", "username": "ä", "password": "ü ß"}});
        assert!(settle_secrets(&mut spec(umlauts), None, NOW).is_ok());
    }

    #[test]
    fn a_header_that_was_shown_hidden_keeps_its_value() {
        let headers = json!([{"name": "Cookie", "value": "a"}, {"name": "cookie", "value": "b"}, {"name": "X-Other", "value": "c"}]);
        let present = stored(json!({"request": {"url": "https://a.example/", "headers": headers}}));
        let values = |patch: Value, present: Option<&Subscription>| {
            let mut spec = spec(patch);
            settle_secrets(&mut spec, present, NOW)
                .map(|_| spec.request.headers.iter().map(|header| header.value.clone()).collect::<Vec<_>>())
                .map_err(|errors| errors.iter().map(|error| format!("{} {}", error.pointer, error.code)).collect::<Vec<_>>())
        };
        let request = |url: &str, headers: Value| json!({"request": {"url": url, "headers": headers}});
        let hidden = |name: &str| json!({"name": name, "value": HIDDEN});
        let same = "https://a.example/x";
        assert_eq!(values(request(same, json!([hidden("cookie"), hidden("Cookie")])), Some(&present)), Ok(vec!["a".into(), "b".into()]));
        let one_new = json!([{"name": "Cookie", "value": "new"}, hidden("Cookie")]);
        assert_eq!(values(request(same, one_new), Some(&present)), Ok(vec!["new".into(), "b".into()]));
        assert_eq!(values(request(same, json!([hidden("X-Other")])), Some(&present)), Ok(vec![HIDDEN.into()]), "not one that is hidden");
        assert_eq!(
            values(request("https://b.example/", json!([hidden("Cookie")])), Some(&present)),
            Err(vec!["/request/headers/0/value secret_required".into()])
        );
        assert_eq!(
            values(request(same, json!([hidden("Authorization")])), Some(&present)),
            Err(vec!["/request/headers/0/value secret_missing".into()])
        );
        assert_eq!(values(request(same, json!([hidden("Cookie")])), None), Err(vec!["/request/headers/0/value secret_missing".into()]));
    }

    #[test]
    fn a_certificate_and_its_key_come_together() {
        let tls = json!({"client_certificate": "C1", "client_key": "K1", "ca": "A1"});
        let present = stored(json!({"tls": tls}));
        assert_eq!(sent_back(&present, json!({"/tls/ca": "A2", "/tls/has_secret": true})).as_ref(), Ok(&*present.secrets));
        assert_eq!(sent_back(&present, json!({"/request/url": "https://b.example/"})).as_ref(), Ok(&*present.secrets), "it is never sent");
        assert_eq!(sent_back(&present, json!({"/tls/client_certificate": "C2"})), Err(vec!["/tls/client_key secret_required".into()]));
        let both = json!({"/tls/client_certificate": "C2", "/tls/client_key": "K2"});
        assert_eq!(sent_back(&present, both).unwrap().client_key, Some(Secret::new("K2")));
        assert_eq!(sent_back(&present, json!({"/tls/client_certificate": null})), Ok(SubscriptionSecrets::default()));
        let errors = settle_secrets(&mut spec(json!({"tls": {"client_certificate": "C"}})), None, NOW).unwrap_err();
        assert_eq!((errors[0].pointer.as_str(), errors[0].code.as_str()), ("/tls/client_key", "secret_missing"));
    }

    #[test]
    fn a_signing_key_is_kept_replaced_and_rotated() {
        let present = stored(json!({"signing": {"secret": "K1"}}));
        assert_eq!(sent_back(&present, json!({"/signing/form": "headers", "/signing/rotated_at": null})).as_ref(), Ok(&*present.secrets));
        assert_eq!(sent_back(&present, json!({"/signing/version": "v1a"})), Err(vec!["/signing/secret secret_missing".into()]));
        let (mut signing, mut secrets) = (present.spec.signing.clone().unwrap(), (*present.secrets).clone());
        let until = NOW.after(std::time::Duration::from_secs(60));
        rotate_signing(&mut signing, &mut secrets, (Secret::new("K2"), None), NOW, Some(until));
        assert_eq!((signing.rotated_at, signing.previous_until), (Some(NOW), Some(until)));
        assert_eq!((&secrets.signing, &secrets.previous_signing), (&Some(Secret::new("K2")), &Some(Secret::new("K1"))));
        let spec = SubscriptionSpec { signing: Some(signing.clone()), ..(*present.spec).clone() };
        let rotated = Subscription { spec: Arc::new(spec), secrets: Arc::new(secrets.clone()), ..present.clone() };
        assert_eq!(sent_back(&rotated, json!({"/name": "y"})).as_ref(), Ok(&secrets), "an overlap goes on");
        let mut later = (*rotated.spec).clone();
        assert_eq!(settle_secrets(&mut later, Some(&rotated), until).unwrap().previous_signing, None, "and ends");
        assert_eq!(later.signing.unwrap().previous_until, None);
        rotate_signing(&mut signing, &mut secrets, (Secret::new("K3"), None), NOW, None);
        assert_eq!((signing.previous_until, secrets.previous_signing), (None, None), "without an overlap the old key is gone");
    }
}
