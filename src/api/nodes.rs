//! The nodes that share the store: who is there, and who has how much to do.

use axum::Json;
use axum::extract::{RawQuery, State};
use schemars::JsonSchema;
use serde::Serialize;

use super::page::Parameters;
use super::{ApiError, ApiState};
use crate::clock::Timestamp;
use crate::cluster::{LeaseError, Node, NodeReport, Role};
use crate::id::NodeId;
use crate::queue::StoreError;

/// A node.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Node")]
pub(super) struct NodeJson {
    id: NodeId,
    /// Where it listens.
    address: String,
    /// What it does.
    roles: Vec<Role>,
    /// Its release.
    version: String,
    /// How many lanes it owns: subscriptions for which it sends.
    lanes: usize,
    /// How many of its requests waited for their answer at its last beat.
    in_flight: usize,
    /// When it last told of itself.
    last_beat_at: Timestamp,
    /// Whether that was less than a lease ago.
    live: bool,
    /// Whether it is stopping.
    leaving: bool,
    /// Whether it is the node that answers.
    is_this: bool,
}

/// All nodes.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Nodes")]
pub(super) struct NodesJson {
    data: Vec<NodeJson>,
    /// Always none: all of them fit into one answer.
    next_cursor: Option<String>,
}

/// `GET /v1/nodes`
pub(super) async fn list(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Json<NodesJson>, ApiError> {
    Parameters::read(query.as_deref(), &[])?;
    let unread = |LeaseError { detail }| StoreError::Failed { action: "reading the nodes", detail };
    let nodes = state.leases.nodes().await.map_err(unread)?;
    let show = |Node { report, beat_at, live }: Node| {
        let NodeReport { id, address, roles, version, lanes, in_flight, leaving } = report;
        let is_this = id == state.node;
        NodeJson { id, address, roles: roles.list(), version, lanes, in_flight, last_beat_at: beat_at, live, leaving, is_this }
    };
    Ok(Json(NodesJson { data: nodes.into_iter().map(show).collect(), next_cursor: None }))
}
