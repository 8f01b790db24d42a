//! Base64 and PEM, as freely as clients write them.

use base64ct::{Base64, Encoding as _};

/// The base64 that is left when all white space is taken out, decoded.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let symbols: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    Base64::decode_vec(std::str::from_utf8(&symbols).ok()?).ok()
}

/// Base64 in lines of `width` (0: one line), each with this end.
#[must_use]
pub fn encode(bytes: &[u8], width: usize, end: &str) -> Vec<u8> {
    let text = Base64::encode_string(bytes);
    let width = if width == 0 { text.len().max(1) } else { width };
    text.as_bytes()
        .chunks(width)
        .flat_map(|line| [line, end.as_bytes()].concat())
        .collect()
}

/// A PEM block.
#[must_use]
pub fn block(der: &[u8], label: &str) -> Vec<u8> {
    let mut text = format!("-----BEGIN {label}-----\n").into_bytes();
    text.extend(encode(der, 64, "\n"));
    text.extend(format!("-----END {label}-----\n").into_bytes());
    text
}

/// What the first PEM block holds, found by its boundaries alone.
#[must_use]
pub fn contents(text: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(text);
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (_, rest) = rest.split_once("-----")?;
    let (inside, _) = rest.split_once("-----END")?;
    decode(inside.as_bytes())
}
