//! Actions: one conversion from being tracked to being paid.
//!
//! The samples tell the story of one order of two lines, worth 21.99 with a
//! payout of 4 percent. `action.modified` takes the second line back,
//! `action.reversed` the whole order; the others happen to an order that
//! nobody touched.

use super::field::{Field, concat, date, decimal, integer, list, text, url};
use super::system::SYSTEM;
use super::table::{Family, TypeEntry};

static FIELDS: [Field; ORDER.len() + SYSTEM.len()] = concat(ORDER, SYSTEM);

pub(super) static TRACKED: TypeEntry = TypeEntry {
    name: "action.tracked",
    family: Family::ActionLifeCycle,
    summary: "An action was tracked or reported.",
    default_sent: true,
    fields: &FIELDS,
    sample_key: "1000.4636.158133:tracked",
    sample_occurred_at: "2024-09-10T17:51:23Z",
    sample_values: &[("Status", "PENDING"), ("StatusDetail", ""), ("DeltaPayout", "0.88"), ("DeltaAmount", "21.99"), ("ClearedDate", "")],
};

pub(super) static MODIFIED: TypeEntry = TypeEntry {
    name: "action.modified",
    family: Family::ActionLifeCycle,
    summary: "An action was changed before it locked, for example because part of the order went back.",
    default_sent: true,
    fields: &FIELDS,
    sample_key: "1000.4636.158133:modified:1",
    sample_occurred_at: "2024-09-14T08:05:00Z",
    sample_values: &[
        ("Status", "PENDING"),
        ("StatusDetail", ""),
        ("Payout", "0.68"),
        ("DeltaPayout", "-0.20"),
        ("Amount", "16.99"),
        ("DeltaAmount", "-5.00"),
        ("OriginalAmount", "15.53"),
        ("ClearedDate", ""),
        ("items", ITEMS_AFTER_RETURN),
    ],
};

pub(super) static REVERSED: TypeEntry = TypeEntry {
    name: "action.reversed",
    family: Family::ActionLifeCycle,
    summary: "An action was reversed before it locked; it will not be paid.",
    default_sent: true,
    fields: &FIELDS,
    sample_key: "1000.4636.158133:reversed",
    sample_occurred_at: "2024-09-18T15:30:00Z",
    sample_values: &[
        ("Status", "REVERSED"),
        ("StatusDetail", "ITEM_RETURNED"),
        ("Payout", "0.00"),
        ("DeltaPayout", "-0.88"),
        ("Amount", "0.00"),
        ("DeltaAmount", "-21.99"),
        ("OriginalAmount", "0.00"),
        ("ClearedDate", ""),
        ("items", ITEMS_ALL_RETURNED),
    ],
};

pub(super) static CLEARED: TypeEntry = TypeEntry {
    name: "action.cleared",
    family: Family::ActionClearing,
    summary: "An action cleared: its commission became payable on the scheduled clearing date.",
    default_sent: true,
    fields: &FIELDS,
    sample_key: "1000.4636.158133:cleared",
    sample_occurred_at: "2024-10-20T07:00:00Z",
    sample_values: SETTLED,
};

pub(super) static LOCKED: TypeEntry = TypeEntry {
    name: "action.locked",
    family: Family::ActionSettlement,
    summary: "An action locked: it can no longer be modified or reversed.",
    default_sent: false,
    fields: &FIELDS,
    sample_key: "1000.4636.158133:locked",
    sample_occurred_at: "2024-09-26T07:00:00Z",
    sample_values: &[("Status", "APPROVED"), ("StatusDetail", ""), ("DeltaPayout", "0.88"), ("DeltaAmount", "21.99"), ("ClearedDate", "")],
};

pub(super) static PAID: TypeEntry = TypeEntry {
    name: "action.paid",
    family: Family::ActionSettlement,
    summary: "The commission of an action was paid out.",
    default_sent: false,
    fields: &FIELDS,
    sample_key: "1000.4636.158133:paid",
    sample_occurred_at: "2024-11-02T07:00:00Z",
    sample_values: SETTLED,
};

const SETTLED: &[(&str, &str)] = &[("Status", "APPROVED"), ("StatusDetail", "PAID"), ("DeltaPayout", "0.88"), ("DeltaAmount", "21.99")];

