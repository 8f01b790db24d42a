//! The networks that the drop-ins of sshd open the login to.

use crate::system::account;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// The networks that the package comes with, which nobody has (RFC 5737, RFC 3849).
const NOBODY: &str = "192.0.2.0/24,2001:db8::/32";

/// The drop-in for network-based login, and the one for login by key.
const BY_NETWORK: &str = "00-etcd-signer.conf";
const BY_KEY: &str = "00-etcd-signer-keys.conf";

/// How clients log in as `signer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginBy {
    /// Without a password, from an address in the networks.
    Network,
    /// With a key, from an address in the networks.
    Key,
}

/// What the drop-ins open.
#[derive(Clone, Debug)]
pub(super) struct OpenLogin {
    pub(super) by: LoginBy,
    pub(super) networks: Vec<Network>,
}

/// What was found of the drop-ins.
#[derive(Clone, Debug)]
pub(super) enum DropIns {
    /// There is none.
    Missing,
    /// None names a network of this host's control plane.
    Closed,
    Open(Vec<OpenLogin>),
    /// The line that opens the login is not recognized, for the reason given.
    Malformed(String),
}

/// Reads the drop-ins in sshd's folder.
pub(super) fn read(folder: &Path) -> DropIns {
    let mut found = Vec::new();
    let mut any = false;
    for (name, by) in [(BY_KEY, LoginBy::Key), (BY_NETWORK, LoginBy::Network)] {
        let text = match fs::read(folder.join(name)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                return DropIns::Malformed(format!("{name} cannot be read ({error})"));
            }
        };
        any = true;
        let mut networks = BTreeSet::new();
        for line in String::from_utf8_lossy(&text).lines() {
            match opened_by(line) {
                Ok(opened) => networks.extend(opened),
                Err(Unknown) => {
                    let line = line.trim().escape_default();
                    return DropIns::Malformed(format!("unrecognized line in {name}: {line}"));
                }
            }
        }
        if !networks.is_empty() {
            let networks = networks.into_iter().collect();
            found.push(OpenLogin { by, networks });
        }
    }
    match (any, found.is_empty()) {
        (false, _) => DropIns::Missing,
        (true, true) => DropIns::Closed,
        (true, false) => DropIns::Open(found),
    }
}

/// A Match line that is none of the package's.
struct Unknown;

/// The networks that a line of a drop-in opens the login to. As sshd reads it: keywords in any
/// case, with white space around them.
fn opened_by(line: &str) -> Result<Vec<Network>, Unknown> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
    match words.as_slice() {
        [keyword, all] if is(keyword, "match") && is(all, "all") => Ok(Vec::new()),
        [keyword, user, account::SIGNER] if is(keyword, "match") && is(user, "user") => {
            Ok(Vec::new())
        }
        [keyword, user, account::SIGNER, address, list]
            if is(keyword, "match") && is(user, "user") && is(address, "address") =>
        {
            match *list {
                NOBODY => Ok(Vec::new()),
                list => parse(list).ok_or(Unknown),
            }
        }
        [first, ..] if first.get(..5).is_some_and(|keyword| is(keyword, "match")) => Err(Unknown),
        _ => Ok(Vec::new()),
    }
}

