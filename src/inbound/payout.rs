//! What an action is worth: the advertiser's rate, and the partner's part of it.

use rust_decimal::{Decimal, RoundingStrategy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Currency, decimal};

/// One thing that can come of a click, and what is paid for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PayoutAction {
    /// Its name, which reports give as `action`.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The kind of action, which events carry as `ActionType`, like `LEAD` or `SALE`.
    #[serde(default = "default_action_type")]
    #[schemars(length(min = 1, max = 100))]
    pub action_type: String,
    /// How it is paid.
    #[serde(default)]
    pub model: PayoutModel,
    /// What the advertiser pays: an amount, or a percentage of the price.
    #[serde(with = "decimal")]
    #[schemars(with = "String", regex(pattern = AMOUNT))]
    pub rate: Decimal,
    /// What the rate is; if left out, a percentage for the model `percent` and an amount for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_type: Option<RateType>,
    /// How much of what the advertiser pays the partner gets, in percent.
    #[serde(default = "whole", with = "decimal")]
    #[schemars(with = "String", regex(pattern = AMOUNT))]
    pub partner_percent: Decimal,
    /// How payouts are rounded to the currency's smallest unit.
    #[serde(default)]
    pub rounding: Rounding,
    /// Whether an approved action is locked before it is cleared, with an event of its own.
    #[serde(default)]
    pub locks: bool,
    /// The name of the template of extra parameters that reports of it carry; null for none.
    #[serde(default)]
    pub template: Option<String>,
}

/// The form of amounts in JSON.
const AMOUNT: &str = r"^[0-9]{1,15}(\.[0-9]{1,8})?$";

/// How an action is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PayoutModel {
    /// An amount each time.
    #[default]
    Fixed,
    /// A percentage of the price that the report gives.
    Percent,
    /// Each time that a customer who was added before does it again.
    Recurring,
}

/// What a rate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RateType {
    /// An amount of money.
    Amount,
    /// A percentage of the price.
    Percent,
}

/// How a payout is rounded to the smallest unit of its currency. Payouts are not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest; what lies in the middle, to the even digit.
    #[default]
    HalfEven,
    /// To the nearest; what lies in the middle, up.
    HalfUp,
    /// What is below the smallest unit is cut off.
    Down,
}

impl Rounding {
    const fn strategy(self) -> RoundingStrategy {
        match self {
            Self::HalfEven => RoundingStrategy::MidpointNearestEven,
            Self::HalfUp => RoundingStrategy::MidpointAwayFromZero,
            Self::Down => RoundingStrategy::ToZero,
        }
    }
}

/// What an action earned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earned {
    /// What the advertiser earned, as it was reported; zero if no price was.
    pub amount: Decimal,
    /// What the partner earns, with as many places as its currency has.
    pub payout: Decimal,
}

impl PayoutAction {
    /// Whether the rate is a percentage of the price.
    #[must_use]
    pub fn is_percentage(&self) -> bool {
        match self.rate_type {
            Some(rate_type) => rate_type == RateType::Percent,
            None => self.model == PayoutModel::Percent,
        }
    }

    /// What an action of this `price` earned. Rounded once, at the end.
    ///
    /// None if the rate is a percentage and there is no price, or a product has more digits than are exact.
    #[must_use]
    pub fn earned(&self, price: Option<Decimal>, currency: Currency) -> Option<Earned> {
        let hundred = Decimal::ONE_HUNDRED;
        let (base, divisor) =
            if self.is_percentage() { (price?.checked_mul(self.rate)?, hundred.checked_mul(hundred)?) } else { (self.rate, hundred) };
        let exact = base.checked_mul(self.partner_percent)?.checked_div(divisor)?;
        let places = currency.minor_unit();
        let mut payout = exact.round_dp_with_strategy(places, self.rounding.strategy());
        payout.rescale(places);
        Some(Earned { amount: price.unwrap_or(Decimal::ZERO), payout })
    }
}

fn default_action_type() -> String {
    "LEAD".into()
}

