//! How sure it is that results are valid.

/// What is known about all results of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::template) enum Certainty {
    /// Every result is valid.
    Proven,
    /// Results must be checked one by one.
    Unproven,
}
