//! The stores that can be measured.

use std::str::FromStr;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Engine {
    /// The default.
    Sled,
    /// Recommended for heavy loads.
    Redb,
    /// In databases that are made on this server, and dropped.
    Postgres(String),
}

/// Why a text names no store that can be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum EngineError {
    /// Of Postgres, the address is missing.
    #[error(
        "the address of the server is missing; write `postgres://USER@HOST/DATABASE`, with the password in the variable `PGPASSWORD` \
         and a user who may create databases, or have `.ci/bench` of the source tree start a server"
    )]
    NoAddress,
    /// Something else.
    #[error("`{0}` cannot be measured; `sled`, `redb` and `postgres://USER@HOST/DATABASE` can")]
    Unknown(String),
}

impl Engine {
    /// Its name in the table.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
            Self::Postgres(_) => "postgres",
        }
    }
}

impl FromStr for Engine {
    type Err = EngineError;
    fn from_str(text: &str) -> Result<Self, EngineError> {
        match text {
            "sled" => Ok(Self::Sled),
            "redb" => Ok(Self::Redb),
            "postgres" => Err(EngineError::NoAddress),
            address if address.starts_with("postgres://") || address.starts_with("postgresql://") => Ok(Self::Postgres(address.to_owned())),
            other => Err(EngineError::Unknown(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_its_address() {
        assert_eq!("redb".parse(), Ok(Engine::Redb));
        assert_eq!("postgres://u@127.0.0.1/d".parse::<Engine>().map(|engine| engine.name()), Ok("postgres"));
        assert_eq!("postgres".parse::<Engine>(), Err(EngineError::NoAddress));
        assert_eq!("mysql://x".parse::<Engine>(), Err(EngineError::Unknown("mysql://x".to_owned())));
    }
}
