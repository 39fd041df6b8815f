//! Inquiries: a partner asks about an action that is missing or looks wrong.

use super::field::{Field, concat, date, decimal, integer, list, text, url};
use super::system::SYSTEM;
use super::table::{Family, TypeEntry};

static FIELDS: [Field; INQUIRY.len() + SYSTEM.len()] = concat(INQUIRY, SYSTEM);

pub(super) static CREATED: TypeEntry = TypeEntry {
    name: "inquiry.created",
    family: Family::ActionInquiry,
    summary: "A partner opened an inquiry about an action that is missing or looks wrong.",
    default_sent: true,
    fields: &FIELDS,
    sample_key: "inquiry-80231:created",
    sample_occurred_at: "2024-09-22T09:15:00Z",
    sample_values: &[
        ("ActionId", ""),
        ("ResolutionStatus", "UNRESOLVED"),
        ("RejectReason", ""),
        ("FinalPayout", ""),
        ("ResolutionDate", ""),
        ("comments", COMMENTS_AT_FIRST),
    ],
};

pub(super) static RESOLVED: TypeEntry = TypeEntry {
    name: "inquiry.resolved",
    family: Family::ActionInquiry,
    summary: "An inquiry was resolved or closed.",
    default_sent: true,
    fields: &FIELDS,
    sample_key: "inquiry-80231:resolved",
    sample_occurred_at: "2024-09-25T14:40:00Z",
    sample_values: &[("RejectReason", "")],
};

const INQUIRY: &[Field] = &[
    integer("InquiryId", "Id of the inquiry.", "80231"),
    text("MediaPartnerInquiryId", "The partner's own id of the inquiry.", "CASE-5512"),
    integer("CampaignId", "Id of the brand's program.", "1000"),
    text("CampaignName", "Name of the brand's program as people see it.", "Acme Campaign"),
    text("OrderId", "The brand's id of the order in question.", "ORD-77120"),
    date("TransactionDate", "When the customer ordered, as the partner says.", "2024-09-08T19:20:00-07:00"),
    decimal("TransactionAmount", "Sale amount of the order, as the partner says; not what the partner earns.", "64.50"),
    text("CustomerId", "The partner's id of the customer.", "member-4711"),
    date("InquiryDate", "When the inquiry was opened.", "2024-09-22T02:15:00-07:00"),
    text("InquiryType", "What is wrong: `UNTRACKED`, `INCORRECT` or `DECLINED`.", "UNTRACKED"),
    decimal("ExpectedPayout", "What the partner expects to earn.", "2.58"),
    date("ResolutionDeadlineDate", "Until when the brand has to answer.", "2024-10-06T00:00:00-07:00"),
    text("InquiryNotes", "What the partner wrote about the case.", "Customer sent the order confirmation."),
    url("TrackingLink", "Link the customer clicked.", "https://track.example/c/10000/506720/1000?subId1=w8TnE3kQ5u2Lx0"),
    text("ActionId", "Id of the action in question; empty while there is none.", "1000.4636.158901"),
    date("AutoApprovalDate", "When the inquiry is granted by itself if nobody answers.", "2024-10-06T00:00:00-07:00"),
    text("ResolutionStatus", "How it ended: `UNRESOLVED`, `VALID`, `DECLINED` or `INCOMPLETE`.", "VALID"),
    text("RejectReason", "Why the inquiry was declined; empty otherwise.", "Order was cancelled."),
    decimal("FinalPayout", "What the partner earns after the inquiry; empty while it is open.", "2.58"),
    date("ResolutionDate", "When the inquiry was resolved; empty while it is open.", "2024-09-25T07:40:00-07:00"),
    date("CreationDate", "When the platform recorded the inquiry.", "2024-09-22T02:15:04-07:00"),
    list("comments", COMMENT, "What both sides wrote, oldest first.", COMMENTS),
];

const COMMENT: &[Field] = &[
    text("user", "Who wrote the comment.", "Pat at Acme Partner"),
    text("comment", "Text of the comment.", "The receipt is attached."),
    date("date", "When the comment was written.", "2024-09-22T02:16:30-07:00"),
];

const COMMENTS: &str = r#"[
    {"user": "Pat at Acme Partner", "comment": "The receipt is attached.", "date": "2024-09-22T02:16:30-07:00"},
    {"user": "Acme Support", "comment": "Found the order, thank you.", "date": "2024-09-25T07:38:10-07:00"}
]"#;

const COMMENTS_AT_FIRST: &str = r#"[
    {"user": "Pat at Acme Partner", "comment": "The receipt is attached.", "date": "2024-09-22T02:16:30-07:00"}
]"#;
