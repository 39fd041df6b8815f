//! The ready-made templates of `templates/`, one for each kind of receiver.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::RequestSpec;

/// A ready-made template. Its format is described in `docs/presets.md`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its name, which is its file's.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Who receives, in one line.
    pub receiver: String,
    /// Whether the vendor's page was read: `yes`, `in part` or `no`.
    pub verified: String,
    /// Where it was read.
    #[serde(default)]
    pub sources: Vec<String>,
    /// The event types it is made for.
    pub event_types: Vec<String>,
    /// What to fill in and what to know.
    #[serde(default)]
    pub notes: String,
    /// What makes the receiver's answer a success; none for the status alone.
    #[serde(default)]
    pub success_response: Option<String>,
    /// What makes it a refusal; none for the status alone.
    #[serde(default)]
    pub error_response: Option<String>,
    /// What the user must replace.
    #[serde(default)]
    pub parameters: Vec<PresetParameter>,
    /// Length limits at the receiver.
    #[serde(default)]
    pub limits: Vec<PresetLimit>,
    /// The request.
    pub request: RequestSpec,
    /// Known answers of the receiver.
    #[serde(default)]
    pub replies: Vec<PresetReply>,
}

/// A literal in capitals that the user must replace.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PresetParameter {
    /// The literal.
    pub name: String,
    /// What to put in its place.
    pub meaning: String,
    /// For example.
    pub example: String,
}

/// A limit of the receiver.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PresetLimit {
    /// The receiver's parameter.
    pub field: String,
    /// Most characters it takes.
    pub max_length: u32,
}

/// A known answer of the receiver.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PresetReply {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// What it means: `delivered`, `refused` or `retry`.
    pub verdict: String,
}

macro_rules! preset_files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../templates/", $name, ".toml")))),+]
    };
}

static FILES: [(&str, &str); 19] = preset_files![
    "generic-tracker",
    "generic-json",
    "generic-xml",
    "impact-query",
    "impact-json",
    "impact-xml",
    "hoqu-get",
    "hoqu-post",
    "voluum",
    "redtrack",
    "keitaro",
    "binom",
    "tune",
    "everflow",
    "affise",
    "cake",
    "cj",
    "partnerize",
    "meta-capi",
];

impl Preset {
    /// The names of all presets, the general ones first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FILES.iter().map(|(name, _)| *name)
    }

    /// The preset of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let (_, text) = FILES.iter().find(|(known, _)| *known == name)?;
        Some(toml::from_str(text).expect("every file of `templates/` is read by a test"))
    }

    /// The text of the preset's file.
    #[must_use]
    pub fn source(name: &str) -> Option<&'static str> {
        FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }
}
