//! Clicks on a partner's link.

use super::field::{Field, concat, date, integer, text, url};
use super::system::SYSTEM;
use super::table::{Family, TypeEntry};

static FIELDS: [Field; CLICK.len() + SYSTEM.len()] = concat(CLICK, SYSTEM);

pub(super) static RECORDED: TypeEntry = TypeEntry {
    name: "click.recorded",
    family: Family::Click,
    summary: "A visitor clicked a partner's link.",
    default_sent: true,
    fields: &FIELDS,
    sample_key: "click-abcdefg1hijkl2mn3opq",
    sample_occurred_at: "2024-09-10T17:20:11Z",
    sample_values: &[],
};

const CLICK: &[Field] = &[
    text("ClickId", "The platform's own id of the click; actions carry it as `RefClickId`.", "abcdefg1hijkl2mn3opq"),
    integer("CampaignId", "Id of the brand's program.", "1000"),
    integer("MediaPartnerId", "Id of the partner whose link was clicked.", "10000"),
    integer("AdId", "Id of the ad that was clicked.", "506720"),
    text("SubId1", "First value the partner put on the link for itself alone, mostly the click id of its tracker.", "w8TnE3kQ5u2Lx0"),
    text("SubId2", "Second value the partner put on the link for itself alone.", "newsletter-37"),
    text("SubId3", "Third value the partner put on the link for itself alone.", "top banner"),
    text("SharedId", "Value the partner put on the link for itself and the brand to see.", "RT-19247423"),
    date("EventDate", "When the visitor clicked.", "2024-09-10T10:20:11-07:00"),
    url("LandingPageUrl", "Page on which the click landed.", "https://shop.example/sale?utm_source=partner&utm_medium=affiliate"),
];
