//! A signer's place: `user@host:port`, of characters that no command line takes for more.

use std::fmt;
use std::net::Ipv6Addr;

/// The account that signers have by default.
const USER: &str = "signer";
/// ssh's port.
const PORT: u16 = 22;

/// Where a signer is reached.
///
/// [`Target::parse`] and [`Target::at_client_url`] are its only constructors, so that user and
/// host can stand in an argument list: neither begins with a hyphen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    user: String,
    host: String,
    port: u16,
}

impl Target {
    /// Takes `[user@]host[:port]`; an IPv6 address with a port is in brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (user, place) = text.split_once('@').unwrap_or((USER, text));
        let (host, port) = split_port(place)?;
        (is_user(user) && is_host(host)).then(|| Self {
            user: user.to_owned(),
            host: host.to_owned(),
            port,
        })
    }

    /// The same account and port, on the host of an etcd member's client URL.
    #[must_use]
    pub fn at_client_url(&self, url: &str) -> Option<Self> {
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"))?;
        let (host, port) = rest.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        is_host(host).then(|| Self {
            user: self.user.clone(),
            host: host.to_owned(),
            port: self.port,
        })
    }

    /// The account.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The host: a name or an address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// ssh's port there.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, host, port } = self;
        match (host.contains(':'), *port) {
            (_, PORT) => write!(f, "{user}@{host}"),
            (false, port) => write!(f, "{user}@{host}:{port}"),
            (true, port) => write!(f, "{user}@[{host}]:{port}"),
        }
    }
}

fn split_port(place: &str) -> Option<(&str, u16)> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        match rest {
            "" => (host, None),
            rest => (host, Some(rest.strip_prefix(':')?)),
        }
    } else if place.parse::<Ipv6Addr>().is_ok() {
        (place, None)
    } else {
        match place.split_once(':') {
            None => (place, None),
            Some((host, port)) => (host, Some(port)),
        }
    };
    let Some(port) = port else {
        return Some((host, PORT));
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| digits && *port != 0)?;
    Some((host, port))
}

fn is_user(user: &str) -> bool {
    (1..=32).contains(&user.len()) && user.bytes().all(is_plain) && !user.starts_with(['-', '.'])
}

fn is_host(host: &str) -> bool {
    let name = (1..=253).contains(&host.len())
        && host.bytes().all(is_plain)
        && !host.starts_with(['-', '.']);
    name || host.parse::<Ipv6Addr>().is_ok()
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn takes_users_hosts_and_ports() {
        for (text, user, host, port) in [
            ("leader", "signer", "leader", 22),
            ("signer@leader", "signer", "leader", 22),
            (
                "etcd_2@etcd-1.example.com:2222",
                "etcd_2",
                "etcd-1.example.com",
                2222,
            ),
            ("signer@10.0.0.1", "signer", "10.0.0.1", 22),
            ("signer@fd00::1", "signer", "fd00::1", 22),
            ("signer@[fd00::1]", "signer", "fd00::1", 22),
            ("signer@[fd00::1]:2222", "signer", "fd00::1", 2222),
        ] {
            let target = Target::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                (target.user(), target.host(), target.port()),
                (user, host, port)
            );
            assert_eq!(Target::parse(&target.to_string()), Some(target));
        }
    }

    #[test]
    fn refuses_what_ssh_would_take_for_more() {
        for text in [
            "",
            "@",
            "@leader",
            "signer@",
            "signer@-oProxyCommand=x",
            "-oProxyCommand=x@leader",
            "-x",
            "signer@leader:",
            "signer@leader:0",
            "signer@leader:65536",
            "signer@leader:+22",
            "signer@leader:22:22",
            "signer@a b",
            "signer@a;b",
            "signer@a/b",
            "signer@a@b",
            "signer@[leader]:22",
            "signer@[::1",
            "signer@[::1]22",
            "signer@[::1]:",
            "signer@leader\n",
            "ssh://signer@leader",
        ] {
            assert_eq!(Target::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn members_are_reached_as_the_first_signer_is() {
        let first = Target::parse("sig@leader:2222").unwrap();
        for (url, host) in [
            ("https://10.0.0.2:2379", "10.0.0.2"),
            ("http://etcd-2:2379", "etcd-2"),
            ("https://[fd00::2]:2379", "fd00::2"),
        ] {
            let member = first.at_client_url(url).unwrap();
            assert_eq!(
                (member.user(), member.host(), member.port()),
                ("sig", host, 2222)
            );
        }
        for url in [
            "",
            "10.0.0.2:2379",
            "https://10.0.0.2",
            "https://-x:1",
            "https://a/b:1",
        ] {
            assert_eq!(first.at_client_url(url), None, "{url}");
        }
    }
}
