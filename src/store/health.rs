//! Whether the store can still be trusted.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::watch;

use super::StoreError;
use super::kv::KvError;

/// Whether the store has failed, and why.
#[derive(Debug)]
pub(super) struct Health(watch::Sender<Option<StoreError>>);

impl Health {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// The failure, if there was one.
    pub(super) fn failure(&self) -> Option<StoreError> {
        self.0.borrow().clone()
    }

    /// Notes the first failure; later ones only follow from it.
    pub(super) fn fail(&self, error: &KvError) -> StoreError {
        let failure = StoreError::Failed { action: error.action, detail: error.detail.clone() };
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                tracing::error!(error = %failure, "the store has failed and acknowledges nothing any more");
                *first = Some(failure.clone());
            }
            is_first
        });
        self.failure().unwrap_or(failure)
    }

    /// Calls the engine, unless it has failed before. A panic of the engine is a failure like any other.
    pub(super) fn guarded<T>(&self, action: &'static str, act: impl FnOnce() -> Result<T, KvError>) -> Result<T, KvError> {
        if let Some(failure) = self.failure() {
            return Err(KvError::new(action, failure));
        }
        catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| Err(KvError::new(action, panic_text(&*panic))))
    }

    /// Waits for a failure.
    pub(super) async fn failed(&self) -> StoreError {
        let mut changes = self.0.subscribe();
        loop {
            if let Some(failure) = changes.borrow_and_update().clone() {
                return failure;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked without a word".to_owned())
}
