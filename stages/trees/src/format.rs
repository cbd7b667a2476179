//! Reads and writes the format of docs/formats/tree-model.md. The reader trusts nothing, since a
//! model may come from anywhere.

use crate::error::TreesError;
use crate::model::{MISSING_LEFT, Node, Objective, TreeModel};
use std::io::{Read, Write};

/// The first bytes of a model.
const MAGIC: [u8; 8] = *b"SWTREES\0";

/// The version of the format.
const VERSION: u16 = 1;

/// The longest feature name in bytes, as in the contract of tables.
const LONGEST_NAME: u16 = 256;

/// The most features, as in the contract of tables.
const MOST_FEATURES: u32 = 1 << 20;

/// The number of nodes that are read before more memory is allocated. A forged count then costs the
/// sender bytes, not this process memory.
const NODES_AT_ONCE: usize = 4_096;

/// The bytes of a node.
pub(crate) const NODE_BYTES: usize = 16;

/// Passes bytes on to `inner` and computes their checksum.
struct Summing<T> {
    inner: T,
    sum: crc32fast::Hasher,
}

impl TreeModel {
    /// Writes the model and flushes the writer. Use a `BufWriter`, since nodes are written one by
    /// one.
    ///
    /// # Errors
    /// [`TreesError::Io`] if the writer fails; [`TreesError::Format`] if a feature's name is longer
    /// than 256 bytes.
    pub fn write_to(&self, writer: impl Write) -> Result<(), TreesError> {
        let mut out = Summing { inner: writer, sum: crc32fast::Hasher::new() };
        out.put(&MAGIC)?;
        out.put(&VERSION.to_le_bytes())?;
        out.put(&[objective_code(self.objective), 0])?;
        for number in [self.names.len() as u32, self.trees() as u32, self.first_tree] {
            out.put(&number.to_le_bytes())?;
        }
        out.put(&self.base.to_le_bytes())?;
        for name in &self.names {
            let length = u16::try_from(name.len()).ok().filter(|length| *length <= LONGEST_NAME);
            let Some(length) = length else {
                return refuse(format!("the name of feature `{name:.40}` is longer than {LONGEST_NAME} bytes"));
            };
            out.put(&length.to_le_bytes())?;
            out.put(name.as_bytes())?;
        }
        for importance in &self.importance {
            out.put(&importance.to_le_bytes())?;
        }
        for tree in self.starts.windows(2) {
            out.put(&((tree[1] - tree[0]) as u32).to_le_bytes())?;
        }
        for node in &self.nodes {
            out.put(&node_bytes(node))?;
        }
        let sum = out.sum.finalize();
        out.inner.write_all(&sum.to_le_bytes())?;
        out.inner.flush()?;
        Ok(())
    }

    /// Reads a model. Use a `BufReader`.
    ///
    /// # Errors
    /// [`TreesError::Format`] if the bytes are not exactly one valid model: every count, index and
    /// number and the checksum are checked. [`TreesError::Io`] if the reader fails.
    pub fn read_from(reader: impl Read) -> Result<Self, TreesError> {
        let mut nodes = Vec::new();
        let model = read_trees(reader, |_, tree| nodes.extend_from_slice(tree))?;
        Ok(Self { nodes, ..model })
    }
}

/// Reads a model and passes the nodes of each tree to `take`, in order, when they were checked. The
/// model that `take` sees, and that is returned, has no nodes and everything else.
///
/// # Errors
/// As for [`TreeModel::read_from`]. Nodes may have been passed on before.
pub(crate) fn read_trees(
    reader: impl Read,
    mut take: impl FnMut(&TreeModel, &[Node]),
) -> Result<TreeModel, TreesError> {
    let mut input = Summing { inner: reader, sum: crc32fast::Hasher::new() };
    let model = input.head()?;
    let mut tree = TreeReader::default();
    for (number, ends) in model.starts.windows(2).enumerate() {
        input.nodes(ends[1] - ends[0], &mut tree)?;
        tree.check(&model, number)?;
        take(&model, &tree.nodes);
    }
    input.end()?;
    Ok(model)
}

