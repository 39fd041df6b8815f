//! How many lanes a node takes.

use super::node::Node;
use crate::id::NodeId;

/// The share of `me` in so many lanes: as many as every other node that takes lanes, and one more for the
/// first of them by id as long as some are left over. So no node has two more than another, and together
/// they take all. Zero if `me` is not among those that take lanes.
#[must_use]
pub fn share_of(me: NodeId, nodes: &[Node], lanes: usize) -> usize {
    let mut takers: Vec<_> = nodes.iter().filter(|node| node.takes_lanes()).map(|node| node.report.id).collect();
    takers.sort_unstable();
    takers.dedup();
    let Some(place) = takers.iter().position(|id| *id == me) else { return 0 };
    lanes / takers.len() + usize::from(place < lanes % takers.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::cluster::{NodeReport, Roles};

    fn node(id: u128, roles: &str) -> Node {
        let roles: Roles = roles.parse().unwrap();
        let report = NodeReport {
            id: NodeId::from_raw(id),
            address: String::new(),
            roles,
            version: String::new(),
            lanes: 0,
            in_flight: 0,
            leaving: false,
        };
        Node { report, beat_at: Timestamp::default(), live: true }
    }

    #[test]
    fn shares_are_even_and_take_everything() {
        for (takers, lanes) in [(1, 0), (1, 7), (3, 4), (3, 200), (7, 5), (64, 100_000)] {
            let nodes: Vec<_> = (0..takers).map(|id| node(id, "dispatch")).collect();
            let shares: Vec<_> = nodes.iter().map(|node| share_of(node.report.id, &nodes, lanes)).collect();
            assert_eq!(shares.iter().sum::<usize>(), lanes);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
        }
    }

    #[test]
    fn who_does_not_send_takes_nothing() {
        let mut nodes = vec![node(1, "api"), node(2, "api,dispatch"), node(3, "dispatch"), node(4, "dispatch")];
        nodes[2].report.leaving = true;
        nodes[3].live = false;
        let shares: Vec<_> = nodes.iter().map(|node| share_of(node.report.id, &nodes, 9)).collect();
        assert_eq!(shares, [0, 9, 0, 0]);
        assert_eq!(share_of(NodeId::from_raw(9), &nodes, 9), 0);
    }
}
