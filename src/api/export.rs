//! Everything that the server keeps, as lines of JSON: a backup beside its work.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::{ApiError, ApiState};
use crate::queue::Queue;
use crate::store::archive::{ArchiveError, ArchivePlace, LinesWriter};
use crate::store::{ConfigurationKind, ConfigurationRecord, StoreError};

/// How many parts are read together.
const PORTION: usize = 200;

/// An export under way.
struct Export {
    queue: Arc<Queue>,
    writer: LinesWriter<Vec<u8>>,
    place: Option<ArchivePlace>,
    /// Templates that were there at the beginning: deliveries that are written before they end may need them.
    templates: Vec<ConfigurationRecord>,
}

/// Why an export broke off. The answer has begun by then, so that its missing last line is what tells.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("the export cannot be read from the store")]
    Store(#[from] StoreError),
    #[error("the export cannot be written")]
    Archive(#[from] ArchiveError),
}

pub(super) async fn export(State(state): State<ApiState>) -> Result<Response, ApiError> {
    let mut templates = state.queue.configuration().await?;
    templates.retain(|record| record.kind == ConfigurationKind::TemplateVersion);
    let writer = LinesWriter::begin(Vec::new(), state.clock.now()).expect("memory can be written");
    let export = Export { queue: state.queue.clone(), writer, place: Some(ArchivePlace::Start), templates };
    let portions = stream::try_unfold(Some(export), |export| async move {
        let Some(export) = export else { return Ok::<_, ExportError>(None) };
        export.portion().await.inspect_err(|error| tracing::error!(%error, "an export broke off"))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(portions)).into_response())
}

impl Export {
    /// The next bytes, and what is left to do.
    async fn portion(mut self) -> Result<Option<(Bytes, Option<Self>)>, ExportError> {
        let Some(after) = self.place else {
            let configuration = self.queue.configuration().await?;
            let known: HashSet<_> = configuration.iter().map(|record| (record.kind, record.id.clone())).collect();
            self.templates.retain(|record| !known.contains(&(record.kind, record.id.clone())));
            for record in configuration.into_iter().chain(self.templates) {
                self.writer.configuration(record)?;
            }
            return Ok(Some((self.writer.end()?.into(), None)));
        };
        let page = self.queue.archive(after, PORTION).await?;
        self.place = page.next;
        for item in page.items {
            self.writer.item(item)?;
        }
        let bytes = std::mem::take(self.writer.output_mut()).into();
        Ok(Some((bytes, Some(self))))
    }
}
