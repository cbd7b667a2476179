//! Circles in a directed graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Returns circles that together lead through every node that is part of one.
///
/// Each is a shortest circle of its first node. The first node is not repeated at the end.
pub(super) fn circles<N: Ord + Clone>(edges: &BTreeMap<N, BTreeSet<N>>) -> Vec<Vec<N>> {
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for node in edges.keys() {
        if !seen.contains(node)
            && let Some(circle) = shortest(edges, node)
        {
            seen.extend(circle.iter().cloned());
            circles.push(circle);
        }
    }
    circles
}

/// A shortest way from a node back to itself, by breadth-first search.
fn shortest<N: Ord + Clone>(edges: &BTreeMap<N, BTreeSet<N>>, start: &N) -> Option<Vec<N>> {
    let mut reached_from: BTreeMap<&N, &N> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in edges.get(node).into_iter().flatten() {
            if next == start {
                let mut circle = vec![node.clone()];
                let mut back = node;
                while back != start {
                    back = reached_from[back];
                    circle.push(back.clone());
                }
                circle.reverse();
                return Some(circle);
            }
            if !reached_from.contains_key(next) {
                reached_from.insert(next, node);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::circles;

    fn graph(edges: &[(u8, u8)]) -> BTreeMap<u8, BTreeSet<u8>> {
        let mut graph: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
        for (from, to) in edges {
            graph.entry(*from).or_default().insert(*to);
        }
        graph
    }

    #[test]
    fn each_node_of_a_circle_is_shown_in_a_shortest_one() {
        assert_eq!(circles(&graph(&[(1, 2), (2, 3), (1, 3), (3, 4)])), Vec::<Vec<u8>>::new());
        assert_eq!(circles(&graph(&[(1, 2), (2, 3), (3, 1), (3, 2)])), [vec![1, 2, 3]]);
        assert_eq!(circles(&graph(&[(1, 2), (2, 1), (3, 4), (4, 3), (2, 3)])), [vec![1, 2], vec![3, 4]]);
    }
}
