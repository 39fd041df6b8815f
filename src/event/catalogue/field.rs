//! What a field is, and the small constructors the tables are written with.

/// The kind of value a field holds.
///
/// It says how a value is to be read, not how it travels: an [`Integer`] or a
/// [`Decimal`] may arrive as a JSON number or as text, and keeps its digits
/// either way.
///
/// [`Integer`]: FieldType::Integer
/// [`Decimal`]: FieldType::Decimal
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Any text, also codes from a fixed list.
    Text,
    /// A whole number.
    Integer,
    /// A decimal number with a dot, without grouping; may be negative.
    Decimal,
    /// `true` or `false`.
    Boolean,
    /// An ISO 8601 date and time with an offset.
    Date,
    /// An absolute `http` or `https` address.
    Url,
    /// A list of objects with these fields; used through `join`.
    List(&'static [Field]),
}

impl FieldType {
    /// The type's name in documentation and in the editor.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Url => "URL",
            Self::List(_) => "list",
        }
    }

    /// Whether a JSON template may hold the value without quotes round the macro.
    pub const fn is_bare_in_json(self) -> bool {
        matches!(self, Self::Integer | Self::Decimal | Self::Boolean)
    }

    /// The fields of one entry, if this is a list.
    pub const fn item_fields(self) -> Option<&'static [Field]> {
        match self {
            Self::List(fields) => Some(fields),
            _ => None,
        }
    }
}

/// Who puts a field's value there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Whoever reports the event, in its `data`.
    Sender,
    /// The dispatcher, at the moment it builds the request. It wins over a
    /// value of the same name in `data`.
    System,
}

/// One name that a template may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The macro's name, case-sensitive, without braces.
    pub name: &'static str,
    /// How the value is to be read.
    pub field_type: FieldType,
    /// One plain sentence for the person who writes the template.
    pub meaning: &'static str,
    /// A value of this type; for a list, its entries as JSON text.
    pub example: &'static str,
    /// Who fills it in.
    pub provider: Provider,
}

pub(super) const fn text(name: &'static str, meaning: &'static str, example: &'static str) -> Field {
    sent(name, FieldType::Text, meaning, example)
}

pub(super) const fn integer(name: &'static str, meaning: &'static str, example: &'static str) -> Field {
    sent(name, FieldType::Integer, meaning, example)
}

pub(super) const fn decimal(name: &'static str, meaning: &'static str, example: &'static str) -> Field {
    sent(name, FieldType::Decimal, meaning, example)
}

pub(super) const fn date(name: &'static str, meaning: &'static str, example: &'static str) -> Field {
    sent(name, FieldType::Date, meaning, example)
}

pub(super) const fn url(name: &'static str, meaning: &'static str, example: &'static str) -> Field {
    sent(name, FieldType::Url, meaning, example)
}

pub(super) const fn list(name: &'static str, fields: &'static [Field], meaning: &'static str, example: &'static str) -> Field {
    sent(name, FieldType::List(fields), meaning, example)
}

const fn sent(name: &'static str, field_type: FieldType, meaning: &'static str, example: &'static str) -> Field {
    Field { name, field_type, meaning, example, provider: Provider::Sender }
}

/// One table out of two, so that families can share fields and still show a
/// single slice. `N` must be the sum of both lengths; anything else fails to
/// compile.
pub(super) const fn concat<const N: usize>(first: &[Field], second: &[Field]) -> [Field; N] {
    assert!(first.len() + second.len() == N, "N is the sum of both lengths");
    let mut all = [EMPTY; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < first.len() { first[at] } else { second[at - first.len()] };
        at += 1;
    }
    all
}

const EMPTY: Field = text("", "", "");
