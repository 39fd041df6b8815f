//! Chance: the only reader of randomness.
//!
//! Ids and keys draw from the operating system. Jitter is not drawn here: it is a hash of what it is
//! for, so that the same delivery always waits the same time (see `delivery::backoff`).

use std::fmt;
use std::sync::Mutex;

/// Source of random bits. One per server; a test passes a [`SeededRng`].
pub trait Rng: fmt::Debug + Send + Sync {
    /// Fills `bytes` with random bits fit for secrets, when the source is the operating system.
    fn fill(&self, bytes: &mut [u8]);

    /// 64 random bits.
    fn bits(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives random bits; without them no key is safe");
    }
}

/// A generator for tests: the same seed gives the same bits. Never for secrets.
#[derive(Debug)]
pub struct SeededRng(Mutex<u64>);

impl SeededRng {
    /// A generator that starts from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Rng for SeededRng {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let bits = mix(*state).to_le_bytes();
            chunk.copy_from_slice(&bits[..chunk.len()]);
        }
    }
}

/// Scatters the bits of `seed`; a small change of it changes about half of the result.
///
/// Source: the output function of SplitMix64 (Steele, Lea, Flood 2014).
#[must_use]
pub const fn mix(seed: u64) -> u64 {
    let a = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}
