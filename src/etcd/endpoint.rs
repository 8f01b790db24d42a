//! An etcd endpoint: the address to connect to, and the name that its certificate must contain.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The one host name that needs no resolver (RFC 6761, section 6.3).
const LOCALHOST: &str = "localhost";

/// An https URL of an IP address, or of `localhost`, with a port.
///
/// No other host name is accepted: a static executable has no resolver, and the name service may
/// be unavailable when etcd has to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: EndpointHost,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum EndpointHost {
    Address(IpAddr),
    Localhost,
}

impl Endpoint {
    /// etcd on this host, where it listens by default.
    pub const LOCAL: Self = Self {
        host: EndpointHost::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: 2379,
    };

    /// Parses `https://<address>:<port>`, with an IPv6 address in brackets; a `/` may follow.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("https://")?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if let Ok(address) = authority.parse::<SocketAddr>() {
            // The zone (fe80::1%2) would be lost.
            let zone = matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0);
            return (!zone && address.port() != 0).then_some(Self {
                host: EndpointHost::Address(address.ip()),
                port: address.port(),
            });
        }
        let port = authority.strip_prefix(LOCALHOST)?.strip_prefix(':')?;
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port != 0)?;
        Some(Self {
            host: EndpointHost::Localhost,
            port,
        })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The addresses to try, in this order.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let hosts = match self.host {
            EndpointHost::Address(address) => vec![address],
            EndpointHost::Localhost => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        };
        hosts
            .into_iter()
            .map(|host| SocketAddr::new(host, self.port))
            .collect()
    }

    /// The name or address that the server's certificate must be for.
    #[must_use]
    pub fn server_name(&self) -> String {
        match self.host {
            EndpointHost::Address(address) => address.to_string(),
            EndpointHost::Localhost => LOCALHOST.to_owned(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            EndpointHost::Address(address) => {
                write!(f, "https://{}", SocketAddr::new(address, self.port))
            }
            EndpointHost::Localhost => write!(f, "https://{LOCALHOST}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    fn addresses(url: &str) -> Vec<String> {
        let endpoint = Endpoint::parse(url).unwrap();
        endpoint
            .addresses()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn url_of_an_address_is_parsed() {
        assert_eq!(addresses("https://10.0.0.1:2379"), ["10.0.0.1:2379"]);
        assert_eq!(addresses("https://[fd00::1]:2379/"), ["[fd00::1]:2379"]);
        assert_eq!(
            addresses("https://localhost:2379"),
            ["127.0.0.1:2379", "[::1]:2379"]
        );
    }

    #[test]
    fn server_name_is_the_host() {
        let name = |url| Endpoint::parse(url).unwrap().server_name();
        assert_eq!(name("https://[fd00::1]:2379"), "fd00::1");
        assert_eq!(name("https://localhost:1/"), "localhost");
    }

    #[test]
    fn display_is_the_url() {
        for url in [
            "https://10.0.0.1:2379",
            "https://[::1]:1",
            "https://localhost:65535",
        ] {
            assert_eq!(Endpoint::parse(url).unwrap().to_string(), url);
        }
    }

    #[test]
    fn other_url_is_rejected() {
        for url in [
            "",
            "https://",
            "http://10.0.0.1:2379",
            "HTTPS://10.0.0.1:2379",
            "https://10.0.0.1",
            "https://10.0.0.1:0",
            "https://10.0.0.1:65536",
            "https://10.0.0.01:2379",
            "https://10.1:2379",
            "https://::1:2379",
            "https://[fe80::1%1]:2379",
            "https://etcd-1:2379",
            "https://localhost",
            "https://localhost:",
            "https://localhost:+1",
            "https://localhost.:2379",
            "https://user@10.0.0.1:2379",
            "https://10.0.0.1:2379/v3",
            "https://10.0.0.1:2379//",
            "https://10.0.0.1:2379?x",
            "https://10.0.0.1:2379 ",
        ] {
            assert_eq!(Endpoint::parse(url), None, "{url}");
        }
    }
}
