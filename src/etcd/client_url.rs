//! Client URLs from a server: whether they may be printed, and who can connect to them.

use crate::system::reach::{self, Reach};
use std::net::Ipv6Addr;

/// The longest URL: scheme, a name of 253 bytes (RFC 1035), and port.
const LONGEST: usize = 272;

/// Whether this is an http or https URL that consists of host and port.
///
/// etcd accepts no other client URLs. None of the allowed characters has a special meaning in a
/// terminal, a shell or a comma-separated list.
pub(super) fn is_client_url(url: &str) -> bool {
    let Some(rest) = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
    else {
        return false;
    };
    let Some((host, port)) = rest.rsplit_once(':') else {
        return false;
    };
    url.len() <= LONGEST && is_host(host) && is_port(port)
}

/// From where a URL that [`is_client_url`] can be connected to.
pub(super) fn reach(url: &str) -> Reach {
    let host = url
        .split_once("://")
        .and_then(|(_, rest)| rest.rsplit_once(':'))
        .map_or("", |(host, _)| host);
    reach::of_host(host)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|number| number != 0)
}

#[cfg(test)]
mod tests {
    use super::{is_client_url, reach};
    use crate::system::reach::Reach;

    #[test]
    fn knows_who_can_connect() {
        for (url, from) in [
            ("https://10.0.0.1:2379", Reach::Anywhere),
            ("https://[fd00::1]:2379", Reach::Anywhere),
            ("https://etcd-1:2379", Reach::Anywhere),
            ("https://0x.example:2379", Reach::Anywhere),
            ("https://127.0.0.1:2379", Reach::OwnHost),
            ("https://127.9.9.9:2379", Reach::OwnHost),
            ("https://[::1]:2379", Reach::OwnHost),
            ("https://[::ffff:127.0.0.1]:2379", Reach::OwnHost),
            ("https://LocalHost:2379", Reach::OwnHost),
            ("https://0.0.0.0:2379", Reach::Nowhere),
            ("https://0.0.0.1:2379", Reach::Nowhere),
            ("https://[::]:2379", Reach::Nowhere),
            ("https://[0:0::0]:2379", Reach::Nowhere),
            ("https://[::ffff:0.0.0.0]:2379", Reach::Nowhere),
            ("https://0:2379", Reach::Nowhere),
            ("https://0x0:2379", Reach::Nowhere),
            ("https://0.0:2379", Reach::Nowhere),
            ("https://00.0.0.0:2379", Reach::Nowhere),
            ("https://0.0.0.0.:2379", Reach::Nowhere),
            ("https://127.1:2379", Reach::Nowhere),
            ("https://255.255.255.255:2379", Reach::Nowhere),
            ("https://224.0.0.1:2379", Reach::Nowhere),
            ("https://[ff02::1]:2379", Reach::Nowhere),
        ] {
            assert!(is_client_url(url), "{url}");
            assert_eq!(reach(url), from, "{url}");
        }
    }

    #[test]
    fn client_url_of_etcd_is_accepted() {
        for url in [
            "https://10.0.0.1:2379",
            "http://127.0.0.1:2379",
            "https://etcd-1.example.com:2379",
            "https://etcd_1:2379",
            "https://[fd00::1]:2379",
        ] {
            assert!(is_client_url(url), "{url}");
        }
    }

    #[test]
    fn other_url_is_rejected() {
        for url in [
            "",
            "10.0.0.1:2379",
            "https://",
            "https://:2379",
            "https://10.0.0.1",
            "https://10.0.0.1:",
            "https://10.0.0.1:0",
            "https://10.0.0.1:+1",
            "https://10.0.0.1:65536",
            "https://10.0.0.1:2379/",
            "https://10.0.0.1:2379\n",
            "https://a\nb:2379",
            "https://a\x1b[31m:2379",
            "https://\u{202e}a:2379",
            "https://a,b:2379",
            "https://$(id):2379",
            "https://a b:2379",
            "https://u@a:2379",
            "https://a%20:2379",
            "https://[::1:2379",
            "https://[::1%25eth0]:2379",
            "https://::1:2379",
            "unix:///tmp/x:2379",
            "ftp://a:2379",
        ] {
            assert!(!is_client_url(url), "{url:?}");
        }
        assert!(!is_client_url(&format!("https://{}:1", "a".repeat(300))));
    }
}
