//! `postrider deliveries`.

use clap::{Args, Subcommand};

use super::{ListArguments, print, query, segment};
use crate::cli::Failure;
use crate::cli::client::ServerArguments;

#[derive(Debug, Args)]
pub(in crate::cli) struct DeliveriesArguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(subcommand)]
    command: DeliveriesCommand,
}

#[derive(Debug, Subcommand)]
enum DeliveriesCommand {
    /// Deliveries, newest first
    List(DeliveriesListArguments),
    /// One delivery with its attempts
    Show {
        /// Its id
        id: String,
    },
    /// Make a pending or dead delivery due now
    Retry {
        /// Its id
        id: String,
    },
    /// End a pending or dead delivery
    Cancel {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Args)]
struct DeliveriesListArguments {
    /// Only this account's
    #[arg(long)]
    account: Option<String>,
    /// Only this subscription's
    #[arg(long)]
    subscription: Option<String>,
    /// Only this event's
    #[arg(long)]
    event: Option<String>,
    /// Only those in this state: pending, delivered, dead or cancelled
    #[arg(long)]
    state: Option<String>,
    /// Only those created at or after this time (RFC 3339)
    #[arg(long)]
    since: Option<String>,
    /// Only those created before this time
    #[arg(long)]
    until: Option<String>,
    #[command(flatten)]
    list: ListArguments,
}

pub(in crate::cli) async fn run(arguments: DeliveriesArguments) -> Result<(), Failure> {
    let client = arguments.server.client()?;
    match arguments.command {
        DeliveriesCommand::List(wanted) => {
            let pairs = query([
                ("account", wanted.account.as_ref()),
                ("subscription", wanted.subscription.as_ref()),
                ("event", wanted.event.as_ref()),
                ("state", wanted.state.as_ref()),
                ("since", wanted.since.as_ref()),
                ("until", wanted.until.as_ref()),
            ]);
            let items = client.list("/v1/deliveries", &pairs, wanted.list.limit).await?;
            wanted.list.print(
                items,
                &[
                    ("ID", "/id"),
                    ("CREATED", "/created_at"),
                    ("TYPE", "/type"),
                    ("STATE", "/state"),
                    ("ATTEMPTS", "/attempts"),
                    ("LAST OUTCOME", "/last_outcome"),
                    ("DUE", "/due_at"),
                ],
            );
        }
        DeliveriesCommand::Show { id } => print(&client.get(&format!("/v1/deliveries/{}", segment(&id)?)).await?),
        DeliveriesCommand::Retry { id } => print(&client.act(&format!("/v1/deliveries/{}/retry", segment(&id)?)).await?),
        DeliveriesCommand::Cancel { id } => print(&client.act(&format!("/v1/deliveries/{}/cancel", segment(&id)?)).await?),
    }
    Ok(())
}
