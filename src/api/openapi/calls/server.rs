//! What is said of the calls about the server itself.

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::super::operation::{Operation, Tag};
use crate::api::health::Health;
use crate::api::nodes::NodesJson;

pub(in crate::api) fn live() -> Operation {
    Operation::new("get_health", Tag::Server, "Is it alive?")
        .answers::<Health>(200, "The process answers, and the dispatcher's loop turns.")
        .answers::<Health>(503, "The dispatcher hangs; restart the server.")
}

pub(in crate::api) fn ready() -> Operation {
    Operation::new("get_readiness", Tag::Server, "Does it take work?")
        .answers::<Health>(200, "The store is open, the operator's key exists and the server is not stopping.")
        .answers::<Health>(503, "It is not ready.")
}

pub(in crate::api) fn metrics() -> Operation {
    Operation::new("get_metrics", Tag::Server, "Read metrics")
        .describe(
            "In the OpenMetrics text form, which Prometheus reads. From elsewhere than the server's own machine it takes a key of scope `operator`, or of scope \
             `read` without an account, unless the operator opens it to everybody.",
        )
        .answers_text(200, "application/openmetrics-text", "Metrics.")
        .fails(&["unauthorized", "forbidden", "too_many_failures"])
        .reads_store()
}

pub(in crate::api) fn openapi() -> Operation {
    Operation::new("get_openapi", Tag::Server, "Read this description").answers::<Map<String, Value>>(200, "An OpenAPI 3.1 document.")
}

pub(in crate::api) fn docs() -> Operation {
    Operation::new("get_docs", Tag::Server, "Read this description as a page").answers_text(200, "text/html", "A page without scripts.")
}

/// Where requests come from.
#[derive(JsonSchema)]
#[schemars(rename = "Addresses")]
#[expect(dead_code, reason = "it stands for its schema")]
struct AddressesAnswer {
    /// Addresses and networks, as the operator set them.
    addresses: Vec<String>,
    /// The user agent of every request.
    user_agent: String,
}

pub(in crate::api) fn addresses() -> Operation {
    Operation::new("get_addresses", Tag::Server, "Read where requests come from")
        .describe("For the lists of receivers' firewalls.")
        .answers::<AddressesAnswer>(200, "Addresses and user agent.")
        .fails(&["invalid_input"])
}

pub(in crate::api) fn nodes() -> Operation {
    Operation::new("list_nodes", Tag::Server, "List the nodes that share the store")
        .describe("A node that has not told of itself for longer than a lease is not live; it is forgotten after an hour.")
        .answers::<NodesJson>(200, "All nodes, the first by id first.")
        .fails(&["invalid_input"])
        .reads_store()
}

pub(in crate::api) fn export() -> Operation {
    Operation::new("export", Tag::Server, "Export everything that is kept")
        .describe("A backup beside the server's work, as `postrider store import` takes it. An export that broke off has no last line.")
        .answers_text(200, "application/x-ndjson", "One record on each line.")
        .reads_store()
}
