//! What is said of the calls about accounts.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::super::operation::{Operation, Tag};
use super::super::schemas::{AccountCursor, Limit, merge_patch};
use super::subscriptions::Warning;
use crate::api::accounts::{NewAccount, READ_ONLY};
use crate::event::AccountId;
use crate::queue::Account;

const ETAG: (&str, &str) = ("ETag", "The version, for `If-Match`.");

/// An account as callers read it.
#[derive(JsonSchema)]
#[schemars(rename = "AccountAnswer")]
#[expect(dead_code, reason = "it stands for its schema")]
struct AccountAnswer {
    #[schemars(flatten)]
    account: Account,
    /// What is allowed and probably not meant; in answers to changes.
    #[schemars(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<Warning>>,
}

/// What changes of an account.
struct Patch;

impl JsonSchema for Patch {
    fn schema_name() -> Cow<'static, str> {
        "AccountPatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        merge_patch(&NewAccount::json_schema(generator), generator, &READ_ONLY)
    }
}

pub(in crate::api) fn list() -> Operation {
    Operation::new("list_accounts", Tag::Accounts, "List accounts")
        .query::<Limit>("limit", "Most items of the page.")
        .query::<AccountCursor>("cursor", "The `next_cursor` of the page before.")
        .lists::<Account>("A page of the accounts that the key may see.")
}

pub(in crate::api) fn create() -> Operation {
    Operation::new("create_account", Tag::Accounts, "Create an account")
        .takes::<NewAccount>("The account; its id is yours.")
        .example(r#"{"id": "acme", "name": "Acme"}"#)
        .answers::<AccountAnswer>(201, "The account.")
        .with_header(ETAG.0, ETAG.1)
        .fails(&["account_exists", "account_being_deleted"])
        .writes_store()
}

pub(in crate::api) fn show() -> Operation {
    Operation::new("get_account", Tag::Accounts, "Read an account")
        .path::<AccountId>("id", "The account.")
        .answers::<AccountAnswer>(200, "The account.")
        .with_header(ETAG.0, ETAG.1)
}

pub(in crate::api) fn patch() -> Operation {
    Operation::new("change_account", Tag::Accounts, "Change an account in part")
        .path::<AccountId>("id", "The account.")
        .if_match()
        .takes_only::<Patch>(&["application/merge-patch+json", "application/json"], "What changes.")
        .example(r#"{"name": "Acme Ltd.", "fields": ["ShopId"]}"#)
        .answers::<AccountAnswer>(200, "The account, with warnings.")
        .with_header(ETAG.0, ETAG.1)
        .fails(&["field_in_use", "conflict"])
        .writes_store()
}

pub(in crate::api) fn delete() -> Operation {
    Operation::new("delete_account", Tag::Accounts, "Delete an account and all its data")
        .describe("It begins to remove everything of the account. Asked again it answers the same, until all is gone.")
        .path::<AccountId>("id", "The account.")
        .if_match()
        .answers::<AccountAnswer>(202, "The account, with `deleting_since`.")
        .with_header(ETAG.0, ETAG.1)
        .fails(&["conflict"])
        .writes_store()
}
