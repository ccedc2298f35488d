//! The tree of a tenant's business units, as a whole: what may stand where. Rows, and who belongs to which, are not known
//! here.

use std::collections::{BTreeMap, BTreeSet};

use super::UnitId;

/// A unit as it stands in the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitNode {
    pub id: UnitId,
    /// `None`: at the top.
    pub parent: Option<UnitId>,
    pub name: String,
}

/// All units of one tenant.
#[derive(Clone, Debug, Default)]
pub struct UnitTree(BTreeMap<UnitId, UnitNode>);

/// Why a unit cannot stand there.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnitTreeError {
    #[error("there is no such unit")]
    Unknown,
    #[error("a unit cannot stand beneath itself")]
    Loop,
    #[error("units stand at most {} deep", UnitTree::DEPTH)]
    TooDeep,
    #[error("there is a unit of that name in the same place already")]
    NameTaken,
}

impl UnitTree {
    /// The most units above one another.
    pub const DEPTH: usize = 6;

    pub fn new(nodes: impl IntoIterator<Item = UnitNode>) -> Self {
        Self(nodes.into_iter().map(|node| (node.id, node)).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, id: UnitId) -> bool {
        self.0.contains_key(&id)
    }

    /// Whether `node`, new or changed, could stand where it says, with all that stands beneath it.
    pub fn fits(&self, node: &UnitNode) -> Result<(), UnitTreeError> {
        let above = match node.parent {
            None => 0,
            Some(parent) => {
                let path = self.path(parent).ok_or(UnitTreeError::Unknown)?;
                if path.contains(&node.id) {
                    return Err(UnitTreeError::Loop);
                }
                path.len()
            }
        };
        if above + self.height(node.id) > Self::DEPTH {
            return Err(UnitTreeError::TooDeep);
        }
        let folded = |name: &str| name.to_lowercase();
        let same_place = |other: &&UnitNode| other.parent == node.parent && other.id != node.id;
        match self.0.values().filter(same_place).any(|other| folded(&other.name) == folded(&node.name)) {
            true => Err(UnitTreeError::NameTaken),
            false => Ok(()),
        }
    }

    /// The units right beneath this one.
    pub fn children(&self, id: UnitId) -> impl Iterator<Item = &UnitNode> {
        self.0.values().filter(move |node| node.parent == Some(id))
    }

    /// How deep it stands: 1 at the top.
    pub fn depth(&self, id: UnitId) -> usize {
        self.path(id).map_or(0, |path| path.len())
    }

    /// The unit and those above it. `None` when it is not there.
    fn path(&self, id: UnitId) -> Option<BTreeSet<UnitId>> {
        let mut path = BTreeSet::new();
        let mut next = Some(id);
        while let Some(id) = next {
            next = self.0.get(&id)?.parent;
            if !path.insert(id) {
                break;
            }
        }
        Some(path)
    }

    /// How many units stand above one another from this one down, itself included.
    fn height(&self, id: UnitId) -> usize {
        let (mut level, mut height) = (BTreeSet::from([id]), 0);
        while !level.is_empty() && height <= Self::DEPTH {
            height += 1;
            let beneath = |node: &&UnitNode| node.parent.is_some_and(|parent| level.contains(&parent));
            level = self.0.values().filter(beneath).map(|node| node.id).collect();
        }
        height
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(parent: Option<UnitId>, name: &str) -> UnitNode {
        UnitNode { id: UnitId::new(), parent, name: name.to_owned() }
    }

    fn chain(length: usize) -> Vec<UnitNode> {
        let mut nodes: Vec<UnitNode> = Vec::new();
        for at in 0..length {
            nodes.push(node(nodes.last().map(|above| above.id), &format!("unit {at}")));
        }
        nodes
    }

    #[test]
    fn a_tree_has_bounds() {
        let nodes = chain(UnitTree::DEPTH);
        let tree = UnitTree::new(nodes.clone());
        let (top, last) = (&nodes[0], &nodes[UnitTree::DEPTH - 1]);
        assert_eq!(tree.depth(last.id), UnitTree::DEPTH);
        assert_eq!(tree.fits(&node(Some(last.id), "below")), Err(UnitTreeError::TooDeep));
        assert_eq!(tree.fits(&UnitNode { parent: Some(last.id), ..top.clone() }), Err(UnitTreeError::Loop));
        assert_eq!(tree.fits(&UnitNode { parent: Some(top.id), ..top.clone() }), Err(UnitTreeError::Loop));
        assert_eq!(tree.fits(&node(Some(UnitId::new()), "lost")), Err(UnitTreeError::Unknown));
        assert_eq!(tree.fits(&node(None, "UNIT 0")), Err(UnitTreeError::NameTaken));
        assert_eq!(tree.fits(&node(Some(top.id), "unit 0")), Ok(()));
        assert_eq!(tree.fits(top), Ok(()));
    }

    proptest! {
        /// Whatever is moved where, no unit stands beneath itself or too deep.
        #[test]
        fn every_move_that_fits_leaves_a_tree(moves in proptest::collection::vec((0..12usize, 0..13usize), 0..60)) {
            let mut nodes: Vec<_> = (0..12).map(|at| node(None, &format!("unit {at}"))).collect();
            for (which, to) in moves {
                let tree = UnitTree::new(nodes.clone());
                let moved = UnitNode { parent: nodes.get(to).map(|parent| parent.id), ..nodes[which].clone() };
                if tree.fits(&moved).is_ok() {
                    nodes[which] = moved;
                }
                let tree = UnitTree::new(nodes.clone());
                for start in &nodes {
                    let (mut at, mut steps) = (start.parent, 1);
                    while let Some(id) = at {
                        at = nodes.iter().find(|node| node.id == id).unwrap().parent;
                        steps += 1;
                        prop_assert!(steps <= UnitTree::DEPTH);
                    }
                    prop_assert_eq!(tree.depth(start.id), steps);
                }
            }
        }
    }
}
