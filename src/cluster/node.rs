//! What nodes tell of themselves.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::NodeId;

/// Something that a node does for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It serves the API.
    Api,
    /// It sends.
    Dispatch,
}

impl Role {
    /// Its name in settings and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Dispatch => "dispatch",
        }
    }
}

/// What a node does; at least one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    api: bool,
    dispatch: bool,
}

/// Why a text is no list of roles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no list of roles; write `api`, `dispatch` or `api,dispatch`")]
pub struct RolesError {
    text: String,
}

impl Roles {
    /// These; none is everything.
    #[must_use]
    pub fn of(roles: &[Role]) -> Self {
        if roles.is_empty() {
            return Self::ALL;
        }
        Self { api: roles.contains(&Role::Api), dispatch: roles.contains(&Role::Dispatch) }
    }

    /// Everything.
    pub const ALL: Self = Self { api: true, dispatch: true };

    /// Whether `role` is one of them.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        match role {
            Role::Api => self.api,
            Role::Dispatch => self.dispatch,
        }
    }

    /// Each of them.
    #[must_use]
    pub fn list(self) -> Vec<Role> {
        [Role::Api, Role::Dispatch].into_iter().filter(|role| self.has(*role)).collect()
    }
}

impl FromStr for Roles {
    type Err = RolesError;
    fn from_str(text: &str) -> Result<Self, RolesError> {
        let mut roles = Self { api: false, dispatch: false };
        for name in text.split(',') {
            match name.trim() {
                "api" => roles.api = true,
                "dispatch" => roles.dispatch = true,
                _ => return Err(RolesError { text: text.chars().take(64).collect() }),
            }
        }
        Ok(roles)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.list().into_iter().map(Role::as_str).collect();
        f.write_str(&names.join(","))
    }
}

/// What a node tells of itself with each beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// Which node; drawn anew at each start of a process.
    pub id: NodeId,
    /// Where it listens.
    pub address: String,
    /// What it does.
    pub roles: Roles,
    /// Its release.
    pub version: String,
    /// How many lanes it owns.
    pub lanes: usize,
    /// How many of its requests are in flight.
    pub in_flight: usize,
    /// Whether it is stopping and takes no lanes any more.
    pub leaving: bool,
}

/// A node as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it told last.
    pub report: NodeReport,
    /// When that was, by the store's clock.
    pub beat_at: Timestamp,
    /// Whether that was less than a lease ago.
    pub live: bool,
}

impl Node {
    /// Whether it takes lanes.
    #[must_use]
    pub const fn takes_lanes(&self) -> bool {
        self.live && !self.report.leaving && self.report.roles.has(Role::Dispatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_written_as_they_are_read() {
        for text in ["api", "dispatch", "api,dispatch"] {
            assert_eq!(text.parse::<Roles>().unwrap().to_string(), text);
        }
        assert_eq!("dispatch, api".parse(), Ok(Roles::ALL));
        for text in ["", "api,", "both", "API"] {
            assert!(text.parse::<Roles>().is_err(), "{text}");
        }
    }
}
