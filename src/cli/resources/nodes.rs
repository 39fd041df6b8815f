//! `postrider nodes`.

use clap::Args;
use serde_json::Value;

use super::table;
use crate::cli::Failure;
use crate::cli::client::ServerArguments;

#[derive(Debug, Args)]
pub(in crate::cli) struct NodesArguments {
    #[command(flatten)]
    server: ServerArguments,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(arguments: NodesArguments) -> Result<(), Failure> {
    let answer = arguments.server.client()?.get("/v1/nodes").await?;
    let mut nodes = answer["data"].as_array().cloned().unwrap_or_default();
    if arguments.json {
        println!("{:#}", Value::Array(nodes));
        return Ok(());
    }
    for node in &mut nodes {
        let roles: Vec<_> = node["roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        node["roles"] = roles.join(",").into();
        node["state"] = match (node["live"].as_bool(), node["leaving"].as_bool()) {
            (Some(false), _) => "gone",
            (_, Some(true)) => "leaving",
            _ => "live",
        }
        .into();
    }
    let columns = [
        ("ID", "/id"),
        ("ADDRESS", "/address"),
        ("ROLES", "/roles"),
        ("VERSION", "/version"),
        ("STATE", "/state"),
        ("LANES", "/lanes"),
        ("IN FLIGHT", "/in_flight"),
        ("LAST BEAT", "/last_beat_at"),
    ];
    print!("{}", table::render(&nodes, &columns));
    Ok(())
}
