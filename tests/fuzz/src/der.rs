//! DER as a tree, read leniently and written as badly as one wants.

/// How deeply a tree is read. What is nested deeper stays bytes.
const MAX_DEPTH: usize = 40;

/// How a length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// In the fewest bytes, as DER has it.
    Shortest,
    /// With this many bytes more than it needs.
    Padded(u8),
    /// Indefinite, with an end-of-contents marker.
    Indefinite,
    /// Too large by this much.
    Beyond(u8),
}

/// One element.
#[derive(Clone, Debug)]
pub struct Node {
    /// The identifier octet.
    pub tag: u8,
    /// How its length is written.
    pub length: Length,
    /// Contents before the elements inside: all of them, where there are none. (A BIT STRING
    /// that wraps DER begins with its count of unused bits.)
    pub bytes: Vec<u8>,
    /// The elements inside.
    pub inside: Vec<Node>,
}

/// Takes bytes that are elements, one behind the other. Strings that wrap elements are opened.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Vec<Node>> {
    parse_at(bytes, 0, true)
}

/// The same, with strings left as they are: what they hold need not be DER.
#[must_use]
pub fn frames(bytes: &[u8]) -> Option<Vec<Node>> {
    parse_at(bytes, 0, false)
}

fn parse_at(mut bytes: &[u8], depth: usize, open: bool) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    while let Some((tag, rest)) = bytes.split_first() {
        let (contents, rest) = split(rest)?;
        nodes.push(node(*tag, contents, depth, open));
        bytes = rest;
    }
    Some(nodes)
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (
                len.iter()
                    .fold(0, |len, byte| len << 8 | usize::from(*byte)),
                rest,
            )
        }
        _ => return None,
    };
    rest.split_at_checked(len)
}

fn node(tag: u8, contents: &[u8], depth: usize, open: bool) -> Node {
    // BIT STRING and OCTET STRING may wrap one element more.
    let prefix = match (tag, contents) {
        (0x03, [0, 0x30, ..]) if open => 1,
        (0x04, [0x30 | 0x03 | 0x04, ..]) if open => 0,
        (tag, _) if tag & 0x20 != 0 => 0,
        _ => contents.len(),
    };
    let (bytes, rest) = contents.split_at(prefix);
    let inside = (depth < MAX_DEPTH)
        .then(|| parse_at(rest, depth + 1, open))
        .flatten();
    let (bytes, inside) = match inside {
        Some(inside) => (bytes, inside),
        None => (contents, Vec::new()),
    };
    Node {
        tag,
        length: Length::Shortest,
        bytes: bytes.to_vec(),
        inside,
    }
}

/// The elements as bytes.
#[must_use]
pub fn write(nodes: &[Node]) -> Vec<u8> {
    nodes.iter().flat_map(Node::to_bytes).collect()
}

impl Node {
    /// One with contents of its own.
    #[must_use]
    pub fn leaf(tag: u8, bytes: &[u8]) -> Self {
        Self {
            tag,
            length: Length::Shortest,
            bytes: bytes.to_vec(),
            inside: Vec::new(),
        }
    }

    /// The element as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut contents = self.bytes.clone();
        contents.extend(write(&self.inside));
        let mut out = vec![self.tag];
        let len = contents.len();
        let shortest = match len {
            0..=0x7f => 0,
            0x80..=0xff => 1,
            0x100..=0xffff => 2,
            _ => 3,
        };
        let mut definite = |len: usize, count: usize| {
            if count == 0 {
                out.push(u8::try_from(len & 0x7f).unwrap());
                return;
            }
            out.push(0x80 | u8::try_from(count & 0x7f).unwrap());
            let bytes = u64::try_from(len).unwrap().to_be_bytes();
            out.extend(std::iter::repeat_n(0, count.saturating_sub(8)));
            out.extend(&bytes[8 - count.min(8)..]);
        };
        match self.length {
            Length::Shortest => definite(len, shortest),
            Length::Padded(more) => definite(len, shortest + usize::from(more)),
            Length::Beyond(more) => definite(len + usize::from(more), shortest),
            Length::Indefinite => out.push(0x80),
        }
        out.extend(contents);
        if self.length == Length::Indefinite {
            out.extend([0, 0]);
        }
        out
    }
}

/// How many elements there are, at all depths.
#[must_use]
pub fn count(nodes: &[Node]) -> usize {
    nodes.iter().map(|node| 1 + count(&node.inside)).sum()
}

/// The list that holds the element with this number, counted depth first, and its place there.
#[must_use]
pub fn find(nodes: &mut Vec<Node>, mut number: usize) -> Option<(&mut Vec<Node>, usize)> {
    let mut at = None;
    for (place, node) in nodes.iter().enumerate() {
        let size = 1 + count(&node.inside);
        if number < size {
            at = Some(place);
            break;
        }
        number -= size;
    }
    match (at?, number) {
        (place, 0) => Some((nodes, place)),
        (place, number) => find(&mut nodes[place].inside, number - 1),
    }
}
