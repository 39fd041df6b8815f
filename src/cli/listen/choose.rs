//! Which answer of a script a request gets: by turn, path, method, repetition and share.
//!
//! The first answer that applies is given. An answer applies if the request fits its `method` and
//! `path`, it is not used up (`times`, `times_each`), and its `share` is drawn. Draws are a hash of the
//! seed, the request's number and the answer, so that the same requests in the same order get the same
//! answers. If no answer applies, the request gets `200` and `OK`.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::script::{Answer, ConnectionFault, Script};
use crate::rng::mix;

/// For how many deliveries `times_each` is remembered; beyond that the oldest are forgotten.
const DELIVERIES_MAX: usize = 100_000;

/// What of a request the choice depends on.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The header `Idempotency-Key`, else `webhook-id`; without them a repetition is the same method, target and body.
    pub key: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// The answer for one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Which answer of the script, from 1; none if none applied.
    pub rule: Option<usize>,
    /// The how-manieth time this answer is given, from 1.
    pub time: u32,
    /// The how-manieth arrival of this delivery this is, from 1.
    pub arrival: u32,
    /// The answer.
    pub answer: Answer,
}

/// A script and how far it has come.
#[derive(Debug)]
pub struct Chooser {
    script: Script,
    requests: u64,
    connections: u64,
    given: Vec<u32>,
    connections_given: Vec<u32>,
    deliveries: HashMap<u64, Delivery>,
    oldest: VecDeque<u64>,
}

/// What is remembered of one delivery.
#[derive(Debug, Default)]
struct Delivery {
    arrivals: u32,
    /// How often each answer that has `times_each` was given.
    given: HashMap<usize, u32>,
}

impl Chooser {
    /// At the beginning of `script`.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self {
            given: vec![0; script.answers.len()],
            connections_given: vec![0; script.connections.len()],
            script,
            requests: 0,
            connections: 0,
            deliveries: HashMap::new(),
            oldest: VecDeque::new(),
        }
    }

    /// What happens to the next connection before anything is read.
    pub fn connection(&mut self) -> Option<ConnectionFault> {
        self.connections += 1;
        let drawn = |place: usize, share| draws(self.script.seed ^ 0xc0, self.connections, place, share);
        let place = self.script.connections.iter().enumerate().position(|(place, rule)| {
            rule.times.is_none_or(|times| self.connections_given[place] < times) && rule.share.is_none_or(|share| drawn(place, share))
        })?;
        self.connections_given[place] += 1;
        Some(self.script.connections[place].fault)
    }

    /// The answer for the next request.
    pub fn answer(&mut self, asked: &Asked<'_>) -> Choice {
        self.requests += 1;
        let delivery = fingerprint(asked);
        let arrival = self.remember(delivery);
        let mut place = self.first_that_applies(asked, delivery);
        if place.is_none() && self.script.cycle {
            self.start_again(asked);
            place = self.first_that_applies(asked, delivery);
        }
        let Some(place) = place else {
            return Choice { rule: None, time: 1, arrival, answer: Answer::ok() };
        };
        self.given[place] += 1;
        let answer = self.script.answers[place].clone();
        if answer.times_each.is_some() {
            *self.deliveries.entry(delivery).or_default().given.entry(place).or_default() += 1;
        }
        Choice { rule: Some(place + 1), time: self.given[place], arrival, answer }
    }

    /// How often each answer was given, in the order of the script.
    #[must_use]
    pub fn given(&self) -> &[u32] {
        &self.given
    }

    fn first_that_applies(&self, asked: &Asked<'_>, delivery: u64) -> Option<usize> {
        let given_each = |place: usize| self.deliveries.get(&delivery).and_then(|known| known.given.get(&place)).copied().unwrap_or(0);
        self.script.answers.iter().enumerate().position(|(place, answer)| {
            fits(answer, asked)
                && answer.times.is_none_or(|times| self.given[place] < times)
                && answer.times_each.is_none_or(|times| given_each(place) < times)
                && answer.share.is_none_or(|share| draws(self.script.seed, self.requests, place, share))
        })
    }

    /// Forgets how often the answers were given that fit this request.
    fn start_again(&mut self, asked: &Asked<'_>) {
        for (place, answer) in self.script.answers.iter().enumerate() {
            if fits(answer, asked) {
                self.given[place] = 0;
            }
        }
    }

    fn remember(&mut self, delivery: u64) -> u32 {
        if !self.deliveries.contains_key(&delivery) {
            if self.oldest.len() == DELIVERIES_MAX
                && let Some(oldest) = self.oldest.pop_front()
            {
                self.deliveries.remove(&oldest);
            }
            self.oldest.push_back(delivery);
        }
        let known = self.deliveries.entry(delivery).or_default();
        known.arrivals += 1;
        known.arrivals
    }
}

