//! Strict DER: the rules of X.690, section 10 that the X.509 parser does not enforce.
//!
//! This module checks the structure before values are parsed: one element without trailing
//! bytes, definite lengths in the fewest bytes, constructed encodings only where DER has them.

use der::{Decode as _, Length, Reader as _, SliceReader};

/// How deeply elements may be nested. A PKCS#10 request has about ten levels.
const MAX_DEPTH: usize = 32;

/// The identifier octet of an INTEGER.
pub(crate) const INTEGER: u8 = 0x02;
/// The identifier octet of a BIT STRING.
pub(crate) const BIT_STRING: u8 = 0x03;
/// The identifier octet of an OCTET STRING.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// The identifier octet of a SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// The identifier octet of a SET.
pub(crate) const SET: u8 = 0x31;
/// The identifier octet of a NULL.
pub(crate) const NULL: u8 = 0x05;
/// The identifier octet of an OBJECT IDENTIFIER.
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;

/// Why bytes are not strict DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DerError {
    #[error("it is followed by trailing bytes")]
    TrailingBytes,
    /// A length is indefinite, not in its shortest form, or past the end.
    #[error("a length is truncated or not in its shortest form")]
    Length,
    #[error("a tag is not allowed in DER")]
    Tag,
    /// Nested more than 32 levels deep.
    #[error("it is nested too deeply")]
    Depth,
}

/// One element: identifier octet, contents, and the whole encoding.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// The identifier octet (X.690, section 8.1.2).
    pub tag: u8,
    /// The contents octets.
    pub contents: &'a [u8],
    /// The whole element, with identifier and length octets.
    pub encoding: &'a [u8],
}

/// Parses a single element, and checks it and everything in it.
///
/// # Errors
/// [`DerError`], with the first rule that is broken.
pub fn single(input: &[u8]) -> Result<Element<'_>, DerError> {
    let (element, rest) = split_first(input)?;
    if !rest.is_empty() {
        return Err(DerError::TrailingBytes);
    }
    descend(element, 0)?;
    Ok(element)
}

/// Parses the first element, with the same checks, and ignores what follows it.
///
/// # Errors
/// [`DerError`], with the first rule that is broken.
pub(crate) fn leading(input: &[u8]) -> Result<Element<'_>, DerError> {
    let (element, _) = split_first(input)?;
    descend(element, 0)?;
    Ok(element)
}

/// The elements in contents octets.
///
/// # Errors
/// [`DerError`], if the last element does not end where the contents do.
pub fn elements(mut contents: &[u8]) -> Result<Vec<Element<'_>>, DerError> {
    let mut found = Vec::new();
    while !contents.is_empty() {
        let (element, rest) = split_first(contents)?;
        found.push(element);
        contents = rest;
    }
    Ok(found)
}

fn descend(element: Element<'_>, depth: usize) -> Result<(), DerError> {
    const CONSTRUCTED: u8 = 0x20;
    const UNIVERSAL_MAX: u8 = 0x3f;
    let constructed = element.tag & CONSTRUCTED != 0;
    if element.tag <= UNIVERSAL_MAX
        && constructed != matches!(element.tag | CONSTRUCTED, SEQUENCE | SET)
    {
        return Err(DerError::Tag);
    }
    if !constructed {
        return Ok(());
    }
    if depth >= MAX_DEPTH {
        return Err(DerError::Depth);
    }
    let mut contents = element.contents;
    while !contents.is_empty() {
        let (inner, rest) = split_first(contents)?;
        descend(inner, depth.saturating_add(1))?;
        contents = rest;
    }
    Ok(())
}

fn split_first(input: &[u8]) -> Result<(Element<'_>, &[u8]), DerError> {
    /// The low five bits that mark a tag number of several bytes. Nothing in PKCS#10 or X.509
    /// has one.
    const LONG_FORM: u8 = 0x1f;
    let mut reader = SliceReader::new(input).map_err(|_| DerError::Length)?;
    let tag = reader.read_byte().map_err(|_| DerError::Length)?;
    if tag & LONG_FORM == LONG_FORM || tag == 0 {
        return Err(DerError::Tag);
    }
    // der decodes lengths strictly: definite, minimal, at most four bytes.
    let length = Length::decode(&mut reader).map_err(|_| DerError::Length)?;
    let contents = reader.read_slice(length).map_err(|_| DerError::Length)?;
    let end = usize::try_from(reader.position()).map_err(|_| DerError::Length)?;
    let (encoding, rest) = input.split_at_checked(end).ok_or(DerError::Length)?;
    Ok((
        Element {
            tag,
            contents,
            encoding,
        },
        rest,
    ))
}

