//! Which arm answers a request.
//!
//! The key of a request becomes a point of a circle of 2⁶⁴ points: the first eight bytes,
//! big-endian, of SHA-256 over the deployment's salt, a byte 0 and the key. The candidate has the
//! points from 0 on, as many as its share says. So the same key gets the same arm on every server
//! and in every release, and when the candidate's share grows, nobody leaves it.
//! docs/decisions/assignment.md says why this hash.

use sha2::{Digest as _, Sha256};
use stagewright_store::Deployment;

/// The points of the circle.
const POINTS: f64 = 18_446_744_073_709_551_616.0;

/// How the requests of a deployment are shared in its present step.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The hash of salt and separator, to go on from.
    salted: Sha256,
    /// The first point behind each arm, the last arm first.
    ends: Vec<u128>,
}

impl Assignment {
    /// Returns the assignment of a deployment's present step. Its salt is `MODEL/NUMBER`, so that
    /// the customers of one deployment's candidate are not those of the next.
    pub fn of(deployment: &Deployment) -> Self {
        let shares: Vec<f64> = deployment.arms.iter().map(|arm| arm.share).collect();
        Self::new(&format!("{}/{}", deployment.model, deployment.number), &shares)
    }

    /// Creates an assignment. Shares are those of the arms in their order, from 0 to 1, together 1.
    pub fn new(salt: &str, shares: &[f64]) -> Self {
        let salted = Sha256::new().chain_update(salt.as_bytes()).chain_update([0]);
        let mut sum = 0.0;
        let end = |share: &f64| {
            sum += share;
            // A conversion of a float to an integer saturates.
            (sum.clamp(0.0, 1.0) * POINTS) as u128
        };
        Self { salted, ends: shares.iter().rev().map(end).collect() }
    }

    /// Returns the index of the arm that answers requests with this key.
    pub fn arm(&self, key: &[u8]) -> usize {
        let digest = self.salted.clone().chain_update(key).finalize();
        let mut point = [0; 8];
        point.copy_from_slice(&digest[..8]);
        self.arm_at(u64::from_be_bytes(point))
    }

    /// Returns the index of the arm at a point of the circle: at a random one, for a request
    /// without a key.
    pub fn arm_at(&self, point: u64) -> usize {
        let from_last = self.ends.iter().position(|end| u128::from(point) < *end);
        // Shares that add up to a little less than 1 leave their last points to the default arm.
        from_last.map_or(0, |place| self.ends.len() - 1 - place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHARES: [f64; 4] = [0.05, 0.25, 0.5, 1.0];

    fn canary(share: f64) -> Assignment {
        Assignment::new("churn-classifier/3", &[1.0 - share, share])
    }

    // invariant: Over 100,000 distinct keys, each arm of a deployment gets its share within 1 %.
    // Nobody leaves the candidate while its share grows.
    #[test]
    fn shares_hold_within_a_percent_and_nobody_leaves_the_candidate() {
        let keys: Vec<String> = (0..100_000).map(|number| format!("customer-{number}")).collect();
        let mut before = vec![false; keys.len()];
        for share in SHARES {
            let assignment = canary(share);
            let now: Vec<bool> = keys.iter().map(|key| assignment.arm(key.as_bytes()) == 1).collect();
            let answered = now.iter().filter(|is_candidate| **is_candidate).count() as f64 / keys.len() as f64;
            assert!((answered - share).abs() < 0.01, "{answered} for {share}");
            assert!(before.iter().zip(&now).all(|(before, now)| !before || *now), "somebody left at {share}");
            before = now;
        }
        assert!(before.iter().all(|is_candidate| *is_candidate));
    }

    #[test]
    fn deployments_do_not_try_the_same_customers() {
        let (one, other) = (Assignment::new("m/1", &[0.9, 0.1]), Assignment::new("m/2", &[0.9, 0.1]));
        let of_both = (0..100_000_u32)
            .filter(|key| one.arm(&key.to_le_bytes()) == 1 && other.arm(&key.to_le_bytes()) == 1)
            .count();
        assert!((800..1_200).contains(&of_both), "{of_both} of about 1,000 by chance");
    }

    #[test]
    fn a_key_has_the_arm_that_its_sha256_says() {
        // printf 'm/1\0alice' | sha256sum
        let digest = Sha256::digest(b"m/1\0alice");
        let point = u64::from_be_bytes(digest[..8].try_into().unwrap()) as f64 / POINTS;
        for share in [point - 1e-6, point + 1e-6] {
            let assignment = Assignment::new("m/1", &[1.0 - share, share]);
            assert_eq!(assignment.arm(b"alice") == 1, point < share, "{point} {share}");
        }
    }

    #[test]
    fn the_ends_of_the_circle_belong_to_arms_with_a_share() {
        let nobody = canary(0.0);
        assert_eq!((nobody.arm_at(0), nobody.arm_at(u64::MAX)), (0, 0));
        let all = canary(1.0);
        assert_eq!((all.arm_at(0), all.arm_at(u64::MAX)), (1, 1));
        let half = canary(0.5);
        assert_eq!(
            (half.arm_at(0), half.arm_at((1 << 63) - 1), half.arm_at(1 << 63), half.arm_at(u64::MAX)),
            (1, 1, 0, 0)
        );
        let three = Assignment::new("m/1", &[0.5, 0.25, 0.25]);
        assert_eq!((three.arm_at(0), three.arm_at(1 << 62), three.arm_at(1 << 63)), (2, 1, 0));
    }

    proptest! {
        #[test]
        fn a_growing_share_keeps_every_key(key in ".{0,40}", small in 0.0..1.0_f64, more in 0.0..1.0_f64) {
            let large = small + (1.0 - small) * more;
            prop_assert!(canary(small).arm(key.as_bytes()) <= canary(large).arm(key.as_bytes()));
        }
    }
}
