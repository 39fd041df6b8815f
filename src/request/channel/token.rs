//! Tokens of OAuth 2.0 by client credentials: fetched one at a time, kept in memory until shortly before
//! they end, never recorded.
//!
//! While one attempt fetches, the others of the subscription wait, and take what it gets, be it a token or
//! a failure: a token endpoint that hangs is asked once, not once for every delivery in flight.
//!
//! Source: RFC 6749, sections 2.3.1, 4.4 and 5.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::time::Instant;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroize;

use super::exchange::Carrier;
use crate::attempt::{Exchange, Failure, FailureKind, ReceivedResponse, SentRequest};
use crate::request::send::Outgoing;
use crate::secret::Secret;
use crate::subscription::{ClientAuthentication, CredentialsSpec, HIDDEN};

/// How long before its end a token is not used any more.
const RESERVE: Duration = Duration::from_secs(30);
/// How long a token is kept whose end is not told.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(300);
/// The longest that a token is kept.
const LIFETIME_MAX: Duration = Duration::from_secs(86_400);
/// Longest token, in bytes: it must fit into a header.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// What a token endpoint may give as a reason. Other words of its answer are not told.
const KNOWN_ERRORS: [&str; 6] =
    ["invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"];

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    text: Secret,
    /// From when on it is not used any more.
    ends_at: Instant,
}

impl Token {
    pub fn header(&self) -> Secret {
        Secret::new(format!("Bearer {}", self.text.expose()))
    }

    pub const fn text(&self) -> &Secret {
        &self.text
    }
}

/// Where the tokens of a subscription come from, and the one that is kept.
pub(super) struct TokenSource {
    url: String,
    /// The URL without its query, for messages.
    shown_url: String,
    authorization: Option<Secret>,
    /// Scope, audience, and id and secret if they stand in the body.
    body: Secret,
    kept: tokio::sync::Mutex<Option<Token>>,
    /// What the last fetch came to, for those who waited for it.
    last: std::sync::Mutex<Option<Result<Token, Failure>>>,
    /// How many fetches are over.
    fetches: AtomicU64,
}

