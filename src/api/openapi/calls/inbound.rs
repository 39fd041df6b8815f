//! What is said of the calls about clicks, reports, integration codes and test runs.

use schemars::JsonSchema;

use super::super::operation::{Operation, Tag};
use super::super::schemas::Text;
use crate::api::clicks::{ClickJson, MadeClick, NewClick};
use crate::api::integration::Codes;
use crate::api::s2s::AnswerJson;
use crate::api::test_runs::{NewTestRun, TestReport, TestRunJson};
use crate::clock::Timestamp;
use crate::event::{AccountId, OfferId};
use crate::id::{InboundCallId, InboundKeyId, TestRunId};
use crate::inbound::{CallResult, InboundCall};

/// What a report says. Every value may be a text, a number or a boolean; what is not known is ignored.
#[derive(JsonSchema)]
#[schemars(rename = "ReportParameters", extend("additionalProperties" = plain_value()))]
#[expect(dead_code, reason = "it stands for its schema")]
struct ReportBody {
    /// The click, as the landing page was given it.
    click_id: Option<PlainValue>,
    /// The advertiser's own id of the action.
    request_id: Option<PlainValue>,
    /// The name of the action.
    action: Option<PlainValue>,
    /// A word for the status; `activate` and `deactivate` are for customers.
    status: Option<PlainValue>,
    /// What the advertiser earned; needed if the payout is a percentage.
    price: Option<PlainValue>,
    /// The advertiser's own id of the customer; needed for recurring actions.
    customer_id: Option<PlainValue>,
    /// What the advertiser says about it.
    comment: Option<PlainValue>,
    /// The offer, if neither the key nor the click tells it.
    offer_id: Option<PlainValue>,
}

fn with_parameters(operation: Operation) -> Operation {
    [
        ("click_id", "The click, as the landing page was given it."),
        ("request_id", "The advertiser's own id of the action."),
        ("action", "The name of the action."),
        ("status", "A word for the status; `activate` and `deactivate` are for customers."),
        ("price", "What the advertiser earned; needed if the payout is a percentage."),
        ("customer_id", "The advertiser's own id of the customer; needed for recurring actions."),
        ("comment", "What the advertiser says about it."),
        ("offer_id", "The offer, if neither the key nor the click tells it."),
    ]
    .into_iter()
    .fold(operation, |operation, (name, meaning)| operation.free_query::<String>(name, meaning))
}

const REPORT: &str = "What came of it, with `rejected_by_conflict`, `status` and `lead_id`. A report that is refused is answered in the same \
                      form, with `code` and `detail`: 404 for an unknown key or click, 422 for parameters, 403 for an address, 413, 415, \
                      429, 503.";

pub(in crate::api) fn report_get() -> Operation {
    with_parameters(
        Operation::new("report", Tag::Inbound, "Report what came of a click").describe(REPORT).path::<Text>("key", "The inbound key."),
    )
    .answers::<AnswerJson>(200, "It was taken, or was known, or contradicts what is decided.")
    .refuses::<AnswerJson>(&[403, 404, 422, 429, 503])
}

