//! The IP addresses of this host.

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address of this host, with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnAddress {
    pub(crate) address: IpAddr,
    /// 32 or 128 for an address that is in no network, as of a point-to-point link.
    pub(crate) prefix: u8,
}

/// All addresses of this host's interfaces. None if the kernel does not tell.
pub(crate) fn own() -> Vec<OwnAddress> {
    let Ok(interfaces) = getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter_map(|interface| {
            let address = ip(&interface.address?)?;
            let prefix = match interface.netmask.as_ref().and_then(ip) {
                Some(IpAddr::V4(mask)) => mask.to_bits().leading_ones(),
                Some(IpAddr::V6(mask)) => mask.to_bits().leading_ones(),
                None if address.is_ipv4() => Ipv4Addr::BITS,
                None => Ipv6Addr::BITS,
            };
            let prefix = u8::try_from(prefix).ok()?;
            Some(OwnAddress { address, prefix })
        })
        .collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
}

impl OwnAddress {
    /// The network that the address is in, as `10.0.0.0/24`. `None` for an address that is in no
    /// network.
    pub(crate) fn network(&self) -> Option<String> {
        let prefix = u32::from(self.prefix);
        let network = match self.address {
            IpAddr::V4(v4) => {
                let host_bits = Ipv4Addr::BITS
                    .checked_sub(prefix)
                    .filter(|bits| *bits > 0)?;
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::from(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let host_bits = Ipv6Addr::BITS
                    .checked_sub(prefix)
                    .filter(|bits| *bits > 0)?;
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::from(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Some(format!("{network}/{prefix}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{OwnAddress, own};
    use std::net::IpAddr;

    #[test]
    fn network_is_the_address_without_its_host_bits() {
        for (address, prefix, network) in [
            ("10.0.1.77", 24, Some("10.0.1.0/24")),
            ("10.0.1.77", 20, Some("10.0.0.0/20")),
            ("10.0.1.77", 32, None),
            ("fd00::1:2:3", 64, Some("fd00::/64")),
            ("fd00::1:2:3", 128, None),
        ] {
            let address = address.parse().unwrap();
            let own = OwnAddress { address, prefix };
            assert_eq!(own.network().as_deref(), network, "{own:?}");
        }
    }

    #[test]
    fn loopback_is_found_with_its_prefix() {
        let loopback = OwnAddress {
            address: IpAddr::from([127, 0, 0, 1]),
            prefix: 8,
        };
        assert!(own().contains(&loopback), "{:?}", own());
    }
}