impl TokenSource {
    /// None if the credentials are not of this kind.
    pub fn new(credentials: &CredentialsSpec, secret: &Secret) -> Option<Self> {
        let CredentialsSpec::OAuth2 { token_url, client_id, scope, audience, client_authentication, .. } = credentials else {
            return None;
        };
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", scope), ("audience", audience)] {
            form.extend_pairs(value.iter().map(|value| (name, value)));
        }
        let authorization = match client_authentication {
            ClientAuthentication::Body => {
                form.append_pair("client_id", client_id).append_pair("client_secret", secret.expose());
                None
            }
            ClientAuthentication::Basic => {
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = Secret::new(format!("{}:{}", encoded(client_id), encoded(secret.expose())));
                Some(Secret::new(format!("Basic {}", STANDARD.encode(pair.expose()))))
            }
        };
        Some(Self {
            url: token_url.clone(),
            shown_url: token_url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            authorization,
            body: Secret::new(form.finish()),
            kept: tokio::sync::Mutex::default(),
            last: std::sync::Mutex::default(),
            fetches: AtomicU64::new(0),
        })
    }

    /// A token that is not `stale`, and whether it was fetched for this call or one that waited with it.
    pub async fn token(&self, stale: Option<&Token>, carrier: Carrier<'_>) -> Result<(Token, bool), Failure> {
        let before = self.fetches.load(Ordering::Acquire);
        let mut kept = self.kept.lock().await;
        if self.fetches.load(Ordering::Acquire) != before
            && let Some(result) = self.last()
            && result.as_ref().map_or(true, |token| stale != Some(token))
        {
            return result.map(|token| (token, true));
        }
        let is_usable = |token: &Token| stale != Some(token) && token.ends_at > carrier.clock.instant();
        if let Some(token) = kept.as_ref().filter(|token| is_usable(token)) {
            return Ok((token.clone(), false));
        }
        *kept = None;
        let result = self.fetch(carrier).await;
        *kept = result.as_ref().ok().cloned();
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(result.clone());
        self.fetches.fetch_add(1, Ordering::AcqRel);
        result.map(|token| (token, true))
    }

    fn last(&self) -> Option<Result<Token, Failure>> {
        self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    async fn fetch(&self, carrier: Carrier<'_>) -> Result<Token, Failure> {
        let mut headers = vec![
            ("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
            ("Accept".to_owned(), "application/json".to_owned()),
        ];
        let mut secret_headers = Vec::new();
        if let Some(value) = &self.authorization {
            headers.push(("Authorization".into(), HIDDEN.into()));
            secret_headers.push(("Authorization".to_owned(), value.clone()));
        }
        let body = self.body.expose().as_bytes().to_vec();
        let mut request = SentRequest { method: "POST".into(), url: self.url.clone(), headers, body };
        let outgoing = Outgoing { secret_headers: &secret_headers, ..Outgoing::new(&request, carrier.timeout) };
        let exchange = carrier.transport.send(outgoing).await;
        request.body.zeroize();
        match exchange {
            Exchange::Answered(mut response) => {
                let token = self.read(&response, carrier.clock.instant());
                response.body.zeroize();
                token
            }
            // An address that is never sent to stays so, and what our own side cannot do is no failure of the
            // receiver's; whatever else it is, the next attempt may fare better.
            Exchange::Failed(Failure { kind: kind @ (FailureKind::Blocked | FailureKind::Local), detail }) => {
                Err(self.failure(kind, &detail))
            }
            Exchange::Failed(failure) => Err(self.failure(FailureKind::Connection, &failure.detail)),
        }
    }

    fn read(&self, response: &ReceivedResponse, now: Instant) -> Result<Token, Failure> {
        let fail = |what: &str| Err(self.failure(FailureKind::Connection, what));
        if response.status != 200 {
            let reason = serde_json::from_slice::<ErrorAnswer>(&response.body).ok();
            let known = reason.and_then(|answer| KNOWN_ERRORS.into_iter().find(|known| *known == answer.error));
            return fail(&format!(
                "it answered status {}{}",
                response.status,
                known.map(|known| format!(", `{known}`")).unwrap_or_default()
            ));
        }
        if response.truncated {
            return fail("its answer is larger than is read");
        }
        let Ok(answer) = serde_json::from_slice::<TokenAnswer>(&response.body) else {
            return fail("its answer is no JSON object with an `access_token`");
        };
        let text = answer.access_token.expose();
        if text.is_empty() || text.len() > TOKEN_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return fail("its `access_token` cannot be put into a header");
        }
        if answer.token_type.as_ref().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return fail("its `token_type` is not `Bearer`");
        }
        let lifetime = match answer.expires_in.map(|seconds| seconds.read()) {
            None => LIFETIME_DEFAULT,
            Some(Some(lifetime)) => lifetime.saturating_sub(RESERVE).min(LIFETIME_MAX),
            Some(None) => return fail("its `expires_in` is no number of seconds"),
        };
        Ok(Token { text: answer.access_token, ends_at: now + lifetime })
    }

    fn failure(&self, kind: FailureKind, what: &str) -> Failure {
        Failure { kind, detail: format!("no token from `{}`: {what}", self.shown_url) }
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Secret,
    token_type: Option<String>,
    expires_in: Option<Seconds>,
}

/// Some write the number as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(serde_json::Number),
    Text(String),
}

