//! The TCP sockets that processes listen on, as the kernel's tables have them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The state TCP_LISTEN, as /proc/net/tcp has it (proc_pid_net(5)).
const LISTEN: &str = "0A";

/// A listening TCP socket.
pub(crate) struct ListeningSocket {
    pub(crate) address: SocketAddr,
    pub(crate) inode: String,
}

/// The listening sockets in the network namespace of a process, by its folder in /proc.
pub(crate) fn listening(process: &Path) -> Vec<ListeningSocket> {
    // A kernel without IPv6 has no table for it.
    ["net/tcp", "net/tcp6"]
        .iter()
        .flat_map(|table| {
            let text = fs::read_to_string(process.join(table)).unwrap_or_default();
            let found: Vec<ListeningSocket> = text.lines().filter_map(listening_socket).collect();
            found
        })
        .collect()
}

/// The inodes of a process's sockets.
///
/// # Errors
/// Only root may look at the descriptors of another user's process.
pub(crate) fn inodes(process: &Path) -> io::Result<BTreeSet<String>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(process.join("fd"))? {
        let target = fs::read_link(entry?.path()).unwrap_or_default();
        let inode = target
            .to_str()
            .and_then(|target| target.strip_prefix("socket:["))
            .and_then(|rest| rest.strip_suffix(']'));
        inodes.extend(inode.map(str::to_owned));
    }
    Ok(inodes)
}

/// The name of a process that listens on a port, whatever the address. `None` if none does; empty
/// if it cannot be told which.
pub(crate) fn listener(port: u16) -> Option<String> {
    let taken: BTreeSet<String> = listening(Path::new("/proc/self"))
        .into_iter()
        .filter(|socket| socket.address.port() == port)
        .map(|socket| socket.inode)
        .collect();
    if taken.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut names = processes.filter_map(|entry| {
        let folder = entry.path();
        let inodes = inodes(&folder).ok()?;
        let name = fs::read_to_string(folder.join("comm")).ok()?;
        (!inodes.is_disjoint(&taken)).then(|| name.trim_end().to_owned())
    });
    Some(names.next().unwrap_or_default())
}

fn listening_socket(line: &str) -> Option<ListeningSocket> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, state, _, _, _, _, _, inode, ..] = fields.as_slice() else {
        return None;
    };
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (*state == LISTEN).then_some(ListeningSocket {
        address: SocketAddr::new(ip(address)?, port),
        inode: (*inode).to_owned(),
    })
}

/// An address as the kernel prints it: in words of 32 bits, each as the processor reads it.
fn ip(hex: &str) -> Option<IpAddr> {
    let mut octets = Vec::new();
    for word in hex.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        octets.extend(word.to_ne_bytes());
    }
    if let Ok(v4) = <[u8; 4]>::try_from(octets.as_slice()) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = <[u8; 16]>::try_from(octets.as_slice()).ok()?;
    Some(Ipv6Addr::from(v6).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::{ip, listener, listening_socket};
    use std::net::{IpAddr, TcpListener};

    #[test]
    fn kernel_table_is_read_as_the_kernel_writes_it() {
        let table = |listener: &TcpListener, name: &str| {
            let address = listener.local_addr().unwrap();
            let text = std::fs::read_to_string(name).unwrap();
            let found = text.lines().filter_map(listening_socket);
            assert_eq!(found.filter(|found| found.address == address).count(), 1);
        };
        let v4 = TcpListener::bind("127.1.2.3:0").unwrap();
        table(&v4, "/proc/self/net/tcp");
        if let Ok(v6) = TcpListener::bind("[::1]:0") {
            table(&v6, "/proc/self/net/tcp6");
        }
        let mapped = ip("0000000000000000FFFF00000100007F");
        if cfg!(target_endian = "little") {
            assert_eq!(mapped, Some(IpAddr::from([127, 0, 0, 1])));
        }
        assert_eq!(ip(""), None);
        assert_eq!(ip("0G00007F"), None);
    }

    #[test]
    fn process_that_listens_is_named() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let own = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(listener(port).as_deref(), Some(own.trim_end()));
        drop(socket);
        assert_eq!(listener(port), None);
    }
}
