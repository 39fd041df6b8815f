//! The start of a server: are the master keys those that the stored secrets were sealed with?
//!
//! A check value is sealed at the first start, so that a wrong or missing key is found before anything
//! is sent or sealed with another one. Every sealed record names its key as well: one whose key is not
//! there refuses the start too. What was sealed with an older key is sealed again with the first, so
//! that the older one can be taken away.

use std::path::PathBuf;
use std::sync::Arc;

use crate::rng::Rng;
use crate::secret::{MasterKeyError, MasterKeys, OpenError, Place, Sealed, Secret, Vault};
use crate::store::{ConfigurationChange, ConfigurationKind, ConfigurationRecord, ConfigureError, Store, StoreError};

use super::sealing::SealedSecrets;

/// The id of the check value among the settings, and what it holds.
const CHECK: &str = "master_key_check";
const CHECK_PLACE: Place<'static> = Place { record: "setting/master_key_check", field: "value" };

/// Where the master keys are.
#[derive(Debug, Clone)]
pub struct MasterKeySource {
    /// The keys themselves, from the environment; they win over the file.
    pub variable: Option<Secret>,
    /// The file; made at the first start.
    pub file: PathBuf,
}

/// Why stored secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// The variable holds no keys.
    #[error("the variable `POSTRIDER_MASTER_KEY` holds no master key")]
    Variable(#[source] MasterKeyError),
    /// The file holds no keys, or cannot be read or written.
    #[error("the master key cannot be used")]
    File(#[from] MasterKeyError),
    /// There is no key, and the store holds secrets.
    #[error("the master key is missing: secrets in the store are sealed with the key `{key}`, and there is no file `{}`; put the file back, or set `POSTRIDER_MASTER_KEY`. Without that key the secrets are lost: start once with `--discard-secrets` and set them again", .file.display())]
    Missing {
        /// The id of the key.
        key: String,
        /// Where it was looked for.
        file: PathBuf,
    },
    /// The keys are others.
    #[error(
        "the master key is another one: secrets in the store are sealed with the key `{key}`, and {given} has {found}; add the right one as a further line (the first line seals, all open). Without that key the secrets are lost: start once with `--discard-secrets` and set them again"
    )]
    Wrong {
        /// The id of the key that is asked for.
        key: String,
        /// Where the keys are from.
        given: String,
        /// The ids of the keys that are there.
        found: String,
    },
    /// The check value was changed.
    #[error(
        "the check value of the master key does not open, although its key is there: the store was changed by something else, or is damaged; restore it, or start once with `--discard-secrets` and set the secrets again"
    )]
    Damaged,
    /// The store could not do it.
    #[error("the stored secrets cannot be read")]
    Store(#[source] StoreError),
}

/// Finds the master keys and makes a vault of them that opens what `store` holds.
///
/// At the first start a key is drawn and written to the file, unless the variable is set.
///
/// # Errors
/// [`UnlockError`]; nothing was changed.
pub async fn unlock(store: &dyn Store, source: &MasterKeySource, rng: Arc<dyn Rng>) -> Result<Vault, UnlockError> {
    let stored = Stored::read(&store.configuration().await.map_err(UnlockError::Store)?);
    let given = match &source.variable {
        Some(text) => Some(MasterKeys::parse(text.expose()).map_err(UnlockError::Variable)?),
        None => MasterKeys::read(&source.file)?,
    };
    let keys = match (given, stored.keys().next()) {
        (Some(keys), _) => keys,
        (None, Some(key)) => return Err(UnlockError::Missing { key: key.to_owned(), file: source.file.clone() }),
        (None, None) => {
            tracing::info!(file = %source.file.display(), "a master key was made; keep a copy of it apart from the store's");
            MasterKeys::create(&source.file, &*rng)?
        }
    };
    if let Some(key) = stored.keys().find(|key| !keys.ids().any(|id| id == *key)) {
        let given = source.variable.as_ref().map_or_else(|| format!("`{}`", source.file.display()), |_| "`POSTRIDER_MASTER_KEY`".into());
        let found = keys.ids().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
        return Err(UnlockError::Wrong { key: key.to_owned(), given, found });
    }
    let vault = Vault::new(keys, rng);
    stored.check(&vault)?;
    seal_again(store, &stored, &vault).await?;
    Ok(vault)
}