impl<'a> Element<'a> {
    /// The elements in this one, if it has that identifier octet.
    #[must_use]
    pub fn inside(&self, tag: u8) -> Option<Vec<Element<'a>>> {
        (self.tag == tag)
            .then(|| elements(self.contents).ok())
            .flatten()
    }

    /// The contents octets, if it has that identifier octet.
    #[must_use]
    pub fn contents_of(&self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.contents)
    }
}

/// An AlgorithmIdentifier (RFC 5280, section 4.1.1.2).
#[derive(Clone, Copy, Debug)]
pub struct Algorithm<'a> {
    /// The contents octets of its OBJECT IDENTIFIER.
    pub oid: &'a [u8],
    pub parameters: Option<Element<'a>>,
}

#[must_use]
pub(crate) fn algorithm<'a>(element: &Element<'a>) -> Option<Algorithm<'a>> {
    let parts = element.inside(SEQUENCE)?;
    let (oid, parameters) = match parts.as_slice() {
        [oid] => (oid, None),
        [oid, parameters] => (oid, Some(*parameters)),
        _ => return None,
    };
    Some(Algorithm {
        oid: oid.contents_of(OBJECT_IDENTIFIER)?,
        parameters,
    })
}

/// The magnitude of a positive INTEGER's contents octets, without its sign byte.
///
/// `None` for zero, a negative number, and one that is not in its shortest form
/// (X.690, section 8.3.2).
#[must_use]
pub(crate) fn positive(contents: &[u8]) -> Option<&[u8]> {
    match contents {
        [0, magnitude @ ..] if magnitude.first() >= Some(&0x80) => Some(magnitude),
        [0x01..=0x7f, ..] => Some(contents),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{DerError, elements, positive, single};

    #[test]
    fn strict_der_is_accepted() {
        let der = [0x30, 0x06, 0x02, 0x01, 0x00, 0xa0, 0x01, 0x02];
        assert_eq!(
            single(&der).unwrap_err(),
            DerError::Length,
            "[0] contains half an element"
        );
        let der = [0x30, 0x05, 0x02, 0x01, 0x00, 0xa0, 0x00];
        assert_eq!(single(&der).unwrap().contents, &der[2..]);
        let inside: Vec<_> = elements(&der[2..]).unwrap().iter().map(|e| e.tag).collect();
        assert_eq!(inside, [0x02, 0xa0]);
    }

    #[test]
    fn each_broken_rule_is_reported() {
        let cases: [(&[u8], DerError); 9] = [
            (&[], DerError::Length),
            (&[0x30, 0x00, 0x00], DerError::TrailingBytes),
            (&[0x30, 0x81, 0x00], DerError::Length),
            (&[0x30, 0x82, 0x00, 0x01, 0x05], DerError::Length),
            (&[0x30, 0x80, 0x00, 0x00], DerError::Length),
            (&[0x30, 0x01], DerError::Length),
            (&[0x10, 0x00], DerError::Tag),
            (&[0x30, 0x02, 0x24, 0x00], DerError::Tag),
            (&[0x30, 0x03, 0x1f, 0x01, 0x00], DerError::Tag),
        ];
        for (bytes, error) in cases {
            assert_eq!(single(bytes).unwrap_err(), error, "{bytes:02x?}");
        }
    }

    #[test]
    fn nesting_beyond_the_limit_is_rejected() {
        let mut der = Vec::new();
        for _ in 0..60 {
            let len = u8::try_from(der.len()).unwrap();
            der.splice(0..0, [0x30, len]);
        }
        assert_eq!(single(&der).unwrap_err(), DerError::Depth);
    }

    #[test]
    fn integer_not_in_shortest_form_is_rejected() {
        assert_eq!(positive(&[1, 0, 1]), Some(&[1, 0, 1][..]));
        assert_eq!(positive(&[0, 0x80]), Some(&[0x80][..]));
        for bad in [&[][..], &[0], &[0, 1], &[0x80], &[0, 0, 0x80]] {
            assert_eq!(positive(bad), None, "{bad:02x?}");
        }
    }
}
