//! Receivers sometimes answer with what they were sent. A secret in an answer is masked before it is recorded.

use url::form_urlencoded::byte_serialize;

use crate::attempt::ReceivedResponse;
use crate::secret::Secret;
use crate::subscription::HIDDEN;

/// Shortest text that is masked; a shorter one occurs in answers by chance.
const MASKED_BYTES_MIN: usize = 4;

/// The secrets that may come back, in the spellings in which they may.
#[derive(Debug, Clone, Default)]
pub struct Mask(Vec<Secret>);

impl Mask {
    /// Masks `secret` too.
    pub(super) fn add(&mut self, secret: &Secret) {
        let text = secret.expose();
        if text.len() < MASKED_BYTES_MIN {
            return;
        }
        let encoded: String = byte_serialize(text.as_bytes()).collect();
        let quoted = serde_json::to_string(text).unwrap_or_default();
        let in_json = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        let spellings = [text, &encoded, &encoded.replace('+', "%20"), in_json].map(Secret::new);
        for spelling in spellings {
            if !self.0.contains(&spelling) {
                self.0.push(spelling);
            }
        }
        // A secret that holds another is looked for first, or its rest would stay.
        self.0.sort_by_key(|spelling| std::cmp::Reverse(spelling.expose().len()));
    }

    /// Masks what is secret in `text`.
    pub fn text(&self, text: &mut String) {
        for secret in &self.0 {
            if text.contains(secret.expose()) {
                *text = text.replace(secret.expose(), HIDDEN);
            }
        }
    }

    /// Masks what is secret in `response`.
    pub fn response(&self, response: &mut ReceivedResponse) {
        if self.0.is_empty() {
            return;
        }
        for (name, value) in &mut response.headers {
            self.text(name);
            self.text(value);
        }
        for secret in &self.0 {
            replace(&mut response.body, secret.expose().as_bytes());
        }
    }
}

/// Replaces every `wanted` in `bytes`, which need not be text.
fn replace(bytes: &mut Vec<u8>, wanted: &[u8]) {
    let mut rest = 0;
    while let Some(found) = bytes[rest..].windows(wanted.len()).position(|window| window == wanted) {
        let start = rest + found;
        bytes.splice(start..start + wanted.len(), HIDDEN.bytes());
        rest = start + HIDDEN.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j2_a_secret_that_comes_back_is_masked_in_every_spelling() {
        let mut mask = Mask::default();
        for secret in ["gehe/im \"1\"", "gehe", "abc"] {
            mask.add(&Secret::new(secret));
        }
        let body = b"\xff gehe/im \"1\" gehe%2Fim+%221%22 gehe%2Fim%20%221%22 gehe/im \\\"1\\\" abc gehe".to_vec();
        let mut response =
            ReceivedResponse { status: 200, headers: vec![("X".into(), "a gehe/im \"1\" b".into())], body, truncated: false };
        mask.response(&mut response);
        assert_eq!(response.headers[0].1, "a (secret) b");
        assert_eq!(response.body, b"\xff (secret) (secret) (secret) (secret) abc (secret)");
    }
}
