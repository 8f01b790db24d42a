//! The name of a master: the one place that knows what `<id>` may be.

use std::fmt;

/// What every master's name begins with.
const PREFIX: &[u8] = b"kubemaster-";

/// The longest name, in bytes: one DNS label (RFC 1035, section 2.3.4).
const MAX_LEN: usize = 63;

/// A master's name: `kubemaster-<id>`, where `<id>` is `[a-z0-9]([a-z0-9-]*[a-z0-9])?`
/// and the whole at most 63 bytes, so that it is always one DNS label.
///
/// [`MasterName::parse`] is its only constructor, so a value of this type can stand in
/// a certificate or a log line as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterName(String);

/// Why bytes that begin like a master's name are not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It does not begin with `kubemaster-`.
    #[error("a master's name begins with kubemaster-")]
    Prefix,
    /// Nothing follows the prefix.
    #[error("nothing follows kubemaster-")]
    EmptyId,
    /// More than 63 bytes.
    #[error("a master's name has at most 63 bytes, this one {0}")]
    TooLong(usize),
    /// A byte outside of `[a-z0-9-]`.
    #[error("what follows kubemaster- may hold only a-z, 0-9 and the hyphen")]
    Character,
    /// The identifier begins or ends with a hyphen.
    #[error("what follows kubemaster- begins and ends with a letter or a digit")]
    Hyphen,
}

impl MasterName {
    /// Takes bytes that are, whole and byte for byte, a master's name.
    ///
    /// # Errors
    /// [`NameError`], with the first rule that they break.
    pub fn parse(bytes: &[u8]) -> Result<Self, NameError> {
        let id = bytes.strip_prefix(PREFIX).ok_or(NameError::Prefix)?;
        let (Some(first), Some(last)) = (id.first(), id.last()) else {
            return Err(NameError::EmptyId);
        };
        if bytes.len() > MAX_LEN {
            return Err(NameError::TooLong(bytes.len()));
        }
        if !id
            .iter()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        {
            return Err(NameError::Character);
        }
        if *first == b'-' || *last == b'-' {
            return Err(NameError::Hyphen);
        }
        match std::str::from_utf8(bytes) {
            Ok(name) => Ok(Self(name.to_owned())),
            Err(_) => Err(NameError::Character),
        }
    }

    /// Whether bytes begin as every master's name does.
    #[must_use]
    pub fn is_meant(bytes: &[u8]) -> bool {
        bytes.starts_with(PREFIX)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MasterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{MasterName, NameError};
    use proptest::prelude::*;

    /// The contract's own words, read by another matcher than ours.
    fn contract(bytes: &[u8]) -> bool {
        let rule =
            regex::bytes::Regex::new(r"(?-u)\Akubemaster-[a-z0-9]([a-z0-9-]*[a-z0-9])?\z").unwrap();
        rule.is_match(bytes) && bytes.len() <= 63
    }

    #[test]
    fn names_the_broken_rule() {
        let cases: [(&[u8], NameError); 7] = [
            (b"kubemaster", NameError::Prefix),
            (b"kubemaster-", NameError::EmptyId),
            (b"kubemaster-A", NameError::Character),
            (b"kubemaster-1\n", NameError::Character),
            (b"kubemaster-\xff", NameError::Character),
            (b"kubemaster--1", NameError::Hyphen),
            (b"kubemaster-1-", NameError::Hyphen),
        ];
        for (bytes, error) in cases {
            assert_eq!(MasterName::parse(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn ends_at_63_bytes() {
        let name = |len: usize| format!("kubemaster-{}", "a".repeat(len - 11));
        assert!(MasterName::parse(name(63).as_bytes()).is_ok());
        assert_eq!(
            MasterName::parse(name(64).as_bytes()),
            Err(NameError::TooLong(64))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn agrees_with_the_contract_on_near_names(text in "kubemaster-[a-c0-1A -]{0,56}") {
            prop_assert_eq!(MasterName::parse(text.as_bytes()).is_ok(), contract(text.as_bytes()));
        }

        #[test]
        fn agrees_with_the_contract_on_any_bytes(tail in proptest::collection::vec(any::<u8>(), 0..6)) {
            let bytes = [b"kubemaster-", tail.as_slice()].concat();
            prop_assert_eq!(MasterName::parse(&bytes).is_ok(), contract(&bytes));
        }
    }
}
