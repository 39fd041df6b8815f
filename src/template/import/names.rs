//! What other platforms call our macros.
//!
//! Names are compared without case, dashes and underscores. Sums need care: networks mean the
//! partner's income by payout, commission or sum, and the order by amount, revenue or price.

use super::Style;
use crate::template::macros::Names;

/// Our counterpart of a foreign name.
pub(super) struct Target {
    /// What stands between the braces: a name, or a call.
    pub(super) expression: String,
    pub(super) note: Option<&'static str>,
}

const CLICK: &str = "it must be the value that your tracker put on the link; check which sub id carries it";
const SALE: &str = "this is the amount of the order, not your income; use `Payout` if income is meant";
const DATE: &str = "dates are ISO 8601 here; use `date(EventDate, \"…\")` if another form is needed";

/// Foreign names, lower case and without `_` and `-`; our macro; the macro's name; a note.
const FOREIGN: &[(&[&str], &str, Option<&str>)] = &[
    (
        &[
            "clickid",
            "click",
            "cid",
            "externalid",
            "clickref",
            "affclickid",
            "trackingid",
            "visitid",
            "subid",
            "affsub",
            "affsub1",
            "sub",
            "sub1",
            "subid1",
            "s1",
            "s2s",
            "pubref",
            "u1",
            "aff_click_id",
            "dp1",
        ],
        "SubId1",
        Some(CLICK),
    ),
    (&["affsub2", "sub2", "subid2", "s2", "clickref2", "u2"], "SubId2", None),
    (&["affsub3", "sub3", "subid3", "s3", "clickref3", "u3"], "SubId3", None),
    (&["sharedid"], "SharedId", None),
    (
        &[
            "transactionid",
            "txid",
            "tid",
            "conversionid",
            "convid",
            "cnvid",
            "conversionuuid",
            "actionid",
            "orderid",
            "orderref",
            "order.number",
            "ordernumber",
            "oid",
            "requestid",
            "leadid",
            "transactionref",
        ],
        "ActionId",
        None,
    ),
    (
        &[
            "payout",
            "commission",
            "sum",
            "income",
            "payment",
            "earnings",
            "reward",
            "commissionamount",
            "pubcommission",
            "affcommission",
            "payoutamount",
        ],
        "Payout",
        None,
    ),
    (
        &[
            "amount",
            "revenue",
            "saleamount",
            "salesamount",
            "sale",
            "ordervalue",
            "orderamount",
            "ordertotal",
            "order.total",
            "transactionamount",
            "price",
            "value",
            "cartvalue",
        ],
        "Amount",
        Some(SALE),
    ),
    (&["currency", "currencycode", "cnvcurrency", "payoutcurrency", "commissioncurrency"], "Currency", None),
    (&["status", "conversionstatus", "cnvstatus", "actionstatus", "leadstatus", "commissionstatus", "et", "state"], "Status", None),
    (&["offerid", "campaignid", "programid", "advertiserid", "merchantid", "mid", "offer", "campaign"], "CampaignId", None),
    (&["offername", "campaignname", "programname", "advertisername", "merchantname"], "CampaignName", None),
    (&["affiliateid", "affid", "partnerid", "publisherid", "mediapartnerid", "webmasterid", "pid", "affiliate"], "MediaPartnerId", None),
    (&["affiliatename", "partnername", "publishername"], "MediaPartnerName", None),
    (&["goalid", "eventid", "actiontrackerid", "goalnumber"], "ActionTrackerId", None),
    (&["goal", "goalname", "event", "eventname", "action", "actionalias", "eventtype", "conversiontype"], "ActionTrackerName", None),
    (&["adid", "creativeid", "bannerid", "fileid", "creative"], "AdId", None),
    (&["date", "datetime", "conversiondate", "conversiontime", "transactiondate", "eventdate", "saledate"], "EventDate", Some(DATE)),
    (&["timestamp", "unixtime", "conversionunixtime", "conversiontimestamp", "time", "epoch"], "date(EventDate, \"%s\")", None),
    (&["country", "countrycode", "geo", "geocountry"], "RefCustomerCountry", None),
    (&["region", "georegion"], "RefCustomerRegion", None),
    (&["city", "geocity"], "RefCustomerCity", None),
    (&["promocode", "coupon", "couponcode", "voucher", "vouchercode", "promo"], "PromoCode", None),
    (&["landingpage", "landingpageurl", "landingurl", "clickthroughurl"], "LandingPageUrl", None),
    (&["referrer", "referer", "referringdomain", "refdomain"], "ReferringDomain", None),
];

/// Our counterpart of `name`, if the catalogue has it.
pub(super) fn target(name: &str, style: Option<Style>, names: &dyn Names) -> Option<Target> {
    let plain = |expression: &str| Target { expression: expression.to_owned(), note: None };
    if names.kind(name).is_some() {
        return Some(plain(name));
    }
    let wanted = letters(name);
    // CAKE's `#price#` is what the affiliate earns; elsewhere price is the amount of the order.
    if style == Some(Style::Hash) && wanted == "price" {
        return names.kind("Payout").map(|_| plain("Payout"));
    }
    let foreign = FOREIGN.iter().find(|(spellings, ..)| spellings.contains(&wanted.as_str()));
    if let Some((_, expression, note)) = foreign {
        let field = if expression.starts_with("date(") { "EventDate" } else { expression };
        return names.kind(field).map(|_| Target { expression: (*expression).to_owned(), note: *note });
    }
    let mut same = None;
    names.for_each_name(&mut |ours| {
        if same.is_none() && letters(ours) == wanted {
            same = Some(ours.to_owned());
        }
    });
    same.map(|ours| plain(&ours))
}

fn letters(name: &str) -> String {
    let kept = name.chars().filter(|c| !matches!(c, '_' | '-'));
    kept.flat_map(char::to_lowercase).collect()
}
