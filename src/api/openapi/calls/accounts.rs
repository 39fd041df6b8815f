//! What is said of the calls about accounts.

use super::super::operation::{Operation, Tag};
use super::super::schemas::{AccountCursor, Limit};
use crate::api::accounts::NewAccount;
use crate::api::page::Listed;
use crate::event::AccountId;
use crate::queue::Account;

pub(in crate::api) fn list() -> Operation {
    Operation::new("list_accounts", Tag::Accounts, "List accounts")
        .query::<Limit>("limit", "Most items of the page.")
        .query::<AccountCursor>("cursor", "The `next_cursor` of the page before.")
        .answers::<Listed<Account>>(200, "A page of the accounts that the key may see.")
}

pub(in crate::api) fn create() -> Operation {
    Operation::new("create_account", Tag::Accounts, "Create an account")
        .takes::<NewAccount>("The account; its id is yours.")
        .example(r#"{"id": "acme", "name": "Acme"}"#)
        .answers::<Account>(201, "The account.")
        .fails(&["account_exists"])
        .writes_store()
}

pub(in crate::api) fn show() -> Operation {
    Operation::new("get_account", Tag::Accounts, "Read an account")
        .path::<AccountId>("id", "The account.")
        .answers::<Account>(200, "The account.")
}
