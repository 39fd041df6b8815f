//! The words in which advertisers tell a status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ReportedStatus;

/// Which words stand for which status. Case and blanks around a word do not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statuses {
    /// Not decided yet.
    #[serde(default)]
    pub hold: Vec<String>,
    /// It is paid.
    #[serde(default)]
    pub approved: Vec<String>,
    /// It is not paid.
    #[serde(default)]
    pub rejected: Vec<String>,
}

impl Default for Statuses {
    /// The words that advertisers of affiliate networks use.
    ///
    /// Source: the table of HOQU's guide for S2S integration.
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            hold: words(&["hold", "shipped", "processing", "accepted", "waiting", "open", "new", "pending"]),
            approved: words(&["approved", "confirmed", "confirm", "paid", "completed", "sold", "delivered"]),
            rejected: words(&[
                "rejected",
                "returned",
                "canceled",
                "cancelled",
                "archived",
                "refunded",
                "cancel",
                "archive",
                "refund",
                "spam",
                "error",
                "wrong",
                "test",
                "declined",
            ]),
        }
    }
}

impl Statuses {
    /// The lists with their status.
    pub fn lists(&self) -> [(ReportedStatus, &[String]); 3] {
        [(ReportedStatus::Hold, &self.hold), (ReportedStatus::Approved, &self.approved), (ReportedStatus::Rejected, &self.rejected)]
    }

    /// The status that `word` stands for.
    #[must_use]
    pub fn find(&self, word: &str) -> Option<ReportedStatus> {
        let word = plain(word);
        self.lists().into_iter().find(|(_, words)| words.iter().any(|known| plain(known) == word)).map(|(status, _)| status)
    }
}

/// A word as it is compared.
pub fn plain(word: &str) -> String {
    word.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_words_of_the_guide_are_known() {
        let table = [
            (ReportedStatus::Hold, "hold, shipped, processing, accepted, waiting, open, new, pending"),
            (ReportedStatus::Approved, "approved, confirmed, confirm, paid, completed, sold, delivered"),
            (
                ReportedStatus::Rejected,
                "rejected, returned, canceled, cancelled, archived, refunded, cancel, archive, refund, spam, error, wrong, test, declined",
            ),
        ];
        let statuses = Statuses::default();
        let mut seen = 0;
        for (status, words) in table {
            for word in words.split(", ") {
                assert_eq!(statuses.find(word), Some(status), "{word}");
                assert_eq!(statuses.find(&format!("  {}\t", word.to_uppercase())), Some(status), "{word}");
                seen += 1;
            }
        }
        assert_eq!(seen, 29);
        assert_eq!(statuses.lists().map(|(_, words)| words.len()).iter().sum::<usize>(), 29);
    }

    #[test]
    fn other_words_are_not() {
        for word in ["", " ", "holds", "ap proved", "null", "true"] {
            assert_eq!(Statuses::default().find(word), None, "{word}");
        }
    }
}