fn fits(answer: &Answer, asked: &Asked<'_>) -> bool {
    let path = asked.target.split(['?', '#']).next().unwrap_or_default();
    answer.method.as_deref().is_none_or(|method| method == asked.method) && answer.path.as_deref().is_none_or(|pattern| glob(pattern, path))
}

/// Whether `pattern`, in which `*` stands for anything, is `text`.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether `share` of all numbers includes this one.
fn draws(seed: u64, number: u64, place: usize, share: f64) -> bool {
    let bits = mix(mix(seed ^ mix(number)).wrapping_add(place as u64));
    ((bits >> 11) as f64 / (1u64 << 53) as f64) < share
}

fn fingerprint(asked: &Asked<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match asked.key {
        Some(key) => key.hash(&mut hasher),
        None => (asked.method, asked.target, asked.body).hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(target: &str) -> Asked<'_> {
        Asked { method: "POST", target, key: None, body: b"" }
    }

    /// The statuses that requests for these targets get, one after the other.
    fn statuses(script: &str, targets: &[&str]) -> Vec<u16> {
        let mut chooser = Chooser::new(Script::parse(script).unwrap());
        targets.iter().map(|target| chooser.answer(&asked(target)).answer.status).collect()
    }

    #[test]
    fn answers_come_in_turn_and_then_what_is_left() {
        let script = "[[answer]]\nstatus = 503\ntimes = 2\n[[answer]]\nstatus = 429\ntimes = 1";
        assert_eq!(statuses(script, &["/"; 5]), [503, 503, 429, 200, 200]);
        assert_eq!(statuses(&format!("cycle = true\n{script}"), &["/"; 5]), [503, 503, 429, 503, 503]);
    }

    #[test]
    fn paths_methods_and_repetitions_choose() {
        let script = "[[answer]]\npath = \"/a/*\"\nstatus = 404\n[[answer]]\nmethod = \"GET\"\nstatus = 405\n[[answer]]\ntimes_each = 1\nstatus = 500";
        let targets = ["/a/x?y=/b", "/b?c=1", "/b?c=2", "/b?c=1", "/b?c=2"];
        assert_eq!(statuses(script, &targets), [404, 500, 500, 200, 200]);
        let mut chooser = Chooser::new(Script::parse(script).unwrap());
        let mut arrivals = |key| chooser.answer(&Asked { key: Some(key), ..asked("/b") });
        let seen = ["k1", "k2", "k1"].map(&mut arrivals).map(|choice| (choice.arrival, choice.answer.status, choice.rule));
        assert_eq!(seen, [(1, 500, Some(3)), (1, 500, Some(3)), (2, 200, None)]);
        assert_eq!(chooser.answer(&Asked { method: "GET", ..asked("/b") }).answer.status, 405);
        assert_eq!(chooser.given(), [0, 1, 2]);
    }

    #[test]
    fn a_share_is_drawn_by_the_seed() {
        let drawn = |seed| statuses(&format!("seed = {seed}\n[[answer]]\nshare = 0.2\nstatus = 503"), &["/"; 2_000]);
        let failures = |list: &[u16]| list.iter().filter(|status| **status == 503).count();
        assert!((340..460).contains(&failures(&drawn(1))), "{}", failures(&drawn(1)));
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    #[test]
    fn connections_are_told_apart_from_answers() {
        let script = Script::parse("[[connection]]\nfault = \"reset\"\ntimes = 1\n[[connection]]\nfault = \"hang\"\ntimes = 1").unwrap();
        let mut chooser = Chooser::new(script);
        let faults: Vec<_> = (0..3).map(|_| chooser.connection()).collect();
        assert_eq!(faults, [Some(ConnectionFault::Reset), Some(ConnectionFault::Hang), None]);
    }

    #[test]
    fn a_star_stands_for_anything() {
        let table = [
            ("/pb*", "/pb", true),
            ("/pb*", "/pb/x", true),
            ("/pb*", "/p", false),
            ("*", "/x", true),
            ("/a*b*c", "/a-b-c", true),
            ("/a*b*c", "/a-c-b", false),
            ("/a*a", "/a", false),
            ("/x", "/x/", false),
        ];
        for (pattern, path, holds) in table {
            assert_eq!(glob(pattern, path), holds, "{pattern} {path}");
        }
    }

    #[test]
    fn only_so_many_deliveries_are_remembered() {
        let mut chooser = Chooser::new(Script::default());
        for number in 0..=DELIVERIES_MAX as u64 {
            chooser.remember(number);
        }
        assert_eq!((chooser.deliveries.len(), chooser.oldest.len()), (DELIVERIES_MAX, DELIVERIES_MAX));
        assert_eq!((chooser.remember(0), chooser.remember(5)), (1, 2), "the oldest is forgotten, the others are not");
    }
}
