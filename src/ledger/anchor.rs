//! Anchors: a line of the installation's chain says where other chains stand. Its hash covers a digest of their heads, so
//! that a chain that is gone as a whole, row and all, has still been there.

use super::{Hash, Sum};

/// The head of a chain, as a line of the installation's chain vouches for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Anchor {
    pub chain: String,
    /// How many lines it had.
    pub number: i64,
    pub hash: Hash,
}

/// The action of the lines that anchor.
pub const ANCHOR: &str = "audit.anchor";

/// What the line says of them all, in whatever order they come.
pub fn digest(anchors: &[Anchor]) -> Hash {
    let mut sorted: Vec<_> = anchors.iter().collect();
    sorted.sort_by(|one, other| one.chain.cmp(&other.chain));
    let mut sum = Sum::new();
    sum.bytes(b"tenantry audit anchors v1");
    sum.number(sorted.len() as i64);
    for Anchor { chain, number, hash } in sorted {
        sum.bytes(chain.as_bytes());
        sum.number(*number);
        sum.bytes(&hash.0);
    }
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_every_head_and_of_no_order() {
        let anchor = |chain: &str, number, byte| Anchor { chain: chain.into(), number, hash: Hash([byte; 32]) };
        let (a, b) = (anchor("a", 1, 1), anchor("b", 2, 2));
        let whole = digest(&[a.clone(), b.clone()]);
        assert_eq!(whole, digest(&[b.clone(), a.clone()]));
        for other in [vec![a.clone()], vec![a.clone(), anchor("b", 3, 2)], vec![a, anchor("b", 2, 3)], vec![b]] {
            assert_ne!(whole, digest(&other), "{other:?}");
        }
    }
}
