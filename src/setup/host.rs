//! Everything about this host that can be known before the first change.

use super::error::{SetupError, refuse};
use super::etcd_settings::{CLIENT_PORT, METRICS_PORT, PEER_PORT};
use super::etcdctl;
use super::paths::{
    CA_CERTIFICATE, CA_KEY, CLIENT_ENVIRONMENT, DATA, ENVIRONMENT, MEMBER_CERTIFICATE, MEMBER_KEY,
    PACKAGE_DATA, PKI, SERVICE, UNIT,
};
use super::tool::is_active;
use crate::system::account::SIGNER;
use crate::system::addresses::{self, OwnAddress};
use crate::system::sockets;
use crate::system::sshd::{INCLUDE, SshdSettings};
use rustix::fs::{Access, access, statvfs};
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

/// Free space that etcd and the settings need, in MiB.
const DATA_MEBIBYTES: u64 = 100;
const SETTINGS_MEBIBYTES: u64 = 1;

/// An address of the documentation's networks (RFC 5737, RFC 3849): the way to it is the way to
/// other networks. Nothing is sent there.
const ELSEWHERE: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];

/// The programs that setup runs, and the package that has each.
const PROGRAMS: &[(&str, &str)] = &[
    ("etcd", "etcd-server"),
    ("etcdctl", "etcd-client"),
    ("systemctl", "systemd"),
    ("ssh", "openssh-client"),
    ("sshd", "openssh-server"),
    ("etcd-signer", "etcd-signer"),
    ("etcd-signer-endpoint", "etcd-signer"),
    ("etcd-signer-lock", "etcd-signer"),
];

/// Whether all programs are there.
///
/// # Errors
/// [`SetupError::Refused`], with the package to install.
pub(super) fn check_programs() -> Result<(), SetupError> {
    for (program, package) in PROGRAMS {
        let is_there = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).exists());
        if !is_there {
            refuse!("{program} is missing: install it (apt-get install {package})");
        }
    }
    Ok(())
}

/// The host's name without its domain, in lower case.
pub(super) fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let label = name.split('.').next().unwrap_or_default();
    label.to_ascii_lowercase()
}

/// The addresses that this member gets: those that were given, or the one that is used towards the
/// leader, or towards other networks.
///
/// # Errors
/// [`SetupError::Refused`], for an address that this host does not have or that peers cannot reach.
pub(super) fn own_addresses(
    given: &[IpAddr],
    leader: Option<IpAddr>,
) -> Result<Vec<OwnAddress>, SetupError> {
    let own = addresses::own();
    let chosen = if given.is_empty() {
        let towards: Vec<SocketAddr> = match leader {
            Some(leader) => vec![SocketAddr::new(leader, 9)],
            None => ELSEWHERE.iter().filter_map(|to| to.parse().ok()).collect(),
        };
        let routed = towards.into_iter().find_map(source_towards);
        let first = || own.iter().map(|own| own.address).find(is_reachable);
        match routed.or_else(first) {
            Some(address) => vec![address],
            None => refuse!("this host has no address that others can reach: use --address"),
        }
    } else {
        given.to_vec()
    };
    let both = |test: fn(&IpAddr) -> bool| chosen.iter().filter(|a| test(a)).count() > 1;
    if both(IpAddr::is_ipv4) || both(IpAddr::is_ipv6) {
        refuse!("--address: give one IPv4 address, one IPv6 address, or one of each");
    }
    chosen
        .into_iter()
        .map(|address| {
            if !is_reachable(&address) {
                refuse!("address {address}: peers cannot reach it (--address)");
            }
            if leader == Some(address) {
                refuse!("--signer-ip {address}: that is this host");
            }
            let found = own.iter().find(|own| own.address == address);
            let Some(found) = found else {
                refuse!("address {address}: this host does not have it (ip address)");
            };
            Ok(*found)
        })
        .collect()
}

/// Whether an address of an interface can be one that others connect to, without a zone.
fn is_reachable(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast() && !is_link_local
}

/// The address that packets to another get. The kernel chooses it; nothing is sent.
fn source_towards(to: SocketAddr) -> Option<IpAddr> {
    let any = match to {
        SocketAddr::V4(_) => "0.0.0.0:0",
        SocketAddr::V6(_) => "[::]:0",
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

/// What setup finds on a host that it can be done on.
pub(super) struct Host {
    /// The etcd that Debian's package has started runs, and nobody has written to it.
    pub(super) etcd_is_untouched: bool,
}

/// Whether this host can become a member: nothing that it already is gets lost.
///
/// # Errors
/// [`SetupError::Refused`].
pub(super) fn check(addresses: &[IpAddr]) -> Result<Host, SetupError> {
    for path in [
        CA_KEY,
        CA_CERTIFICATE,
        MEMBER_KEY,
        MEMBER_CERTIFICATE,
        ENVIRONMENT,
        CLIENT_ENVIRONMENT,
        UNIT,
    ] {
        if Path::new(path).symlink_metadata().is_ok() {
            refuse!(
                "{path} exists: this host is a signer or a member already. If it is no \
                 longer, run 'etcd-signer-setup leave', or move {PKI} away, which may hold the only \
                 key to a cluster"
            );
        }
    }
    // Its folder belongs to the user etcd, who could lead root elsewhere.
    if Path::new(DATA).is_symlink() {
        refuse!(
            "{DATA} is a symbolic link: remove it; to have the data elsewhere, mount that there"
        );
    }
    require_empty(DATA)?;
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    if !accounts.lines().any(|line| line.starts_with("etcd:")) {
        refuse!("user etcd does not exist: install etcd-server");
    }
    check_defaults()?;
    let etcd_is_untouched = check_etcd(addresses)?;
    check_writable()?;
    check_space()?;
    Ok(Host { etcd_is_untouched })
}

fn require_empty(folder: &str) -> Result<(), SetupError> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        refuse!(
            "{folder} is not empty: it may be a member's data. If it is not needed any more, move it away"
        );
    }
    Ok(())
}

