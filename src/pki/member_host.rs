//! A host of an etcd member: an IP address or a DNS name.

use std::fmt;
use std::net::IpAddr;

/// The common name of every member of the etcd cluster. No master can have it, so that etcd's
/// `peer-cert-allowed-cn` keeps masters out.
pub(crate) const MEMBER: &str = "etcd-member";

/// The longest DNS name, and the longest label of one, in bytes (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// An IP address, or a DNS name in lower case, for a subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberHost {
    /// IPv4 or IPv6, without a zone.
    Address(IpAddr),
    /// A name of letters, digits, hyphens and dots (RFC 1123, section 2.1). No wildcard.
    Name(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an IP address (without brackets and port) nor a DNS name")]
pub struct MemberHostError;

impl MemberHost {
    /// Parses an address or a name, whose case does not matter (RFC 4343).
    ///
    /// # Errors
    /// [`MemberHostError`], also for a name that ends in a number: that is a mistyped address
    /// (RFC 1123, section 2.1).
    pub fn parse(text: &str) -> Result<Self, MemberHostError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let last = text.rsplit('.').next().unwrap_or(text);
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() > MAX_NAME || is_number || !text.split('.').all(label) {
            return Err(MemberHostError);
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for MemberHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MemberHost, MemberHostError};

    #[test]
    fn addresses_and_names_are_accepted() {
        for address in ["10.0.0.1", "::1", "fd00::2"] {
            let parsed = address.parse().unwrap();
            assert_eq!(MemberHost::parse(address), Ok(MemberHost::Address(parsed)));
        }
        for (given, name) in [
            ("localhost", "localhost"),
            ("ETCD-1.example", "etcd-1.example"),
            ("1.example", "1.example"),
            ("a", "a"),
        ] {
            assert_eq!(
                MemberHost::parse(given),
                Ok(MemberHost::Name(name.to_owned()))
            );
        }
        let label = "a".repeat(63);
        assert!(MemberHost::parse(&label).is_ok());
        assert!(MemberHost::parse(&[&label[..]; 3].join(".")).is_ok());
    }

    #[test]
    fn other_text_is_rejected() {
        let long = "a".repeat(64);
        let longer = ["a"; 128].join(".");
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "*.example",
            "10.0.0.300",
            "10.0.0",
            "7",
            "[::1]",
            "10.0.0.1:2379",
            "fe80::1%eth0",
            "https://10.0.0.1",
            "a b",
            "a\n",
            "bücher.example",
            &long,
            &longer,
        ] {
            assert_eq!(MemberHost::parse(text), Err(MemberHostError), "{text:?}");
        }
    }
}