/// Removes every stored secret and the check value, for an operator who has lost the master key. Tells of
/// how many subscriptions; they do not send until their secrets are set again.
///
/// # Errors
/// [`ConfigureError`] if the store fails; nothing is removed then.
pub async fn discard_secrets(store: &dyn Store) -> Result<usize, ConfigureError> {
    let records = store.configuration().await?;
    let secrets: Vec<_> = records.into_iter().filter(|record| record.kind == ConfigurationKind::Secret).collect();
    let count = secrets.len();
    let mut changes: Vec<_> = secrets.into_iter().map(|record| ConfigurationChange::Remove { kind: record.kind, id: record.id }).collect();
    changes.push(ConfigurationChange::Remove { kind: ConfigurationKind::Setting, id: CHECK.into() });
    store.configure(changes).await?;
    Ok(count)
}

/// What the store holds that is sealed.
struct Stored {
    check: Option<Sealed>,
    secrets: Vec<(String, SealedSecrets)>,
}

impl Stored {
    fn read(records: &[ConfigurationRecord]) -> Self {
        let check = records.iter().find(|record| record.kind == ConfigurationKind::Setting && record.id == CHECK);
        let secrets = records.iter().filter(|record| record.kind == ConfigurationKind::Secret);
        Self {
            check: check.and_then(|record| serde_json::from_str(&record.value).ok()),
            secrets: secrets.filter_map(|record| Some((record.id.clone(), serde_json::from_str(&record.value).ok()?))).collect(),
        }
    }

    /// The ids of all keys that something is sealed with.
    fn keys(&self) -> impl Iterator<Item = &str> {
        self.check.iter().filter_map(Sealed::key).chain(self.secrets.iter().flat_map(|(_, secrets)| secrets.keys()))
    }

    fn check(&self, vault: &Vault) -> Result<(), UnlockError> {
        match self.check.as_ref().map(|check| vault.open(CHECK_PLACE, check)) {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(OpenError::Malformed | OpenError::UnknownKey { .. } | OpenError::NotAuthentic)) => Err(UnlockError::Damaged),
        }
    }
}

/// Seals the check value and what is sealed with an older key, all in one commit.
async fn seal_again(store: &dyn Store, stored: &Stored, vault: &Vault) -> Result<(), UnlockError> {
    let mut changes: Vec<_> = stored
        .secrets
        .iter()
        .filter_map(|(id, secrets)| {
            Some(ConfigurationChange::Put { record: secrets.sealed_again(vault, id)?.record(id), if_absent: false })
        })
        .collect();
    let again = changes.len();
    if !stored.check.as_ref().is_some_and(|check| vault.is_current(check)) {
        let check = vault.seal(CHECK_PLACE, &Secret::new("postrider"));
        let value = serde_json::to_string(&check).expect("a text can be written as JSON");
        let record = ConfigurationRecord { kind: ConfigurationKind::Setting, id: CHECK.into(), value };
        changes.push(ConfigurationChange::Put { record, if_absent: false });
    }
    if changes.is_empty() {
        return Ok(());
    }
    match store.configure(changes).await {
        Ok(()) => {
            if again > 0 {
                tracing::info!(records = again, "stored secrets were sealed again with the first master key");
            }
            Ok(())
        }
        // What is sealed opens all the same, and a full disk must not keep the server from sending.
        Err(ConfigureError::Store(StoreError::StorageFull)) => {
            tracing::warn!("the disk is nearly full; secrets are sealed again with the first master key at a later start");
            Ok(())
        }
        Err(ConfigureError::Conflict { .. }) => Ok(()),
        Err(ConfigureError::Store(error)) => Err(UnlockError::Store(error)),
    }
}
