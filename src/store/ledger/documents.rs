//! Changing documents beside events: all changes of a call or none.

use std::collections::HashMap;

use super::Decision;
use super::state::Ledger;
use crate::id::EventId;
use crate::store::kv::{KvError, Tree};
use crate::store::record::{self, DocumentRecord};
use crate::store::{AcceptError, DocumentChange, Make, layout};

/// Revision and value of a document; none if there is none.
type Content = Option<(u64, String)>;

/// What documents are to be, by key.
pub(super) type PlannedDocuments = HashMap<Vec<u8>, Planned>;

/// What a document is to be.
pub(super) struct Planned {
    content: Content,
    /// Whether that is another than the one that is there.
    changed: bool,
}

impl Ledger {
    /// What the changes come to, each following on those before it; or which document is not as expected.
    pub(super) fn plan_documents<'a>(
        &mut self,
        changes: impl Iterator<Item = (Option<EventId>, &'a DocumentChange)>,
    ) -> Decision<PlannedDocuments, AcceptError> {
        let mut planned = PlannedDocuments::new();
        for (event, DocumentChange { kind, id, expected, make }) in changes {
            let key = layout::document_key(*kind, id);
            let Planned { content: present, changed } = match planned.remove(&key) {
                Some(earlier) => earlier,
                None => Planned { content: self.document_content(&key)?, changed: false },
            };
            let revision = present.as_ref().map_or(0, |(revision, _)| *revision);
            if expected.is_some_and(|expected| expected != revision) {
                return Ok(Err(AcceptError::DocumentChanged { kind: *kind, id: id.clone() }));
            }
            let next = |value| Some((revision.saturating_add(1), value));
            let (content, changed) = match make {
                Make::Put(value) => (next(value.clone()), true),
                Make::Remove => (None, true),
                Make::From(make) => match make(event, present.as_ref().map(|(_, value)| value.as_str())) {
                    Some(value) => (next(value), true),
                    None => (present, changed),
                },
            };
            planned.insert(key, Planned { content, changed });
        }
        Ok(Ok(planned))
    }

    /// Writes what was planned.
    pub(super) fn write_documents(&mut self, planned: PlannedDocuments) {
        for (key, Planned { content, .. }) in planned.into_iter().filter(|(_, planned)| planned.changed) {
            match content {
                Some((revision, json)) => self.put(Tree::Documents, &key, &DocumentRecord { revision, json: &json }),
                None => self.overlay.remove(Tree::Documents, key),
            }
        }
    }

    fn document_content(&mut self, key: &[u8]) -> Result<Content, KvError> {
        let Some(value) = self.overlay.get(Tree::Documents, key)? else { return Ok(None) };
        match record::decode::<DocumentRecord<'_>>(Tree::Documents, key, &value) {
            Ok(record) => Ok(Some((record.revision, record.json.to_owned()))),
            Err(error) => {
                self.repair(Tree::Documents, key, value, error)?;
                Ok(None)
            }
        }
    }
}