const ORDER: &[Field] = &[
    integer("CampaignId", "Id of the brand's program.", "1000"),
    text("CampaignName", "Name of the brand's program as people see it.", "Acme Campaign"),
    integer("ActionTrackerId", "Id of the event type the action belongs to, such as the sale or the lead of this program.", "2240"),
    text("ActionTrackerName", "Name of the event type the action belongs to.", "Sale"),
    integer("MediaPartnerId", "Id of the partner credited with the action.", "10000"),
    text("MediaPartnerName", "Name of the partner credited with the action.", "Acme Partner"),
    text("ActionType", "Kind of action, such as `SALE`, `LEAD` or `INSTALL`.", "SALE"),
    text("ReferringType", "How the action was credited, such as `CLICK_COOKIE`, `PROMOCODE` or `CALL`.", "CLICK_COOKIE"),
    text(
        "ActionId",
        "Id of the action, the same through all its changes; use it to find and to de-duplicate the action.",
        "1000.4636.158133",
    ),
    text("Status", "State of the action: `PENDING`, `APPROVED` or `REVERSED`.", "APPROVED"),
    text("StatusDetail", "More about the state, such as `PAID` or the reason of a reversal; often empty.", "PAID"),
    integer("AdId", "Id of the ad that was clicked.", "506720"),
    decimal("Payout", "What the partner earns for the action, after all changes so far.", "0.88"),
    decimal("DeltaPayout", "Change of the payout since the previous update; equals the payout if there was none.", "-0.20"),
    decimal("IntendedPayout", "Payout that the contract gave before anything was changed.", "0.88"),
    decimal("Amount", "Sale amount of the order; not what the partner earns.", "21.99"),
    decimal("DeltaAmount", "Change of the sale amount since the previous update; equals the amount if there was none.", "-5.00"),
    decimal("IntendedAmount", "Sale amount of the order before anything was changed.", "21.99"),
    text("Currency", "Currency of all payouts and amounts but the original amount, by its ISO 4217 code.", "USD"),
    text("OriginalCurrency", "Currency in which the brand reported the order, by its ISO 4217 code.", "EUR"),
    decimal("OriginalAmount", "Sale amount of the order in the currency in which the brand reported it.", "20.10"),
    date("EventDate", "When the customer acted.", "2024-09-10T10:42:38-07:00"),
    date("CreationDate", "When the platform recorded the action.", "2024-09-10T10:51:23-07:00"),
    date("LockingDate", "When the action locks and can no longer be changed or reversed.", "2024-09-26T00:00:00-07:00"),
    date("ClearedDate", "When the commission became payable; empty until then.", "2024-10-20T00:00:00-07:00"),
    text("ReferringDomain", "Site that the customer clicked on; may be empty.", "blog.example"),
    url("LandingPageUrl", "Page on which the click landed.", "https://shop.example/sale?utm_source=partner&utm_medium=affiliate"),
    text("RefCustomerArea", "Market area of the customer, guessed from the network address.", "855"),
    text("RefCustomerCity", "City of the customer, guessed from the network address.", "Santa Barbara"),
    text("RefCustomerRegion", "Region or state of the customer, guessed from the network address.", "California"),
    text("RefCustomerCountry", "Country of the customer, guessed from the network address, by its two-letter code.", "US"),
    text(
        "RefClickId",
        "The platform's own id of the click; not the click id of the partner's tracker, which is in a sub id.",
        "abcdefg1hijkl2mn3opq",
    ),
    text("SharedId", "Value the partner put on the link for itself and the brand to see.", "RT-19247423"),
    text("SubId1", "First value the partner put on the link for itself alone, mostly the click id of its tracker.", "w8TnE3kQ5u2Lx0"),
    text("SubId2", "Second value the partner put on the link for itself alone.", "newsletter-37"),
    text("SubId3", "Third value the partner put on the link for itself alone.", "top banner"),
    text("Text1", "First free text that the brand sends with the action.", "new customer"),
    text("Text2", "Second free text that the brand sends with the action.", "gift wrapping"),
    text("PromoCode", "Promotion code the customer used; empty if none.", "SUMMERSALE2024"),
    list("items", ITEM, "Lines of the order, if the brand sends them.", ITEMS),
];

const ITEM: &[Field] = &[
    text("sku", "The brand's id of the product.", "A-1"),
    decimal("amt", "Total of the line, for all its units together, after the rebate.", "16.99"),
    text("cat", "Category of the product.", "Sports"),
    decimal("qty", "Number of units.", "2"),
    decimal("cartamt", "Total of the line in the customer's cart, before the rebate.", "17.99"),
    decimal("rbt", "Rebate or discount on the line.", "1.00"),
    text("name", "Name of the product.", "Tennis ball"),
    text("itemlist", "List of categories of the product.", "balls"),
];

const ITEMS: &str = r#"[
    {"sku": "A-1", "amt": "16.99", "cat": "Sports", "qty": "2", "cartamt": "17.99", "rbt": "1.00", "name": "Tennis ball", "itemlist": "balls"},
    {"sku": "B-2", "amt": "5.00", "cat": "Toys", "qty": "1", "cartamt": "5.00", "rbt": "0.00", "name": "Yo-yo", "itemlist": "toys"}
]"#;

const ITEMS_AFTER_RETURN: &str = r#"[
    {"sku": "A-1", "amt": "16.99", "cat": "Sports", "qty": "2", "cartamt": "17.99", "rbt": "1.00", "name": "Tennis ball", "itemlist": "balls"},
    {"sku": "B-2", "amt": "0.00", "cat": "Toys", "qty": "0", "cartamt": "0.00", "rbt": "0.00", "name": "Yo-yo", "itemlist": "toys"}
]"#;

const ITEMS_ALL_RETURNED: &str = r#"[
    {"sku": "A-1", "amt": "0.00", "cat": "Sports", "qty": "0", "cartamt": "0.00", "rbt": "0.00", "name": "Tennis ball", "itemlist": "balls"},
    {"sku": "B-2", "amt": "0.00", "cat": "Toys", "qty": "0", "cartamt": "0.00", "rbt": "0.00", "name": "Yo-yo", "itemlist": "toys"}
]"#;
