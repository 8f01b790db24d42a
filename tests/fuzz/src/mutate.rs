//! Mutators that keep the frame whole, so that what is inside gets looked at.

use crate::der::{self, Length, Node};
use crate::pem;
use crate::resign::resign;
use libfuzzer_sys::fuzzer_mutate;

/// Small numbers out of libFuzzer's seed (xorshift).
pub struct Random(u32);

impl Random {
    /// Begins with this seed.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9) | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        usize::try_from(self.0 >> 3).unwrap() % limit.max(1)
    }
}

/// libFuzzer's own mutation, of a value.
#[must_use]
pub fn bytes(value: &[u8], max: usize) -> Vec<u8> {
    let max = max.max(value.len()).max(1);
    let mut buffer = value.to_vec();
    buffer.resize(max, 0);
    let len = fuzzer_mutate(&mut buffer, value.len(), max);
    buffer.truncate(len);
    buffer
}

/// Changes a request in DER: most often its tree, and then most often signs it again.
#[must_use]
pub fn request(value: &[u8], max: usize, random: &mut Random) -> Vec<u8> {
    let Some(mut nodes) = der::parse(value).filter(|nodes| !nodes.is_empty()) else {
        return bytes(value, max);
    };
    if random.below(8) == 0 {
        return bytes(value, max);
    }
    for _ in 0..=random.below(3) {
        tree(&mut nodes, random);
    }
    if random.below(8) != 0 {
        resign(&mut nodes, random.below(64));
    }
    let mut out = der::write(&nodes);
    if random.below(64) == 0 {
        out.push(0);
    }
    if out.len() <= max {
        out
    } else {
        value.to_vec()
    }
}

fn tree(nodes: &mut Vec<Node>, random: &mut Random) {
    const TAGS: [u8; 20] = [
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x14, 0x16, 0x1c, 0x1e, 0x1f, 0x30, 0x31,
        0x80, 0xa0, 0xa1, 0x24, 0x00,
    ];
    let total = der::count(nodes);
    let Some((other, at)) = der::find(nodes, random.below(total)) else {
        return;
    };
    let other = other[at].clone();
    let Some((list, at)) = der::find(nodes, random.below(total)) else {
        return;
    };
    match random.below(12) {
        0 => {
            list.remove(at);
        }
        1 => list.insert(at, list[at].clone()),
        2 => list.insert(at, other),
        3 => list[at] = other,
        4 => {
            let with = random.below(list.len());
            list.swap(at, with);
        }
        5 => list[at].tag = TAGS[random.below(TAGS.len())],
        6 => {
            list[at].length = match random.below(6) {
                0 => Length::Indefinite,
                1 => Length::Beyond(1),
                2 => Length::Padded(8),
                more => Length::Padded(u8::try_from(more).unwrap()),
            };
        }
        7 => {
            // Some levels deeper.
            let levels = 1 << random.below(7);
            for _ in 0..levels {
                let inside = vec![list[at].clone()];
                list[at] = Node {
                    inside,
                    ..Node::leaf(0x30, &[])
                };
            }
        }
        8 => list[at].bytes = Vec::new(),
        _ => {
            let value = std::mem::take(&mut list[at].bytes);
            list[at].bytes = bytes(&value, value.len() + 16);
        }
    }
}

/// Changes what a client sends: the text, what the text encodes, or the request inside.
#[must_use]
pub fn input(value: &[u8], max: usize, random: &mut Random) -> Vec<u8> {
    let Some(decoded) = pem::decode(value).filter(|_| random.below(4) != 0) else {
        return bytes(value, max);
    };
    let inner = match pem::contents(&decoded) {
        // The PEM's text.
        Some(_) if random.below(3) == 0 => bytes(&decoded, decoded.len() + 64),
        // The DER, in PEM or bare.
        Some(der) => {
            let der = request(&der, der.len() + 512, random);
            match random.below(8) {
                0 => der,
                1 => pem::block(&der, "NEW CERTIFICATE REQUEST"),
                2 => pem::block(&der, "CERTIFICATE"),
                _ => pem::block(&der, "CERTIFICATE REQUEST"),
            }
        }
        None => request(&decoded, decoded.len() + 512, random),
    };
    let end = ["\n", "\r\n", "", " \t\n"][random.below(4)];
    let width = [0, 64, 76, 1][random.below(4)];
    let out = pem::encode(&inner, width, end);
    if out.len() <= max {
        out
    } else {
        value.to_vec()
    }
}

/// Runs a mutation of values in libFuzzer's buffer.
pub fn in_place(
    data: &mut [u8],
    size: usize,
    max: usize,
    change: impl FnOnce(&[u8], usize) -> Vec<u8>,
) -> usize {
    let max = max.min(data.len());
    let mut out = change(&data[..size.min(max)], max);
    out.truncate(max);
    data[..out.len()].copy_from_slice(&out);
    out.len()
}