/// Debian's unit reads /etc/default/etcd, too.
fn check_defaults() -> Result<(), SetupError> {
    let text = fs::read_to_string("/etc/default/etcd").unwrap_or_default();
    let is_set = text.lines().any(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let arguments = line.strip_prefix("DAEMON_ARGS=");
        line.starts_with("ETCD_")
            || arguments.is_some_and(|value| !value.trim_matches(['"', '\'', ' ']).is_empty())
    });
    if is_set {
        refuse!("/etc/default/etcd contains settings: etcd has been configured here before");
    }
    Ok(())
}

/// Whether Debian's package has started an etcd that nobody has used.
fn check_etcd(addresses: &[IpAddr]) -> Result<bool, SetupError> {
    if is_active(SERVICE) {
        if !matches!(etcdctl::unprotected_revision(), Ok(1)) {
            refuse!(
                "an etcd that has been used is running here, and is not replaced (see 'systemctl \
                 status etcd')"
            );
        }
        return Ok(true);
    }
    require_empty(PACKAGE_DATA)?;
    for port in [CLIENT_PORT, PEER_PORT, METRICS_PORT] {
        match sockets::listener(port) {
            None => {}
            Some(name) if name.is_empty() => refuse!("port {port} is taken (ss -ltnp)"),
            Some(name) => refuse!("port {port} is taken by {name} (ss -ltnp)"),
        }
    }
    // An address that another host has, too, or that is still being checked for that, is not one
    // to listen on.
    for address in addresses {
        if let Err(error) = std::net::TcpListener::bind(SocketAddr::new(*address, CLIENT_PORT)) {
            refuse!("address {address}: nothing can listen on it ({error})");
        }
    }
    Ok(false)
}

/// A file system that is mounted read-only would be found in the middle of the work.
fn check_writable() -> Result<(), SetupError> {
    for folder in [
        "/etc",
        "/etc/systemd/system",
        "/etc/ssh/sshd_config.d",
        "/var/lib",
        "/var/log",
        "/run",
    ] {
        if Path::new(folder).exists()
            && let Err(errno) = access(folder, Access::WRITE_OK)
        {
            refuse!("{folder} cannot be written to ({errno}): mount it writable");
        }
    }
    Ok(())
}

fn check_space() -> Result<(), SetupError> {
    for (folder, needed) in [
        ("/var/lib/etcd", DATA_MEBIBYTES),
        ("/var/lib", SETTINGS_MEBIBYTES),
        ("/var/log", SETTINGS_MEBIBYTES),
        ("/etc", SETTINGS_MEBIBYTES),
    ] {
        let folder = if Path::new(folder).exists() {
            folder
        } else {
            "/var/lib"
        };
        let Ok(system) = statvfs(folder) else {
            continue;
        };
        let free = system.f_bavail.saturating_mul(system.f_frsize) / (1024 * 1024);
        if free < needed {
            refuse!("{folder} has {free} MiB left, and {needed} are needed: free some space");
        }
    }
    Ok(())
}

/// What sshd would do with a login of the signer's account from an address.
///
/// # Errors
/// [`SetupError::Refused`], if its settings have an error.
pub(super) fn sshd(address: IpAddr) -> Result<SshdSettings, SetupError> {
    match SshdSettings::ask(Path::new("/usr/sbin/sshd"), SIGNER, &address.to_string()) {
        Ok(settings) => Ok(settings),
        Err(why) => refuse!("sshd: {why}: correct that first"),
    }
}

/// The first port that sshd listens on.
pub(super) fn port(sshd: &SshdSettings) -> u16 {
    sshd.get("port")
        .and_then(|port| port.parse().ok())
        .unwrap_or(22)
}

/// Whether sshd reads the drop-in, and lets the account log in.
///
/// # Errors
/// [`SetupError::Refused`], with the line to change.
pub(super) fn check_sshd(sshd: &SshdSettings) -> Result<(), SetupError> {
    if !sshd
        .get("forcecommand")
        .is_some_and(|command| command.contains("etcd-signer"))
    {
        refuse!(
            "sshd does not read /etc/ssh/sshd_config.d/00-etcd-signer.conf: /etc/ssh/sshd_config \
             needs the line \"{INCLUDE}\" before its first Match line, and no drop-in before this \
             one may set ForceCommand for signer"
        );
    }
    if let Some(line) = sshd.exclusion_of(SIGNER) {
        refuse!("sshd would let no master log in: {line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::own_addresses;

    #[test]
    fn address_must_be_this_hosts_and_reachable() {
        for address in ["127.0.0.1", "0.0.0.0", "::1", "203.0.113.99", "fe80::1"] {
            let given = [address.parse().unwrap()];
            assert!(own_addresses(&given, None).is_err(), "{address}");
        }
    }
}
