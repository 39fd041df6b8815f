//! The classes by which accounts are told apart in metrics: few, however many accounts there are.

/// The class of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountClass {
    /// An account without a kind.
    None,
    /// A partner.
    Partner,
    /// A brand.
    Brand,
    /// A cashback partner.
    Cashback,
    /// A loyalty partner.
    Loyalty,
    /// Any other kind.
    Other,
}

impl AccountClass {
    /// Every class, each at the place of its number.
    pub const ALL: [Self; 6] = [Self::None, Self::Partner, Self::Brand, Self::Cashback, Self::Loyalty, Self::Other];

    /// The class of an account of this kind.
    #[must_use]
    pub fn of(kind: Option<&str>) -> Self {
        match kind {
            None => Self::None,
            Some(kind) => Self::ALL.into_iter().find(|class| *class != Self::None && class.as_str() == kind).unwrap_or(Self::Other),
        }
    }

    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Partner => "partner",
            Self::Brand => "brand",
            Self::Cashback => "cashback",
            Self::Loyalty => "loyalty",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_class_and_classes_stand_at_their_numbers() {
        let table = [(None, "none"), (Some("brand"), "brand"), (Some("none"), "other"), (Some("press"), "other")];
        assert!(table.iter().all(|(kind, class)| AccountClass::of(*kind).as_str() == *class));
        assert!(AccountClass::ALL.iter().enumerate().all(|(place, class)| *class as usize == place));
    }
}