impl Seconds {
    fn read(&self) -> Option<Duration> {
        let seconds: f64 = match self {
            Self::Number(number) => number.as_str().parse().ok()?,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(LIFETIME_MAX.as_secs_f64() * 2.0)))
    }
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ScriptedClock, Timestamp};
    use crate::request::send::{Scripted, ScriptedTransport};

    const URL: &str = "https://auth.example/token";

    struct World {
        source: TokenSource,
        transport: ScriptedTransport,
        clock: ScriptedClock,
    }

    impl World {
        fn new(answers: impl IntoIterator<Item = Scripted>) -> Self {
            let spec = serde_json::json!({
                "type": "oauth2", "token_url": format!("{URL}?tenant=1"), "client_id": "id", "client_secret": "geh&eim",
                "scope": "a b", "client_authentication": "body",
            });
            let source = TokenSource::new(&serde_json::from_value(spec).unwrap(), &Secret::new("geh&eim")).unwrap();
            let transport = ScriptedTransport::new();
            transport.on(URL, answers);
            Self { source, transport, clock: ScriptedClock::starting_at(Timestamp::default()) }
        }

        async fn token(&self, stale: Option<&Token>) -> Result<(Token, bool), Failure> {
            let carrier = Carrier { transport: &self.transport, clock: &self.clock, timeout: Duration::from_secs(5) };
            self.source.token(stale, carrier).await
        }

        async fn text(&self) -> String {
            self.token(None).await.unwrap().0.text.expose().to_owned()
        }

        fn fetches(&self) -> usize {
            self.transport.requests().len()
        }
    }

    fn grants(token: &str, more: &str) -> Scripted {
        Scripted::answer(200, format!(r#"{{"access_token":"{token}","token_type":"bearer"{more}}}"#))
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_until_shortly_before_its_end() {
        let world = World::new([grants("T1", r#","expires_in":100"#), grants("T2", r#","expires_in":"100""#), grants("T3", "")]);
        assert_eq!((world.text().await.as_str(), world.text().await.as_str(), world.fetches()), ("T1", "T1", 1));
        world.clock.until(world.clock.instant() + Duration::from_secs(69)).await;
        assert_eq!(world.text().await, "T1");
        world.clock.until(world.clock.instant() + Duration::from_secs(1)).await;
        assert_eq!((world.text().await.as_str(), world.fetches()), ("T2", 2));
        let request = &world.transport.requests()[0].request;
        assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://auth.example/token?tenant=1"));
        assert_eq!(request.body, b"grant_type=client_credentials&scope=a+b&client_id=id&client_secret=geh%26eim");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_token_is_dropped_once() {
        let world = World::new([grants("T1", ""), grants("T2", "")]);
        let (first, is_new) = world.token(None).await.unwrap();
        assert!(is_new);
        let (second, is_new) = world.token(Some(&first)).await.unwrap();
        assert_eq!((second.text.expose(), is_new), ("T2", true));
        // Another attempt that was refused with the first one takes the second.
        let (again, is_new) = world.token(Some(&first)).await.unwrap();
        assert_eq!((again, is_new, world.fetches()), (second, false, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_take_what_is_fetched_be_it_token_or_failure() {
        let world = World::new([Scripted::silence(), grants("T1", r#","expires_in":1"#).after(Duration::from_secs(1)), grants("T2", "")]);
        let failed = tokio::join!(world.token(None), world.token(None), world.token(None));
        for result in [failed.0, failed.1, failed.2] {
            let failure = result.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Connection);
            assert!(failure.detail.starts_with("no token from `https://auth.example/token`: "), "{}", failure.detail);
        }
        assert_eq!(world.fetches(), 1, "a token endpoint that hangs is asked once");
        let taken = tokio::join!(world.text(), world.text());
        assert_eq!((taken.0.as_str(), taken.1.as_str(), world.fetches()), ("T1", "T1", 2));
        assert_eq!(world.text().await, "T2", "a token that ends within the reserve is used by those who waited for it only");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_no_token_is_told_without_being_quoted() {
        let table = [
            (Scripted::answer(401, r#"{"error":"invalid_client","error_description":"geheim"}"#), "status 401, `invalid_client`"),
            (Scripted::answer(400, r#"{"error":"geheim"}"#), "it answered status 400"),
            (Scripted::answer(503, "geheim"), "it answered status 503"),
            (Scripted::answer(302, ""), "it answered status 302"),
            (Scripted::answer(200, "geheim"), "no JSON object with an `access_token`"),
            (Scripted::answer(200, r#"{"access_token":4711}"#), "no JSON object with an `access_token`"),
            (Scripted::answer(200, r#"{"access_token":""}"#), "cannot be put into a header"),
            (Scripted::answer(200, r#"{"access_token":"geheim\n"}"#), "cannot be put into a header"),
            (Scripted::answer(200, r#"{"access_token":"geheim","token_type":"mac"}"#), "is not `Bearer`"),
            (Scripted::answer(200, r#"{"access_token":"geheim","expires_in":"soon"}"#), "no number of seconds"),
            (Scripted::answer(200, r#"{"access_token":"geheim","expires_in":-1}"#), "no number of seconds"),
            (Scripted::failure(FailureKind::NameNotResolved), "scripted failure"),
        ];
        for (answer, what) in table {
            let failure = World::new([answer.clone()]).token(None).await.unwrap_err();
            assert!(failure.detail.contains(what) && !failure.detail.contains("geheim"), "{answer:?}: {}", failure.detail);
            assert_eq!(failure.kind, FailureKind::Connection, "{answer:?}");
        }
        let blocked = World::new([Scripted::failure(FailureKind::Blocked)]).token(None).await.unwrap_err();
        assert_eq!(blocked.kind, FailureKind::Blocked, "what is never sent to is not tried again");
        let local = World::new([Scripted::failure(FailureKind::Local)]).token(None).await.unwrap_err();
        assert_eq!(local.kind, FailureKind::Local, "what our own side cannot do costs no retry");
    }
}