const fn whole() -> Decimal {
    Decimal::ONE_HUNDRED
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::inbound::parse_decimal;

    fn action(model: PayoutModel, rate: &str, partner_percent: &str, rounding: Rounding) -> PayoutAction {
        PayoutAction {
            name: "lead".into(),
            action_type: "LEAD".into(),
            model,
            rate: parse_decimal(rate).unwrap(),
            rate_type: None,
            partner_percent: parse_decimal(partner_percent).unwrap(),
            rounding,
            locks: false,
            template: None,
        }
    }

    fn payout(action: &PayoutAction, price: Option<&str>, currency: &str) -> String {
        let price = price.map(|text| parse_decimal(text).unwrap());
        action.earned(price, currency.parse().unwrap()).unwrap().payout.to_string()
    }

    #[test]
    fn a_fixed_rate_is_shared_and_a_price_only_told() {
        let fixed = action(PayoutModel::Fixed, "30.00", "80", Rounding::HalfEven);
        assert_eq!(payout(&fixed, None, "USD"), "24.00");
        let earned = fixed.earned(Some(parse_decimal("199.9").unwrap()), "USD".parse().unwrap()).unwrap();
        assert_eq!((earned.amount.to_string(), earned.payout.to_string()), ("199.9".into(), "24.00".into()));
    }

    #[test]
    fn a_percentage_needs_its_price() {
        let percent = action(PayoutModel::Percent, "4", "100", Rounding::HalfEven);
        assert_eq!(payout(&percent, Some("21.99"), "USD"), "0.88");
        assert_eq!(percent.earned(None, "USD".parse().unwrap()), None);
        let recurring = PayoutAction { model: PayoutModel::Recurring, rate_type: Some(RateType::Percent), ..percent };
        assert_eq!(payout(&recurring, Some("50"), "USD"), "2.00");
    }

    #[test]
    fn each_currency_has_its_places() {
        let percent = action(PayoutModel::Percent, "10", "55", Rounding::HalfEven);
        assert_eq!(payout(&percent, Some("1990"), "JPY"), "109");
        assert_eq!(payout(&percent, Some("19.955"), "KWD"), "1.098");
        assert_eq!(payout(&percent, Some("19.955"), "EUR"), "1.10");
        assert_eq!(payout(&percent, Some("19.955"), "CLF"), "1.0975");
    }

    #[test]
    fn the_named_rounding_decides_the_middle() {
        for (rounding, expected) in
            [(Rounding::HalfEven, ["0.12", "0.14"]), (Rounding::HalfUp, ["0.13", "0.14"]), (Rounding::Down, ["0.12", "0.13"])]
        {
            let half = action(PayoutModel::Percent, "100", "50", rounding);
            assert_eq!([payout(&half, Some("0.25"), "USD"), payout(&half, Some("0.27"), "USD")], expected, "{rounding:?}");
        }
    }

    #[test]
    fn rounding_happens_once() {
        // 1 % of 0.49 is 0.0049, and half of that 0.00245; rounded in between it would be nothing of 0.00.
        let action = action(PayoutModel::Percent, "150", "50", Rounding::HalfUp);
        assert_eq!(payout(&action, Some("0.99"), "USD"), "0.74");
    }

    proptest! {
        #[test]
        fn a_payout_is_within_its_rounding_and_never_more_than_the_rate(
            price in 0u64..10_000_000_000, rate in 0u64..=10_000, share in 0u64..=10_000, places in 0usize..3, rounding in 0usize..3,
        ) {
            let rounding = [Rounding::HalfEven, Rounding::HalfUp, Rounding::Down][rounding];
            let currency: Currency = ["JPY", "USD", "KWD"][places].parse().unwrap();
            let text = |hundredths: u64| format!("{}.{:02}", hundredths / 100, hundredths % 100);
            let action = action(PayoutModel::Percent, &text(rate), &text(share), rounding);
            let price = parse_decimal(&text(price)).unwrap();
            let payout = action.earned(Some(price), currency).unwrap().payout;
            let exact = price * action.rate * action.partner_percent / Decimal::from(10_000);
            let unit = Decimal::new(1, currency.minor_unit());
            prop_assert_eq!(payout.scale(), currency.minor_unit());
            prop_assert!(payout >= Decimal::ZERO);
            let off = (payout - exact).abs();
            match rounding {
                Rounding::Down => prop_assert!(payout <= exact && off < unit),
                _ => prop_assert!(off * Decimal::TWO <= unit),
            }
        }
    }
}