pub(in crate::api) fn report_post() -> Operation {
    Operation::new("report_in_body", Tag::Inbound, "Report what came of a click, in a body")
        .describe(REPORT)
        .path::<Text>("key", "The inbound key.")
        .reads::<ReportBody>(
            &["application/json", "application/x-www-form-urlencoded"],
            "The parameters. Those of the query count too, where the body does not say otherwise.",
        )
        .example(r#"{"click_id": "0190a6b4-5b1e-7cc1-9d3e-0d8f0c1b2a39", "request_id": "12345", "action": "lead", "price": 30, "status": "hold"}"#)
        .answers::<AnswerJson>(200, "It was taken, or was known, or contradicts what is decided.")
        .refuses::<AnswerJson>(&[403, 404, 413, 415, 422, 429, 503])
}

pub(in crate::api) fn pixel() -> Operation {
    with_parameters(
        Operation::new("report_by_pixel", Tag::Inbound, "Report with an image")
            .describe("For pages of sites without a back end. What came of it is in the header `X-Postrider-Result`.")
            .path::<Text>("key", "The inbound key."),
    )
    .answers_text(200, "image/gif", "One transparent point, whatever came of the report.")
    .with_header("X-Postrider-Result", "`success`, `repeated`, `conflict` or `error`, with the code.")
}

pub(in crate::api) fn frame() -> Operation {
    with_parameters(
        Operation::new("report_by_frame", Tag::Inbound, "Report with a frame")
            .describe("For pages of sites without a back end. What came of it is in the header `X-Postrider-Result`.")
            .path::<Text>("key", "The inbound key."),
    )
    .answers_text(200, "text/html", "An empty page, whatever came of the report.")
    .with_header("X-Postrider-Result", "`success`, `repeated`, `conflict` or `error`, with the code.")
}

pub(in crate::api) fn redirect() -> Operation {
    [
        ("sub_id1", "First value of the partner's own; also `sub_id`, `SubId1`, `subid1`."),
        ("sub_id2", "Second value of the partner's own."),
        ("sub_id3", "Third value of the partner's own."),
        ("shared_id", "A value that partner and advertiser see."),
        ("promo_id", "The promotion that the link is for."),
        ("promo_code", "The code that the link is for."),
        ("campaign_id", "The campaign; that of the offer if it is left out."),
        ("traffic_source", "Where the visitor comes from."),
        ("utm_source", "The same in the words of web analytics."),
        ("test_run", "The test run that the visit belongs to."),
    ]
    .into_iter()
    .fold(
        Operation::new("follow_link", Tag::Inbound, "Follow a partner's link")
            .describe(
                "Stores a click and sends the visitor on to the offer's landing address. A HEAD and a prefetch are no visits and are answered \
                 with 204.",
            )
            .path::<AccountId>("account", "The partner.")
            .path::<OfferId>("offer", "The offer."),
        |operation, (name, meaning)| operation.free_query::<String>(name, meaning),
    )
    .answers_with_nothing(302, "To the landing address.")
    .with_header("Location", "The landing address with its values.")
    .answers_nothing("A prefetch; nothing is stored.")
    .fails(&["not_found", "too_many_clicks"])
    .writes_store()
}

pub(in crate::api) fn list_clicks() -> Operation {
    Operation::new("list_clicks", Tag::Inbound, "List clicks")
        .describe("A key of an account sees the clicks of its links, and those of its offers without what is the partner's own.")
        .query::<AccountId>("account", "Only those of this partner.")
        .query::<OfferId>("offer", "Only those of this offer.")
        .query::<Timestamp>("since", "From this time on.")
        .query::<Timestamp>("until", "Up to this time.")
        .page()
        .lists::<ClickJson>("A page of clicks.")
        .reads_store()
}

pub(in crate::api) fn create_click() -> Operation {
    Operation::new("create_click", Tag::Inbound, "Make a click")
        .describe("For redirectors of one's own: what following a link does, without the redirect.")
        .takes::<NewClick>("What is known of the visit.")
        .example(r#"{"account": "acme", "offer": "summer-shop", "sub_id1": "w8TnE3kQ5u2Lx0", "ip": "203.0.113.7"}"#)
        .answers::<MadeClick>(201, "The click, and where to send the visitor.")
        .fails(&["unknown_account", "not_found"])
        .writes_store()
}

pub(in crate::api) fn show_click() -> Operation {
    Operation::new("get_click", Tag::Inbound, "Read a click")
        .path::<Text>("id", "The click.")
        .answers::<ClickJson>(200, "The click.")
        .reads_store()
}

pub(in crate::api) fn list_calls() -> Operation {
    Operation::new("list_inbound_calls", Tag::Inbound, "List reports as they came in")
        .describe("Reports under unknown keys are seen by operators alone.")
        .of_account()
        .query::<OfferId>("offer", "Only those for this offer.")
        .query::<CallResult>("result", "Only those with this result.")
        .query::<Text>("code", "Only those with this code, such as `unknown_click`.")
        .query::<Status>("status", "Only those answered with this HTTP status.")
        .query::<Text>("request_id", "Only those with this id of the advertiser's.")
        .query::<Text>("lead", "Only those of this action.")
        .query::<Text>("click", "Only those of this click.")
        .query::<Address>("address", "Only those from this address.")
        .query::<Timestamp>("since", "From this time on.")
        .query::<Timestamp>("until", "Up to this time.")
        .page()
        .lists::<InboundCall>("A page of reports.")
        .reads_store()
}

pub(in crate::api) fn show_call() -> Operation {
    Operation::new("get_inbound_call", Tag::Inbound, "Read a report as it came in")
        .path::<InboundCallId>("id", "The report.")
        .answers::<InboundCall>(200, "The report.")
        .reads_store()
}

pub(in crate::api) fn codes() -> Operation {
    Operation::new("get_integration_codes", Tag::Inbound, "Read the integration codes of an offer")
        .describe("Addresses, bodies and page elements to copy. Values in braces are the advertiser's to fill.")
        .path::<OfferId>("id", "The offer.")
        .query::<InboundKeyId>("key", "The key in the addresses; the newest that fits if it is left out.")
        .query::<AccountId>("partner", "The partner whose link is shown.")
        .answers::<Codes>(200, "The codes.")
        .with_header("Cache-Control", "`no-store`: nobody on the way may keep the key.")
}

pub(in crate::api) fn create_test_run() -> Operation {
    Operation::new("create_test_run", Tag::Inbound, "Start a test run of an offer")
        .path::<OfferId>("id", "The offer.")
        .takes::<NewTestRun>("Whose link, and which action.")
        .example(r#"{"partner": "acme", "action": "lead"}"#)
        .answers::<TestRunJson>(201, "The run, with the link to open.")
        .leads_to("get_test_run", "$response.body#/id")
        .writes_store()
}

pub(in crate::api) fn show_test_run() -> Operation {
    Operation::new("get_test_run", Tag::Inbound, "Read a test run")
        .path::<TestRunId>("id", "The run.")
        .answers::<TestRunJson>(200, "The run, with its steps.")
        .reads_store()
}

pub(in crate::api) fn report_test_run() -> Operation {
    Operation::new("report_test_run", Tag::Inbound, "Play the advertiser of a test run")
        .path::<TestRunId>("id", "The run.")
        .takes::<TestReport>("The status that is reported.")
        .example(r#"{"status": "hold"}"#)
        .answers::<TestRunJson>(200, "The run, with its steps.")
        .fails(&["test_run_not_ready"])
        .writes_store()
}

pub(in crate::api) fn finish_test_run() -> Operation {
    Operation::new("finish_test_run", Tag::Inbound, "Finish a test run")
        .describe("What is not final is reported as rejected, so that nothing of a test is paid.")
        .path::<TestRunId>("id", "The run.")
        .answers::<TestRunJson>(200, "The run, with its steps.")
        .fails(&["test_run_not_ready", "invalid_input"])
        .writes_store()
}

/// A value of a report in JSON.
struct PlainValue;

fn plain_value() -> serde_json::Value {
    serde_json::json!({"type": ["string", "number", "boolean", "null"]})
}

impl JsonSchema for PlainValue {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PlainValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["string", "number", "boolean"]})
    }
}

/// An HTTP status.
struct Status;

impl JsonSchema for Status {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HttpStatus".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "integer", "minimum": 100, "maximum": 599})
    }
}

/// An IP address.
struct Address;

impl JsonSchema for Address {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IpAddress".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]})
    }
}