/// An address and the length of its prefix (RFC 4632, section 3.1; RFC 4291, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Parses networks as `Match Address` has them: separated by commas.
pub(super) fn parse(list: &str) -> Option<Vec<Network>> {
    list.split(',').map(Network::parse).collect()
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix = prefix.parse().ok()?;
        let network = Self { address, prefix };
        (prefix <= bits(address) && network.is_taken_by_sshd()).then_some(network)
    }

    /// sshd takes no bits behind the prefix, and knows a client at an IPv4-mapped address by its
    /// IPv4 address: a network of such addresses matches nobody.
    fn is_taken_by_sshd(self) -> bool {
        let is_mapped = match self.address {
            IpAddr::V4(_) => false,
            IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
        };
        !is_mapped && masked(self.address, self.prefix) == masked(self.address, bits(self.address))
    }

    /// The first address.
    pub(super) fn address(self) -> IpAddr {
        self.address
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && masked(address, self.prefix) == masked(self.address, self.prefix)
    }

    fn is_within(self, other: Self) -> bool {
        self.prefix >= other.prefix && other.contains(self.address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first bits of an address, as a number.
fn masked(address: IpAddr, prefix: u8) -> u128 {
    let number = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    match u32::from(prefix) {
        0 => 0,
        prefix => number & (u128::MAX << 128_u32.saturating_sub(prefix)),
    }
}

/// Networks that are not routed on the internet (RFC 6890, RFC 4193), and the loopback.
const PRIVATE: [(IpAddr, u8); 9] = [
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
];

/// How wide networks are, whatever they are split into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Usual,
    /// More of the internet than a control plane can have: a /16 and more of IPv4, a /32 and more
    /// of IPv6.
    Wide,
    /// A large part of the internet: a /7 and more of IPv4, a /12 and more of IPv6.
    Internet,
}

/// Assesses both families, each as a whole.
pub(super) fn width(networks: &[Network]) -> Width {
    let v4 = public_share(networks, true);
    let v6 = public_share(networks, false);
    let share = |prefix: u32| 1_u128 << 127_u32.saturating_sub(prefix);
    if v4 >= share(7) || v6 >= share(12) {
        Width::Internet
    } else if v4 >= share(16) || v6 >= share(32) {
        Width::Wide
    } else {
        Width::Usual
    }
}

/// How much of a family's addresses they cover, private ones apart, of 2^127.
fn public_share(networks: &[Network], v4: bool) -> u128 {
    let private = PRIVATE.map(|(address, prefix)| Network { address, prefix });
    let own: BTreeSet<Network> = networks
        .iter()
        .copied()
        .filter(|network| network.address.is_ipv4() == v4)
        .filter(|network| !private.iter().any(|private| network.is_within(*private)))
        .collect();
    own.iter()
        .filter(|network| {
            // One that lies in another counts with that.
            !own.iter()
                .any(|other| *other != **network && network.is_within(*other))
        })
        .map(|network| 1_u128 << 127_u32.saturating_sub(network.prefix.into()))
        .fold(0, u128::saturating_add)
}

/// An address of each family that is in none of these networks, of those set apart for
/// documentation (RFC 5737, RFC 3849, RFC 9637).
pub(super) fn outsiders(networks: &[Network]) -> Vec<IpAddr> {
    let v4 = [[198, 51, 100, 7], [203, 0, 113, 7], [192, 0, 2, 7]].map(IpAddr::from);
    let v6 = [
        // In a closed drop-in, 2001:db8::/32 is inside.
        Ipv6Addr::new(0x3fff, 0xff, 0, 0, 0, 0, 0, 7),
        Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 7),
    ]
    .map(IpAddr::from);
    let outside = |address: &&IpAddr| !networks.iter().any(|n| n.contains(**address));
    [v4.iter().find(outside), v6.iter().find(outside)]
        .into_iter()
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Network, Width, opened_by, outsiders, parse, width};

    #[test]
    fn network_contains_its_own_addresses_only() {
        for (network, inside, outside) in [
            ("10.0.0.0/24", "10.0.0.255", "10.0.1.0"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("10.0.0.1/32", "10.0.0.1", "10.0.0.2"),
            ("fd00::/64", "fd00::ffff:ffff:ffff:ffff", "fd00:0:0:1::"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
        ] {
            let network = Network::parse(network).unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network}");
            assert!(!network.contains(outside.parse().unwrap()), "{network}");
        }
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "fd00::/129",
            "a/8",
            "10.0.0/8",
            "10.0.0.1/24",
            "0.0.0.1/0",
            "fd00::1/64",
            "::ffff:10.0.0.0/120",
            "::ffff:0:0/96",
        ] {
            assert!(Network::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn internet_is_recognized_however_it_is_split() {
        let quarters = (0..4).map(|i| format!("{}.0.0.0/2", i * 64));
        let eighths: Vec<String> = (0..256).map(|i| format!("{i}.0.0.0/8")).collect();
        for list in [
            "0.0.0.0/0".to_owned(),
            "::/0".to_owned(),
            "2000::/3".to_owned(),
            "0.0.0.0/1".to_owned(),
            "0.0.0.0/1,128.0.0.0/1".to_owned(),
            quarters.collect::<Vec<_>>().join(","),
            eighths.join(","),
            "10.0.0.0/24,8.0.0.0/7".to_owned(),
            "2000::/12".to_owned(),
        ] {
            assert_eq!(width(&parse(&list).unwrap()), Width::Internet, "{list}");
        }
        for (list, expected) in [
            (
                "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fd00::/8,fc00::/7",
                Width::Usual,
            ),
            ("198.18.0.0/24,2001:db8:1::/48", Width::Usual),
            ("8.8.0.0/16", Width::Wide),
            ("8.8.0.0/17,8.8.128.0/17", Width::Wide),
            ("8.8.0.0/17,8.8.0.0/24,8.8.0.0/25", Width::Usual),
            ("2001:db8::/32", Width::Wide),
        ] {
            assert_eq!(width(&parse(list).unwrap()), expected, "{list}");
        }
    }

    #[test]
    fn outsider_of_each_family_is_outside() {
        let shown = |list: &str| {
            let outsiders = outsiders(&parse(list).unwrap());
            outsiders
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(shown("10.0.0.0/24"), ["198.51.100.7", "3fff:ff::7"]);
        assert_eq!(
            shown("198.51.100.0/24,3fff::/20"),
            ["203.0.113.7", "2001:db8:ffff::7"]
        );
        assert_eq!(shown("::/0"), ["198.51.100.7"]);
    }

    #[test]
    fn match_line_is_read_as_sshd_reads_it() {
        let opened = |line: &str| opened_by(line).ok().map(|networks| networks.len());
        for (line, networks) in [
            ("Match User signer Address 10.0.0.0/24,FD00::/64", Some(2)),
            ("\tmatch  USER signer\taddress 10.0.0.0/24 ", Some(1)),
            (
                "Match User signer Address 192.0.2.0/24,2001:db8::/32",
                Some(0),
            ),
            ("Match User signer", Some(0)),
            ("match all", Some(0)),
            ("# Match whatever", Some(0)),
            ("    AllowUsers signer", Some(0)),
            ("Match Address 10.0.0.0/24 User signer", None),
            ("Match User=signer Address=10.0.0.0/24", None),
            ("Match User \"signer\"", None),
            ("Match=User signer", None),
            ("Match User signer Address 10.0.0.0/24,*", None),
        ] {
            assert_eq!(opened(line), networks, "{line}");
        }
    }
}
