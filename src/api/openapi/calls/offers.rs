//! What is said of the calls about offers and inbound keys.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::super::operation::{Operation, Tag};
use super::super::schemas::{AccountCursor, Limit, OneOf, merge_patch, read_only};
use crate::api::inbound_keys::{InboundKeyJson, NewInboundKey};
use crate::api::keys::RotateBody;
use crate::api::offers::READ_ONLY;
use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};
use crate::id::InboundKeyId;
use crate::inbound::{OfferSpec, OfferState};

const ETAG: (&str, &str) = ("ETag", "The version, for `If-Match`.");
const NO_STORE: (&str, &str) = ("Cache-Control", "`no-store`: nobody on the way may keep the key.");

/// An offer as callers read it.
#[derive(JsonSchema)]
#[schemars(rename = "Offer")]
#[expect(dead_code, reason = "it stands for its schema")]
pub(super) struct OfferAnswer {
    id: OfferId,
    /// The advertiser.
    account: AccountId,
    #[schemars(flatten)]
    spec: OfferSpec,
    /// Counts the changes, from 1; the `ETag`.
    version: u32,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A new offer.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "it stands for its schema")]
struct NewOffer {
    id: OfferId,
    /// The advertiser.
    account: AccountId,
    #[schemars(flatten)]
    spec: OfferSpec,
}

/// An offer that is written whole, in the place of another.
struct Whole;

impl JsonSchema for Whole {
    fn schema_name() -> Cow<'static, str> {
        "OfferChange".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = OfferSpec::json_schema(generator);
        let account = generator.subschema_for::<AccountId>().to_value();
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("account".into(), account);
            properties.extend(read_only(&READ_ONLY));
        }
        schema
    }
}

/// What changes of an offer.
struct Patch;

impl JsonSchema for Patch {
    fn schema_name() -> Cow<'static, str> {
        "OfferPatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = merge_patch(&OfferSpec::json_schema(generator), generator, &READ_ONLY);
        let account = generator.subschema_for::<AccountId>().to_value();
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("account".into(), account);
        }
        schema
    }
}

pub(in crate::api) fn list() -> Operation {
    Operation::new("list_offers", Tag::Inbound, "List offers")
        .of_account()
        .query::<OneOf<OfferState>>("state", "Only those in this state.")
        .query::<Limit>("limit", "Most items of the page.")
        .query::<AccountCursor>("cursor", "The `next_cursor` of the page before.")
        .lists::<OfferAnswer>("A page of offers.")
}

pub(in crate::api) fn create() -> Operation {
    Operation::new("create_offer", Tag::Inbound, "Create an offer")
        .takes::<NewOffer>("The offer; its id is yours, and unique on the server.")
        .example(
            r#"{"id": "summer-shop", "account": "acme", "name": "Summer shop", "landing_url": "https://shop.example/p", "currency": "USD",
            "actions": [{"name": "lead", "rate": "30.00", "partner_percent": "80"}]}"#,
        )
        .answers::<OfferAnswer>(201, "The offer.")
        .with_header(ETAG.0, ETAG.1)
        .leads_to("get_offer", "$response.body#/id")
        .fails(&["unknown_account", "offer_exists", "too_many_offers", "conflict"])
        .writes_store()
}

pub(in crate::api) fn show() -> Operation {
    Operation::new("get_offer", Tag::Inbound, "Read an offer")
        .path::<OfferId>("id", "The offer.")
        .answers::<OfferAnswer>(200, "The offer.")
        .with_header(ETAG.0, ETAG.1)
}

pub(in crate::api) fn replace() -> Operation {
    Operation::new("replace_offer", Tag::Inbound, "Change an offer as a whole")
        .path::<OfferId>("id", "The offer.")
        .if_match()
        .takes::<Whole>("The offer as it is to be.")
        .example(
            r#"{"name": "Summer shop", "landing_url": "https://shop.example/p", "currency": "USD",
            "actions": [{"name": "lead", "rate": "35.00", "partner_percent": "80"}]}"#,
        )
        .answers::<OfferAnswer>(200, "The offer.")
        .with_header(ETAG.0, ETAG.1)
        .fails(&["conflict"])
        .writes_store()
}

pub(in crate::api) fn patch() -> Operation {
    Operation::new("change_offer", Tag::Inbound, "Change an offer in part")
        .path::<OfferId>("id", "The offer.")
        .if_match()
        .takes_only::<Patch>(&["application/merge-patch+json", "application/json"], "What changes.")
        .example(r#"{"state": "paused"}"#)
        .answers::<OfferAnswer>(200, "The offer.")
        .with_header(ETAG.0, ETAG.1)
        .fails(&["conflict"])
        .writes_store()
}

pub(in crate::api) fn delete() -> Operation {
    Operation::new("delete_offer", Tag::Inbound, "Delete an offer")
        .describe("Inbound keys that are for it alone go with it. Its clicks and actions stay for as long as they are kept.")
        .path::<OfferId>("id", "The offer.")
        .if_match()
        .answers_nothing("It is gone.")
        .fails(&["conflict"])
        .writes_store()
}

pub(in crate::api) fn list_keys() -> Operation {
    Operation::new("list_inbound_keys", Tag::Inbound, "List inbound keys")
        .of_account()
        .query::<OfferId>("offer", "Only those for this offer alone.")
        .page()
        .lists::<InboundKeyJson>("A page of keys.")
}

pub(in crate::api) fn create_key() -> Operation {
    Operation::new("create_inbound_key", Tag::Inbound, "Create an inbound key")
        .describe("Its text is a random UUID, and a part of the address to which the advertiser's server reports.")
        .takes::<NewInboundKey>("Whose reports it takes.")
        .example(r#"{"account": "acme", "name": "shop server", "addresses": ["203.0.113.0/24"]}"#)
        .answers::<InboundKeyJson>(201, "The key.")
        .with_header(NO_STORE.0, NO_STORE.1)
        .leads_to("get_inbound_key", "$response.body#/id")
        .fails(&["unknown_account", "too_many_inbound_keys", "conflict"])
        .writes_store()
}

pub(in crate::api) fn show_key() -> Operation {
    Operation::new("get_inbound_key", Tag::Inbound, "Read an inbound key")
        .describe("Its text is shown to keys that may change it.")
        .path::<InboundKeyId>("id", "The key.")
        .answers::<InboundKeyJson>(200, "The key.")
        .with_header(NO_STORE.0, NO_STORE.1)
}

pub(in crate::api) fn delete_key() -> Operation {
    Operation::new("delete_inbound_key", Tag::Inbound, "Delete an inbound key")
        .describe("It is not taken from now on.")
        .path::<InboundKeyId>("id", "The key.")
        .answers_nothing("It is gone.")
        .fails(&["conflict"])
        .writes_store()
}

pub(in crate::api) fn rotate_key() -> Operation {
    Operation::new("rotate_inbound_key", Tag::Inbound, "Replace an inbound key")
        .describe(
            "Makes a key with the same properties. The old one is taken for `overlap_s` seconds more, or up to its own end. Both lead to the same leads.",
        )
        .path::<InboundKeyId>("id", "The key that is replaced.")
        .may_take::<RotateBody>("For how long both keys are taken.")
        .example(r#"{"overlap_s": 3600}"#)
        .answers::<InboundKeyJson>(201, "The new key.")
        .with_header(NO_STORE.0, NO_STORE.1)
        .fails(&["key_expired", "too_many_inbound_keys", "conflict"])
        .writes_store()
}