impl<W: Write> Summing<W> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), TreesError> {
        self.sum.update(bytes);
        Ok(self.inner.write_all(bytes)?)
    }
}

impl<R: Read> Summing<R> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), TreesError> {
        self.inner.read_exact(bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => TreesError::Format { reason: "it ends too early".to_owned() },
            _ => TreesError::Io(error),
        })?;
        self.sum.update(bytes);
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], TreesError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads everything before the nodes.
    fn head(&mut self) -> Result<TreeModel, TreesError> {
        if self.take()? != MAGIC {
            return refuse("it does not begin with `SWTREES`".to_owned());
        }
        let version = u16::from_le_bytes(self.take()?);
        if version != VERSION {
            return refuse(format!("its format version is {version}, and only {VERSION} can be read"));
        }
        let [objective, reserved] = self.take()?;
        let objective = match (objective, reserved) {
            (0, 0) => Objective::Logistic,
            (1, 0) => Objective::Value,
            (2, 0) => Objective::MeanProbability,
            other => return refuse(format!("its objective is `{other:?}`")),
        };
        let [features, trees, first_tree] = [self.take()?, self.take()?, self.take()?].map(u32::from_le_bytes);
        let base = self.number("base score")?;
        if !(1..=MOST_FEATURES).contains(&features) {
            return refuse(format!("it has {features} features"));
        }
        let mut model = TreeModel::empty(objective, base, Vec::new());
        model.first_tree = first_tree;
        for _ in 0..features {
            model.names.push(self.name()?);
        }
        for _ in 0..features {
            let importance = self.number("importance")?;
            if importance < 0.0 {
                return refuse(format!("an importance is `{importance}`"));
            }
            model.importance.push(importance);
        }
        for tree in 0..trees {
            let nodes = u32::from_le_bytes(self.take()?);
            if nodes % 2 == 0 {
                return refuse(format!("tree {tree} has {nodes} nodes, and a tree has an odd number"));
            }
            let start = model.starts[tree as usize];
            let Some(end) = start.checked_add(nodes as usize) else {
                return refuse("it has too many nodes".to_owned());
            };
            model.starts.push(end);
        }
        Ok(model)
    }

    fn number(&mut self, what: &str) -> Result<f64, TreesError> {
        let number = f64::from_le_bytes(self.take()?);
        if number.is_finite() { Ok(number) } else { refuse(format!("a {what} is `{number}`")) }
    }

    fn name(&mut self) -> Result<String, TreesError> {
        let length = u16::from_le_bytes(self.take()?);
        if !(1..=LONGEST_NAME).contains(&length) {
            return refuse(format!("a feature's name is {length} bytes long"));
        }
        let mut bytes = vec![0; usize::from(length)];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).or_else(|_| refuse("a feature's name is not UTF-8".to_owned()))
    }

    /// Reads the nodes of one tree.
    fn nodes(&mut self, length: usize, tree: &mut TreeReader) -> Result<(), TreesError> {
        let TreeReader { bytes, nodes, .. } = tree;
        nodes.clear();
        bytes.resize(bytes.len().max(NODES_AT_ONCE.min(length) * NODE_BYTES), 0);
        while nodes.len() < length {
            let count = (length - nodes.len()).min(NODES_AT_ONCE);
            let bytes = &mut bytes[..count * NODE_BYTES];
            self.fill(bytes)?;
            nodes.extend(bytes.as_chunks::<NODE_BYTES>().0.iter().map(node_from));
        }
        Ok(())
    }

    /// Checks the checksum, and that no bytes follow.
    fn end(mut self) -> Result<(), TreesError> {
        let expected = self.sum.clone().finalize();
        if u32::from_le_bytes(self.take()?) != expected {
            return refuse("its checksum does not fit its content".to_owned());
        }
        let mut more = [0];
        match self.inner.read(&mut more)? {
            0 => Ok(()),
            _ => refuse("bytes follow its end".to_owned()),
        }
    }
}

