//! "Did you mean": the known name nearest to an unknown one.

/// Names further apart than this many edits are not offered; short names allow fewer.
const DISTANCE_MAX: usize = 3;

/// Longer names are not compared, so that a name of a megabyte costs nothing.
const NAME_CHARS_MAX: usize = 64;

/// Collects candidates and keeps the best.
pub(super) struct Nearest<'a> {
    wanted: &'a str,
    best: Option<(usize, String)>,
}

impl<'a> Nearest<'a> {
    pub(super) fn to(wanted: &'a str) -> Nearest<'a> {
        Nearest { wanted, best: None }
    }

    /// Looks at one known name. A name equal but for case wins over all others.
    pub(super) fn offer(&mut self, candidate: &str) {
        if self.wanted.len() > NAME_CHARS_MAX || candidate.len() > NAME_CHARS_MAX {
            return;
        }
        let distance =
            if same_letters(self.wanted, candidate) { 0 } else { 1 + edits(&self.wanted.to_lowercase(), &candidate.to_lowercase()) };
        if self.best.as_ref().is_none_or(|(best, _)| distance < *best) {
            self.best = Some((distance, candidate.to_owned()));
        }
    }

    /// The best candidate, if it is near enough.
    pub(super) fn found(self) -> Option<String> {
        let allowed = 1 + DISTANCE_MAX.min(self.wanted.chars().count() / 3);
        let (distance, name) = self.best?;
        (distance <= allowed && name != self.wanted).then_some(name)
    }
}

/// Equal but for case and underscores: `click_id` and `ClickId`.
fn same_letters(left: &str, right: &str) -> bool {
    let letters = |text: &str| -> Vec<char> { text.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect() };
    letters(left) == letters(right)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `left` into `right`.
fn edits(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, r) in right.iter().enumerate() {
            let replaced = last[j] + usize::from(l != r);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *l == right[j - 1] && left[i - 1] == *r {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(wanted: &str, names: &[&str]) -> Option<String> {
        let mut nearest = Nearest::to(wanted);
        names.iter().for_each(|name| nearest.offer(name));
        nearest.found()
    }

    #[test]
    fn the_same_name_in_other_case_comes_first() {
        let names = ["CampaignIds", "CampaignId", "CampaignName"];
        assert_eq!(nearest("campaignid", &names).as_deref(), Some("CampaignId"));
        assert_eq!(nearest("campaign_id", &names).as_deref(), Some("CampaignId"));
        assert_eq!(nearest("CampainId", &names).as_deref(), Some("CampaignId"));
        assert_eq!(nearest("Paoyut", &["Payout", "Amount"]).as_deref(), Some("Payout"));
    }

    #[test]
    fn distant_names_are_not_offered() {
        assert_eq!(nearest("NoSuchMacro", &["Payout", "Status"]), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), &["Payout"]), None);
        assert_eq!(nearest("Z", &["Payout", "i"]), None);
    }
}
