//! The client of the REST API that commands use.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustls_platform_verifier::BuilderVerifierExt;
use serde_json::Value;

/// A server to call.
#[derive(Debug, Clone)]
pub(super) struct Client {
    base: String,
    key: String,
    http: reqwest::Client,
}

/// Time for one call.
const CALL_MAX: Duration = Duration::from_secs(30);

impl Client {
    /// A client of the server at `base` (`http://host:port`) with this key.
    pub fn new(base: &str, key: &str) -> anyhow::Result<Self> {
        let http = http_client().context("the HTTP client cannot be set up")?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), key: key.trim().to_owned(), http })
    }

    /// Calls `path` with a JSON body and answers with the JSON of the reply. A problem becomes an error
    /// with its detail.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(reqwest::Method::POST, path, Some(body)).await
    }

    /// Reads `path`.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(reqwest::Method::GET, path, None).await
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, &url).header("authorization", format!("Bearer {}", self.key));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("no server answers at {}; start one with `postrider serve`, or set POSTRIDER_URL", self.base))?;
        let status = response.status();
        let text = response.text().await.context("the server's answer ended early; call again")?;
        let value: Value = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).context("the server's answer is no JSON; is this a Postrider server?")?
        };
        if !status.is_success() {
            bail!("{}", problem_text(status.as_u16(), &value));
        }
        Ok(value)
    }
}

fn http_client() -> anyhow::Result<reqwest::Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(reqwest::Client::builder().timeout(CALL_MAX).redirect(reqwest::redirect::Policy::none()).tls_backend_preconfigured(tls).build()?)
}

fn problem_text(status: u16, problem: &Value) -> String {
    let mut text =
        format!("{status} {}: {}", problem["code"].as_str().unwrap_or("error"), problem["detail"].as_str().unwrap_or("no detail given"));
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    if errors.len() > 1 {
        for error in errors {
            text.push_str(&format!(
                "\n  {}: {}",
                error["pointer"].as_str().unwrap_or_default(),
                error["detail"].as_str().unwrap_or_default()
            ));
        }
    }
    text
}
