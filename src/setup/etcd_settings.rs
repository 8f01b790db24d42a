//! The settings that etcd, its unit and etcdctl are given, as setup writes them.

use super::paths::{
    CA_CERTIFICATE, CLIENT_ENVIRONMENT, DATA, ENVIRONMENT, HOME, MEMBER_CERTIFICATE, MEMBER_KEY,
    UNIT,
};
use crate::pki::member_host::MEMBER;
use std::net::{IpAddr, SocketAddr};

/// etcd's ports for clients and for peers (registered with IANA), and the one that its
/// documentation uses for metrics.
pub(super) const CLIENT_PORT: u16 = 2379;
pub(super) const PEER_PORT: u16 = 2380;
pub(super) const METRICS_PORT: u16 = 2381;

/// `https://ADDRESS:PORT` of each address.
pub(super) fn urls(addresses: &[IpAddr], port: u16) -> Vec<String> {
    addresses
        .iter()
        .map(|address| format!("https://{}", SocketAddr::new(*address, port)))
        .collect()
}

/// How a member meets the others for the first time.
pub(super) enum Cluster<'a> {
    /// It is the first member of a new one, with a token of its own: two clusters never have the
    /// same ID.
    New { token: String },
    /// These members, as `name=URL`.
    Existing { initial: &'a [String] },
}

/// What is in etcd's environment.
pub(super) fn environment(name: &str, addresses: &[IpAddr], cluster: &Cluster<'_>) -> String {
    let client_urls = urls(addresses, CLIENT_PORT);
    let peer_urls = urls(addresses, PEER_PORT);
    let own = peer_urls.iter().map(|url| format!("{name}={url}"));
    let (initial, state, token) = match cluster {
        Cluster::New { token } => (
            own.collect::<Vec<_>>(),
            "new",
            format!("ETCD_INITIAL_CLUSTER_TOKEN={token}\n"),
        ),
        Cluster::Existing { initial } => (
            initial.iter().cloned().chain(own).collect(),
            "existing",
            String::new(),
        ),
    };
    let mut listen = client_urls.clone();
    listen.push(format!("https://127.0.0.1:{CLIENT_PORT}"));
    format!(
        "# etcd's settings, written by etcd-signer-setup; read by etcd.service ({UNIT}).\n\
         ETCD_NAME={name}\n\
         ETCD_DATA_DIR={DATA}\n\
         ETCD_LISTEN_CLIENT_URLS={listen}\n\
         ETCD_ADVERTISE_CLIENT_URLS={client}\n\
         ETCD_LISTEN_PEER_URLS={peer}\n\
         ETCD_INITIAL_ADVERTISE_PEER_URLS={peer}\n\
         # For Prometheus on this host: metrics and health, without a certificate, and nothing else.\n\
         ETCD_LISTEN_METRICS_URLS=http://127.0.0.1:{METRICS_PORT}\n\
         # How this member first met the others. Not looked at again once it has data.\n\
         ETCD_INITIAL_CLUSTER={initial}\n\
         ETCD_INITIAL_CLUSTER_STATE={state}\n\
         {token}\
         # TLS alone, 1.2 at least (etcd's own floor), and nobody without a certificate of our CA.\n\
         ETCD_CERT_FILE={MEMBER_CERTIFICATE}\n\
         ETCD_KEY_FILE={MEMBER_KEY}\n\
         ETCD_TRUSTED_CA_FILE={CA_CERTIFICATE}\n\
         ETCD_CLIENT_CERT_AUTH=true\n\
         ETCD_PEER_CERT_FILE={MEMBER_CERTIFICATE}\n\
         ETCD_PEER_KEY_FILE={MEMBER_KEY}\n\
         ETCD_PEER_TRUSTED_CA_FILE={CA_CERTIFICATE}\n\
         ETCD_PEER_CLIENT_CERT_AUTH=true\n\
         # Masters' certificates are of the same CA. This keeps them off the peer port.\n\
         ETCD_PEER_CERT_ALLOWED_CN={MEMBER}\n",
        listen = listen.join(","),
        client = client_urls.join(","),
        peer = peer_urls.join(","),
        initial = initial.join(","),
    )
}

/// What is in etcdctl's environment.
pub(super) fn client_environment(endpoints: &[String]) -> String {
    format!(
        "# For etcdctl, as root:  set -a; . {CLIENT_ENVIRONMENT}; etcdctl member list\n\
         ETCDCTL_API=3\n\
         ETCDCTL_ENDPOINTS={}\n\
         ETCDCTL_CACERT={CA_CERTIFICATE}\n\
         ETCDCTL_CERT={MEMBER_CERTIFICATE}\n\
         ETCDCTL_KEY={MEMBER_KEY}\n",
        endpoints.join(",")
    )
}

/// The drop-in of etcd's unit.
pub(super) fn unit() -> String {
    format!(
        "# Written by etcd-signer-setup: this host is a member of a cluster, with these settings.\n\
         [Unit]\n\
         RequiresMountsFor={HOME}\n\
         \n\
         [Service]\n\
         EnvironmentFile={ENVIRONMENT}\n\
         # A member that stops for whatever reason is to come back.\n\
         Restart=always\n\
         RestartSec=2\n"
    )
}

#[cfg(test)]
mod tests {
    use super::{Cluster, environment};
    use crate::system::environment_file::parse;

    #[test]
    fn first_member_listens_on_each_of_its_addresses() {
        let addresses = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let token = "t".to_owned();
        let text = environment("n1", &addresses, &Cluster::New { token });
        let settings = parse(&text);
        for (name, value) in [
            (
                "ETCD_LISTEN_CLIENT_URLS",
                "https://10.0.0.1:2379,https://[fd00::1]:2379,https://127.0.0.1:2379",
            ),
            (
                "ETCD_ADVERTISE_CLIENT_URLS",
                "https://10.0.0.1:2379,https://[fd00::1]:2379",
            ),
            (
                "ETCD_INITIAL_CLUSTER",
                "n1=https://10.0.0.1:2380,n1=https://[fd00::1]:2380",
            ),
            ("ETCD_INITIAL_CLUSTER_STATE", "new"),
            ("ETCD_INITIAL_CLUSTER_TOKEN", "t"),
            ("ETCD_CLIENT_CERT_AUTH", "true"),
            ("ETCD_PEER_CERT_ALLOWED_CN", "etcd-member"),
        ] {
            assert_eq!(settings.get(name), Some(&value), "{text}");
        }
    }

    #[test]
    fn joining_member_is_the_last_of_the_list() {
        let initial = ["n1=https://10.0.0.1:2380".to_owned()];
        let text = environment(
            "n2",
            &["10.0.0.2".parse().unwrap()],
            &Cluster::Existing { initial: &initial },
        );
        let settings = parse(&text);
        assert_eq!(
            settings.get("ETCD_INITIAL_CLUSTER"),
            Some(&"n1=https://10.0.0.1:2380,n2=https://10.0.0.2:2380")
        );
        assert_eq!(
            settings.get("ETCD_INITIAL_CLUSTER_STATE"),
            Some(&"existing")
        );
        assert_eq!(settings.get("ETCD_INITIAL_CLUSTER_TOKEN"), None);
    }
}
