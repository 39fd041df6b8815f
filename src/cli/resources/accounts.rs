//! `postrider accounts` and `postrider keys`, for operators.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{ListArguments, print, segment};
use crate::cli::Failure;
use crate::cli::client::ServerArguments;

#[derive(Debug, Args)]
pub(in crate::cli) struct AccountsArguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(subcommand)]
    command: AccountsCommand,
}

#[derive(Debug, Subcommand)]
enum AccountsCommand {
    /// Accounts, newest first
    List(ListArguments),
    /// One account
    Show {
        /// Its id
        id: String,
    },
    /// Create an account
    Create {
        /// Its id: letters, digits, `-` and `_`
        id: String,
        /// What people call it [default: its id]
        #[arg(long)]
        name: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct KeysArguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// API keys, newest first; never their texts
    List(ListArguments),
    /// Create a key and print it, this once
    Create {
        /// What it is for
        #[arg(long)]
        name: String,
        /// What it may do: operator, account or read
        #[arg(long, default_value = "account")]
        scope: String,
        /// Whose objects it sees; needed for the scope account
        #[arg(long)]
        account: Option<String>,
        /// When it ends (RFC 3339) [default: never]
        #[arg(long)]
        expires_at: Option<String>,
    },
    /// Make a new key in the place of one, which ends after an overlap, and print it, this once
    Rotate {
        /// The id of the old one
        id: String,
        /// For how many seconds the old one still works
        #[arg(long, default_value_t = 86_400)]
        overlap_s: u64,
    },
    /// End a key at once
    Delete {
        /// Its id
        id: String,
    },
}

pub(in crate::cli) async fn accounts(arguments: AccountsArguments) -> Result<(), Failure> {
    let client = arguments.server.client()?;
    match arguments.command {
        AccountsCommand::List(list) => {
            let items = client.list("/v1/accounts", &[], list.limit).await?;
            list.print(items, &[("ID", "/id"), ("NAME", "/name"), ("CREATED", "/created_at")]);
        }
        AccountsCommand::Show { id } => print(&client.get(&format!("/v1/accounts/{}", segment(&id)?)).await?),
        AccountsCommand::Create { id, name } => {
            print(&client.post("/v1/accounts", &json!({"name": name.as_ref().unwrap_or(&id), "id": id})).await?);
        }
    }
    Ok(())
}

pub(in crate::cli) async fn keys(arguments: KeysArguments) -> Result<(), Failure> {
    let client = arguments.server.client()?;
    match arguments.command {
        KeysCommand::List(list) => {
            let items = client.list("/v1/keys", &[], list.limit).await?;
            let columns = [
                ("ID", "/id"),
                ("NAME", "/name"),
                ("SCOPE", "/scope"),
                ("ACCOUNT", "/account"),
                ("BEGINS", "/prefix"),
                ("LAST USED", "/last_used_at"),
                ("EXPIRES", "/expires_at"),
            ];
            list.print(items, &columns);
        }
        KeysCommand::Create { name, scope, account, expires_at } => {
            let mut body = Map::from_iter([("name".to_owned(), json!(name)), ("scope".to_owned(), json!(scope))]);
            body.extend(account.map(|account| ("account".to_owned(), json!(account))));
            body.extend(expires_at.map(|expires_at| ("expires_at".to_owned(), json!(expires_at))));
            print(&client.post("/v1/keys", &Value::Object(body)).await?);
        }
        KeysCommand::Rotate { id, overlap_s } => {
            print(&client.post(&format!("/v1/keys/{}/rotate", segment(&id)?), &json!({"overlap_s": overlap_s})).await?);
        }
        KeysCommand::Delete { id } => client.delete(&format!("/v1/keys/{}", segment(&id)?)).await?,
    }
    Ok(())
}