/// The nodes of a tree that is read, and room for reading.
#[derive(Default)]
struct TreeReader {
    bytes: Vec<u8>,
    nodes: Vec<Node>,
    has_parent: Vec<bool>,
}

impl TreeReader {
    /// Checks that the nodes are a tree. Looks at all nodes without a branch for each, since half
    /// of all nodes are leaves, in no order that a processor foresees. A fault is then searched
    /// for.
    fn check(&mut self, model: &TreeModel, tree: usize) -> Result<(), TreesError> {
        let Self { nodes, has_parent, .. } = self;
        let (length, width) = (nodes.len(), model.names.len());
        let are_probabilities = model.objective == Objective::MeanProbability;
        has_parent.clear();
        // A leaf marks the last two as its children.
        has_parent.resize(length + 2, false);
        has_parent[0] = true;
        let mut is_wrong = false;
        for (number, node) in nodes.iter().enumerate() {
            let is_leaf = node.left == 0;
            let child = if is_leaf { length } else { (node.left as usize).min(length) };
            let is_child = (child > number) & (child + 1 < length) & !has_parent[child] & !has_parent[child + 1];
            let feature = (node.feature & !MISSING_LEFT) as usize;
            let is_split = is_child & (feature < width);
            let is_end = (node.feature == 0) & (!are_probabilities | (node.value >= 0.0) & (node.value <= 1.0));
            is_wrong |= !node.value.is_finite() | !has_parent[number] | if is_leaf { !is_end } else { !is_split };
            has_parent[child] = true;
            has_parent[child + 1] = true;
        }
        if is_wrong { self.fault(model, tree) } else { Ok(()) }
    }

    /// Returns the first fault of nodes that are no tree.
    fn fault(&mut self, model: &TreeModel, tree: usize) -> Result<(), TreesError> {
        let wrong = |node: usize, what: &str| refuse(format!("node {node} of tree {tree} {what}"));
        let length = self.nodes.len();
        let mut has_parent = vec![false; length];
        for (number, node) in self.nodes.iter().enumerate() {
            if !node.value.is_finite() {
                return wrong(number, "has a value that is not finite");
            }
            if number > 0 && !has_parent[number] {
                return wrong(number, "is nobody's child");
            }
            if node.left == 0 {
                if node.feature != 0 {
                    return wrong(number, "is a leaf with a feature");
                }
                if model.objective == Objective::MeanProbability && !(0.0..=1.0).contains(&node.value) {
                    return wrong(number, "has a probability outside 0 to 1");
                }
                continue;
            }
            if (node.feature & !MISSING_LEFT) as usize >= model.names.len() {
                return wrong(number, "splits on a feature that does not exist");
            }
            let child = node.left as usize;
            if child <= number || child >= length - 1 {
                return wrong(number, "has children outside of the tree or before itself");
            }
            if std::mem::replace(&mut has_parent[child], true) || std::mem::replace(&mut has_parent[child + 1], true) {
                return wrong(number, "has a child that is another's already");
            }
        }
        refuse(format!("tree {tree} is no tree"))
    }
}

fn refuse<T>(reason: String) -> Result<T, TreesError> {
    Err(TreesError::Format { reason })
}

fn objective_code(objective: Objective) -> u8 {
    match objective {
        Objective::Logistic => 0,
        Objective::Value => 1,
        Objective::MeanProbability => 2,
    }
}

fn node_bytes(node: &Node) -> [u8; NODE_BYTES] {
    let mut bytes = [0; NODE_BYTES];
    bytes[..8].copy_from_slice(&node.value.to_le_bytes());
    bytes[8..12].copy_from_slice(&node.left.to_le_bytes());
    bytes[12..].copy_from_slice(&node.feature.to_le_bytes());
    bytes
}

fn node_from(bytes: &[u8; NODE_BYTES]) -> Node {
    let [a, b, c, d, e, f, g, h, left @ .., i, j, k, l] = *bytes;
    Node {
        value: f64::from_le_bytes([a, b, c, d, e, f, g, h]),
        left: u32::from_le_bytes(left),
        feature: u32::from_le_bytes([i, j, k, l]),
    }
}
