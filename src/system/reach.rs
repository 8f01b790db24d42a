//! From where a host can be connected to, as far as its name or address tells.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From where a host can be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From anywhere, for all that is known.
    Anywhere,
    /// From itself.
    OwnHost,
    /// From nowhere: it is not the address of a host.
    Nowhere,
}

/// From where a host can be connected to: a name or an address, IPv6 with brackets or without.
///
/// A member of etcd that listens on every address often advertises that, too: `0.0.0.0` is where
/// one listens, and never where one connects to (RFC 1122, section 3.2.1.3). Linux connects to
/// the host itself all the same, so that whoever is given it asks a wrong host, or none. An IPv4
/// address in fewer than four parts, or in another base than ten, is not read alike everywhere.
pub(crate) fn of_host(host: &str) -> Reach {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let v4 = bare.parse().map(|v4: Ipv4Addr| IpAddr::V4(v4));
    let v6 = bare.parse().map(|v6: Ipv6Addr| v6.to_canonical());
    match v4.or(v6).ok() {
        Some(IpAddr::V4(v4)) if v4.octets().starts_with(&[0]) => Reach::Nowhere,
        Some(IpAddr::V4(v4)) if v4.is_broadcast() => Reach::Nowhere,
        Some(ip) if ip.is_unspecified() || ip.is_multicast() => Reach::Nowhere,
        Some(ip) if ip.is_loopback() => Reach::OwnHost,
        Some(_) => Reach::Anywhere,
        None if is_numeric(host) => Reach::Nowhere,
        None if host.eq_ignore_ascii_case("localhost") => Reach::OwnHost,
        None => Reach::Anywhere,
    }
}

/// Whether resolvers would take a host for a number rather than for a name.
fn is_numeric(host: &str) -> bool {
    let last = host.rsplit('.').find(|label| !label.is_empty());
    last.is_some_and(|label| {
        let is_hex = label.starts_with("0x") || label.starts_with("0X");
        is_hex || label.bytes().all(|byte| byte.is_ascii_digit())
    })
}
