//! The client of the REST API that commands use.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use rustls_platform_verifier::BuilderVerifierExt;
use serde_json::Value;

use super::Failure;
use crate::config::Settings;

/// Which server to call, and as whom.
#[derive(Debug, Args)]
pub(super) struct ServerArguments {
    /// The server
    #[arg(long, env = "POSTRIDER_URL", default_value = "http://127.0.0.1:8080", global = true)]
    url: String,
    /// The API key (better in the variable than on the command line) [default: that of ./postrider-data]
    #[arg(long = "api-key", env = "POSTRIDER_KEY", hide_env_values = true, global = true)]
    api_key: Option<String>,
}

impl ServerArguments {
    /// A client of that server.
    pub fn client(&self) -> Result<Client, Failure> {
        let key = match &self.api_key {
            Some(key) => key.clone(),
            None => local_key()?,
        };
        Ok(Client::new(&self.url, &key)?)
    }
}

/// The key of a server that runs from this folder with the default settings.
fn local_key() -> Result<String, Failure> {
    let file = Settings::default().data.join("operator.key");
    std::fs::read_to_string(&file)
        .map_err(|_| Failure::usage(format!("no key is given and there is no `{}`; set POSTRIDER_KEY", file.display())))
}

/// A server to call.
#[derive(Debug, Clone)]
pub(super) struct Client {
    base: String,
    key: String,
    http: reqwest::Client,
}

/// Time for one call.
const CALL_MAX: Duration = Duration::from_secs(30);
/// Time for an answer of any length.
const DOWNLOAD_MAX: Duration = Duration::from_secs(24 * 3_600);

impl Client {
    /// A client of the server at `base` (`http://host:port`) with this key.
    pub fn new(base: &str, key: &str) -> anyhow::Result<Self> {
        let http = http_client().context("the HTTP client cannot be set up")?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), key: key.trim().to_owned(), http })
    }

    /// Calls `path` with a JSON body and answers with the JSON of the reply. A problem becomes an error
    /// with its detail.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(reqwest::Method::POST, path, Some(body), None).await
    }

    /// Reads `path`.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(reqwest::Method::GET, path, None, None).await
    }

    /// Calls `path` without a body, such as to pause something.
    pub async fn act(&self, path: &str) -> anyhow::Result<Value> {
        self.call(reqwest::Method::POST, path, None, None).await
    }

    /// Replaces what is at `path`, if it still has this version.
    pub async fn put(&self, path: &str, body: &Value, if_match: &str) -> anyhow::Result<Value> {
        self.call(reqwest::Method::PUT, path, Some(body), Some(if_match)).await
    }

    /// Removes what is at `path`.
    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.call(reqwest::Method::DELETE, path, None, None).await.map(drop)
    }

    /// Every item of a list, page after page, at most `max`.
    pub async fn list(&self, path: &str, query: &[(&str, String)], max: usize) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut pairs = url::form_urlencoded::Serializer::new(String::new());
            pairs.extend_pairs(query.iter().map(|(name, value)| (*name, value.as_str())));
            pairs.append_pair("limit", &(max - items.len()).clamp(1, 200).to_string());
            if let Some(cursor) = &cursor {
                pairs.append_pair("cursor", cursor);
            }
            let mut page = self.get(&format!("{path}?{}", pairs.finish())).await?;
            if let Value::Array(data) = page["data"].take() {
                items.extend(data);
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || items.len() >= max {
                items.truncate(max);
                return Ok(items);
            }
        }
    }

    /// Begins to read a long answer, whose chunks come as they are sent.
    pub async fn download(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let url = format!("{}{path}", self.base);
        let request = self.http.get(&url).header("authorization", format!("Bearer {}", self.key)).timeout(DOWNLOAD_MAX);
        let response = request.send().await.with_context(|| self.no_answer())?;
        let status = response.status();
        if !status.is_success() {
            let problem = serde_json::from_str(&response.text().await.unwrap_or_default()).unwrap_or_default();
            bail!("{}", problem_text(status.as_u16(), &problem));
        }
        Ok(response)
    }

    fn no_answer(&self) -> String {
        format!("no server answers at {}; start one with `postrider serve`, or set POSTRIDER_URL", self.base)
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Option<&Value>, if_match: Option<&str>) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, &url).header("authorization", format!("Bearer {}", self.key));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        if let Some(version) = if_match {
            request = request.header("if-match", version);
        }
        let response = request.send().await.with_context(|| self.no_answer())?;
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
