//! Requests for tracking values: promotion codes, addresses, phone numbers.

use super::field::{Field, concat, date, integer, list, text, url};
use super::system::SYSTEM;
use super::table::{Family, TypeEntry};

static FIELDS: [Field; REQUEST.len() + SYSTEM.len()] = concat(REQUEST, SYSTEM);

pub(super) static REQUEST_CREATED: TypeEntry = TypeEntry {
    name: "tracking_value_request.created",
    family: Family::TrackingValueRequest,
    summary: "A partner asked for a promotion code, an address of its own or a phone number.",
    default_sent: true,
    fields: &FIELDS,
    sample_key: "tracking-value-request-3307:created",
    sample_occurred_at: "2024-09-12T16:00:00Z",
    sample_values: &[("DateCompleted", "")],
};

const REQUEST: &[Field] = &[
    integer("RequestId", "Id of the request.", "3307"),
    integer("CampaignId", "Id of the brand's program.", "1000"),
    text("CampaignName", "Name of the brand's program as people see it.", "Acme Campaign"),
    integer("MediaPartnerId", "Id of the partner that asks.", "10000"),
    text("MediaPartnerName", "Name of the partner that asks.", "Acme Partner"),
    text(
        "RequestType",
        "What is asked for: `PROMOCODE_TRACKING`, `BRANDED_URL_TRACKING` or `PHONE_NUMBER_TRACKING`.",
        "PROMOCODE_TRACKING",
    ),
    integer("NumberRequested", "How many values are asked for.", "1"),
    text("State", "State of the request: `NEW`, `APPROVED`, `COMPLETED` or `DECLINED`.", "NEW"),
    date("DatePlaced", "When the request was made.", "2024-09-12T09:00:00-07:00"),
    date("DateNeeded", "When the partner needs the values.", "2024-09-20T00:00:00-07:00"),
    date("DateCompleted", "When the values were handed over; empty until then.", "2024-09-16T11:30:00-07:00"),
    list(
        "promocodes",
        PROMO_CODE,
        "Promotion codes asked for.",
        r#"[{"code": "PARTNER10", "description": "10 percent off the first order"}]"#,
    ),
    list("urls", ADDRESS, "Addresses asked for.", r#"[{"url": "https://shop.example/partner", "description": "Short address for print"}]"#),
    list("phones", PHONE, "Phone numbers asked for.", r#"[{"number": "+1 805 555 0100", "description": "Radio spot"}]"#),
];

const PROMO_CODE: &[Field] =
    &[text("code", "The promotion code.", "PARTNER10"), text("description", "What the code is for.", "10 percent off the first order")];

const ADDRESS: &[Field] = &[
    url("url", "The address.", "https://shop.example/partner"),
    text("description", "What the address is for.", "Short address for print"),
];

const PHONE: &[Field] =
    &[text("number", "The phone number.", "+1 805 555 0100"), text("description", "What the number is for.", "Radio spot")];
