//! The name of a master, and the rule for its `<id>`.

use std::fmt;

/// The prefix of every master name.
const PREFIX: &[u8] = b"kubemaster-";

/// The longest name, in bytes: one DNS label (RFC 1035, section 2.3.4).
const MAX_LEN: usize = 63;

/// A master name: `kubemaster-<id>`, where `<id>` is `[a-z0-9]([a-z0-9-]*[a-z0-9])?`
/// and the whole name has at most 63 bytes, so that it is always one DNS label.
///
/// [`MasterName::parse`] is the only constructor, so a value of this type needs no escaping in
/// a certificate or a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterName(String);

/// Why a name is not a valid master name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a master name begins with kubemaster-")]
    Prefix,
    #[error("nothing follows kubemaster-: use the whole host name, \"$(hostname -s)\"")]
    EmptyId,
    /// A fully qualified host name.
    #[error("it contains a dot: leave the domain out: use \"$(hostname -s)\"")]
    Domain,
    /// A host name in upper or mixed case.
    #[error("it contains upper-case letters: use lower case")]
    UpperCase,
    #[error("a master name has at most 63 bytes, this one has {0}: rename the host")]
    TooLong(usize),
    /// A byte outside `[a-z0-9-]`.
    #[error("only a-z, 0-9 and hyphens may follow kubemaster-")]
    Character,
    /// The identifier begins or ends with a hyphen.
    #[error("what follows kubemaster- must begin and end with a letter or a digit")]
    Hyphen,
}

impl MasterName {
    /// Parses a master name. Nothing is trimmed, and case is not folded.
    ///
    /// # Errors
    /// [`NameError`], with the first rule that they break.
    pub fn parse(bytes: &[u8]) -> Result<Self, NameError> {
        if !Self::has_prefix(bytes) {
            return Err(NameError::Prefix);
        }
        let id = bytes.get(PREFIX.len()..).unwrap_or_default();
        let (Some(first), Some(last)) = (id.first(), id.last()) else {
            return Err(NameError::EmptyId);
        };
        let is_host_name = bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        if is_host_name && id.contains(&b'.') {
            return Err(NameError::Domain);
        }
        if is_host_name && bytes.iter().any(u8::is_ascii_uppercase) {
            return Err(NameError::UpperCase);
        }
        if !bytes.starts_with(PREFIX) {
            return Err(NameError::Prefix);
        }
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

    /// Whether a name begins with `kubemaster-`, in lower or upper case.
    #[must_use]
    pub fn has_prefix(bytes: &[u8]) -> bool {
        bytes
            .get(..PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
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

    /// The rule of the specification, applied by the regex crate.
    fn matches_specification(bytes: &[u8]) -> bool {
        let rule =
            regex::bytes::Regex::new(r"(?-u)\Akubemaster-[a-z0-9]([a-z0-9-]*[a-z0-9])?\z").unwrap();
        rule.is_match(bytes) && bytes.len() <= 63
    }

    #[test]
    fn each_broken_rule_is_reported() {
        let cases: [(&[u8], NameError); 9] = [
            (b"kubemaster", NameError::Prefix),
            (b"KUBEMASTER-\xff", NameError::Prefix),
            (b"kubemaster-", NameError::EmptyId),
            (b"KUBEMASTER-", NameError::EmptyId),
            (b"kubemaster-A;", NameError::Character),
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
    fn upper_case_name_is_rejected_with_the_remedy() {
        for name in ["KUBEMASTER-1", "Kubemaster-1", "kubemaster-A"] {
            let error = MasterName::parse(name.as_bytes()).unwrap_err();
            assert_eq!(error, NameError::UpperCase, "{name}");
        }
        let text = NameError::UpperCase.to_string();
        assert!(text.contains("use lower case"), "{text}");
    }

    #[test]
    fn fully_qualified_name_is_rejected_with_the_remedy() {
        let long = format!("kubemaster-1.{}", "a".repeat(80));
        for name in ["kubemaster-1.example.com", "KUBEMASTER-1.EXAMPLE", &long] {
            let error = MasterName::parse(name.as_bytes()).unwrap_err();
            assert_eq!(error, NameError::Domain, "{name}");
        }
        let text = NameError::Domain.to_string();
        assert!(text.contains("$(hostname -s)"), "{text}");
    }

    #[test]
    fn name_of_64_bytes_is_rejected() {
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
        fn near_names_are_accepted_as_specified(text in "kubemaster-[a-c0-1A -]{0,56}") {
            prop_assert_eq!(MasterName::parse(text.as_bytes()).is_ok(), matches_specification(text.as_bytes()));
        }

        #[test]
        fn any_bytes_are_accepted_as_specified(tail in proptest::collection::vec(any::<u8>(), 0..6)) {
            let bytes = [b"kubemaster-", tail.as_slice()].concat();
            prop_assert_eq!(MasterName::parse(&bytes).is_ok(), matches_specification(&bytes));
        }
    }
}
