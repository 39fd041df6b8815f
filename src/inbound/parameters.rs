//! Extra parameters of reports, by template.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters beyond the usual that reports of an action carry. Only an active one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParameterTemplate {
    /// Its name, by which actions pick it.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// Whether it counts.
    #[serde(default = "inactive")]
    pub state: TemplateState,
    /// Its parameters.
    #[serde(default)]
    pub parameters: Vec<ExtraParameter>,
}

/// Whether a template counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TemplateState {
    /// It counts.
    Active,
    /// It does not, as if it were not there.
    Inactive,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtraParameter {
    /// What it is called in a report.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]{0,63}$"))]
    pub name: String,
    /// Whether a report without it is refused.
    #[serde(default)]
    pub required: bool,
    /// The field of the event that gets its value.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]{0,63}$"))]
    pub field: String,
}

const fn inactive() -> TemplateState {
    TemplateState::Inactive
}
