//! Between the rows of the tables and the records of the embedded layout, in which the ledger thinks.

use serde_json::json;
use tokio_postgres::Row;

use super::wire::{Id, raw};
use crate::attempt::{Attempt, ReceivedResponse, SentRequest};
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::event::{Event, EventData};
use crate::id::{AttemptId, DeliveryId, EventId, SubscriptionId};
use crate::store::record::{BadRecord, DeliveryRecord, StateRecord, read_outcome, read_reason, reason_number};

/// The columns of a delivery, in the order of [`delivery_record`].
pub(super) const DELIVERY: &str = "id, subscription, state, state_at, dead_reason, attempts, last_outcome, template_version, created_at, \
     account, event_type, order_key, parked";

/// The columns of an event, in the order of [`event`].
pub(super) const EVENT: &str = "id, account, event_type, key, occurred_at, received_at, data";

/// The columns of an attempt, in the order of [`attempt`].
pub(super) const ATTEMPT: &str = "delivery, number, id, started_at, duration_ms, outcome, reason, request_method, request_url, request_headers, \
     request_body, response_status, response_headers, response_body, response_truncated, possible_repeat, next_due_at";

/// The number of a state, with the time and the reason that go with it.
pub(super) const fn state_columns(state: StateRecord) -> (i16, i64, Option<i16>) {
    match state {
        StateRecord::Pending { due_at } => (0, due_at, None),
        StateRecord::Delivered { at } => (1, at, None),
        StateRecord::Dead { at, reason } => (2, at, Some(reason as i16)),
        StateRecord::Cancelled { at } => (3, at, None),
    }
}

fn state_record(state: i16, at: i64, reason: Option<i16>) -> Result<StateRecord, BadRecord> {
    Ok(match state {
        0 => StateRecord::Pending { due_at: at },
        1 => StateRecord::Delivered { at },
        2 => {
            let reason = reason.and_then(|number| u8::try_from(number).ok()).ok_or(BadRecord::Content)?;
            StateRecord::Dead { at, reason: reason_number(read_reason(reason)?) }
        }
        3 => StateRecord::Cancelled { at },
        _ => return Err(BadRecord::Content),
    })
}

/// A count that is never negative in the program.
fn count(row: &Row, column: usize) -> u32 {
    u32::try_from(row.get::<_, i64>(column)).unwrap_or_default()
}

/// The delivery in a row of [`DELIVERY`].
pub(super) fn delivery_record(row: &Row) -> Result<(DeliveryId, SubscriptionId, DeliveryRecord), BadRecord> {
    let (id, subscription) = (DeliveryId::from_raw(raw(row, 0)), SubscriptionId::from_raw(raw(row, 1)));
    let outcome = row.get::<_, Option<i16>>(6).map(|number| u8::try_from(number).map_err(|_| BadRecord::Content)).transpose()?;
    let record = DeliveryRecord {
        state: state_record(row.get(2), row.get(3), row.get(4))?,
        attempts: count(row, 5),
        last_outcome: outcome,
        template_version: count(row, 7),
        created_after_id_ms: row.get::<_, i64>(8).saturating_sub(id.unix_ms()),
        account: row.get::<_, &str>(9).parse().map_err(|_| BadRecord::Content)?,
        event_type: row.get::<_, &str>(10).parse().map_err(|_| BadRecord::Content)?,
        order: row.get::<_, Option<Id>>(11).map(Id::bytes),
        parked: row.get(12),
    };
    Ok((id, subscription, record))
}

/// The same as the program shows it.
pub(super) fn delivery(row: &Row) -> Result<Delivery, BadRecord> {
    let (id, subscription, record) = delivery_record(row)?;
    record.delivery(id, subscription)
}

/// The event in a row of [`EVENT`].
pub(super) fn event(row: &Row) -> Result<Event, BadRecord> {
    Ok(Event {
        id: EventId::from_raw(raw(row, 0)),
        account: row.get::<_, &str>(1).parse().map_err(|_| BadRecord::Content)?,
        event_type: row.get::<_, &str>(2).parse().map_err(|_| BadRecord::Content)?,
        key: row.get::<_, Option<&str>>(3).map(str::parse).transpose().map_err(|_| BadRecord::Content)?,
        occurred_at: Timestamp::from_unix_ms(row.get(4)),
        received_at: Timestamp::from_unix_ms(row.get(5)),
        data: EventData::from_stored(row.get::<_, &str>(6).into()).map_err(|_| BadRecord::Content)?.into(),
    })
}

/// The attempt in a row of [`ATTEMPT`].
pub(super) fn attempt(row: &Row) -> Result<Attempt, BadRecord> {
    let request = row.get::<_, Option<String>>(7).map(|method| {
        Ok(SentRequest {
            method,
            url: row.get::<_, Option<String>>(8).unwrap_or_default(),
            headers: headers(row.get(9))?,
            body: row.get::<_, Option<Vec<u8>>>(10).unwrap_or_default(),
        })
    });
    let response = row.get::<_, Option<i32>>(11).map(|status| {
        Ok(ReceivedResponse {
            status: u16::try_from(status).map_err(|_| BadRecord::Content)?,
            headers: headers(row.get(12))?,
            body: row.get::<_, Option<Vec<u8>>>(13).unwrap_or_default(),
            truncated: row.get::<_, Option<bool>>(14).unwrap_or_default(),
        })
    });
    Ok(Attempt {
        id: AttemptId::from_raw(raw(row, 2)),
        number: count(row, 1),
        started_at: Timestamp::from_unix_ms(row.get(3)),
        duration_ms: u64::try_from(row.get::<_, i64>(4)).unwrap_or_default(),
        outcome: read_outcome(u8::try_from(row.get::<_, i16>(5)).map_err(|_| BadRecord::Content)?)?,
        reason: row.get(6),
        request: request.transpose()?,
        response: response.transpose()?,
        possible_repeat: row.get(15),
        next_due_at: row.get::<_, Option<i64>>(16).map(Timestamp::from_unix_ms),
    })
}

/// Headers as JSON, which holds every character that a header can.
pub(super) fn headers_text(headers: &[(&str, &str)]) -> String {
    json!(headers).to_string()
}

fn headers(text: Option<&str>) -> Result<Vec<(String, String)>, BadRecord> {
    text.map_or(Ok(Vec::new()), |text| serde_json::from_str(text).map_err(|_| BadRecord::Content))
}

/// A text without the one character that Postgres cannot keep.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
