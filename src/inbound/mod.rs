//! What advertisers report: offers, payouts, statuses, clicks, and the report itself.
//!
//! An advertiser's server says of a click of one of its offers that something came of it, and what it is
//! worth. This module knows the words of that and decides; it stores nothing, sends nothing and reads no
//! clock. Money is exact decimals (`rust_decimal`), written as text everywhere.

mod call;
mod check;
mod click;
mod currency;
mod customer;
mod decimal;
mod landing;
mod lead;
mod ledger;
mod offer;
mod parameters;
mod payout;
mod report;
mod status;
mod test_run;

pub use call::{CallKind, CallResult, InboundCall};
pub use check::{REPORT_PARAMETERS, check_offer};
pub use click::Click;
pub use currency::{Currency, CurrencyError};
pub use customer::{Customer, CustomerChange, CustomerDecision, CustomerReport, customer_document_id, decide_customer};
pub use decimal::{DecimalError, parse_decimal};
pub use landing::{LANDING_MACROS, Landing, LandingError, Visitor};
pub use lead::{lead_id, random_uuid, timed_uuid};
pub use ledger::{
    ACTION_ID_BYTES_MAX, ActionFact, ActionState, Decision, LedgerEvent, Source, Standing, StandingError, Step, Story, action_document_id,
    apply, decide, is_ledger_field,
};
pub use offer::{KeptAddress, Offer, OfferSpec, OfferState, Partners, Privacy, UnknownClicks};
pub use parameters::{ExtraParameter, ParameterTemplate, TemplateState};
pub use payout::{Earned, PayoutAction, PayoutModel, RateType, Rounding};
pub use report::{Conflict, Outcome, Report, ReportedStatus};
pub use rust_decimal::Decimal;
pub use status::{Statuses, plain};
pub use test_run::TestRun;
