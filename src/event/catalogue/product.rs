//! Product data: an entry of a brand's catalogue changed.

use super::field::{Field, concat, date, decimal, integer, text, url};
use super::system::SYSTEM;
use super::table::{Family, TypeEntry};

static FIELDS: [Field; PRODUCT.len() + SYSTEM.len()] = concat(PRODUCT, SYSTEM);

pub(super) static CHANGED: TypeEntry = TypeEntry {
    name: "product.changed",
    family: Family::ProductDataChange,
    summary: "A product in a brand's catalogue changed, for example its price or its stock.",
    default_sent: true,
    fields: &FIELDS,
    sample_key: "product-9001-A-1:2024-09-11T06:00:00Z",
    sample_occurred_at: "2024-09-11T06:00:00Z",
    sample_values: &[],
};

const PRODUCT: &[Field] = &[
    integer("CatalogId", "Id of the catalogue.", "9001"),
    text("CatalogName", "Name of the catalogue.", "Acme Autumn"),
    integer("CampaignId", "Id of the brand's program.", "1000"),
    text("CampaignName", "Name of the brand's program as people see it.", "Acme Campaign"),
    integer("AdvertiserId", "Id of the brand.", "5310"),
    text("CatalogItemId", "The brand's id of the product in the catalogue.", "A-1"),
    text("Name", "Name of the product.", "Tennis ball"),
    decimal("CurrentPrice", "Price the customer pays.", "7.99"),
    decimal("OriginalPrice", "Price before any discount.", "8.99"),
    text("Currency", "Currency of the prices, by its ISO 4217 code.", "USD"),
    text("StockAvailability", "Whether the product can be had, such as `InStock` or `OutOfStock`.", "OutOfStock"),
    text("Category", "Category of the product.", "Sports"),
    text("Manufacturer", "Who makes the product.", "Acme"),
    text("Gtin", "Trade item number of the product; leading zeros count.", "00012345600012"),
    url("Url", "Page of the product.", "https://shop.example/p/A-1?color=yellow"),
    date("DateLastUpdated", "When the product changed.", "2024-09-10T23:00:00-07:00"),
];
