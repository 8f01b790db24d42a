//! Where setup puts what it makes.

pub(super) use crate::system::paths::{
    ETCD_ENVIRONMENT as ENVIRONMENT, ETCDCTL_ENVIRONMENT as CLIENT_ENVIRONMENT,
};

pub(super) const PKI: &str = "/etc/etcd/pki";
pub(super) const CA_CERTIFICATE: &str = "/etc/etcd/pki/ca.crt";
pub(super) const CA_KEY: &str = "/etc/etcd/pki/ca.key";
pub(super) const MEMBER_CERTIFICATE: &str = "/etc/etcd/pki/member.crt";
pub(super) const MEMBER_KEY: &str = "/etc/etcd/pki/member.key";

/// The folder of etcd's settings and of [`PKI`].
pub(super) const ETC: &str = "/etc/etcd";
/// The drop-in of etcd's unit, and its folder.
pub(super) const UNIT: &str = "/etc/systemd/system/etcd.service.d/etcd-signer.conf";
pub(super) const UNIT_FOLDER: &str = "/etc/systemd/system/etcd.service.d";
pub(super) const SERVICE: &str = "etcd.service";
/// What renews members' certificates, on a signer, and fetches this member's own.
pub(super) const RENEW_TIMER: &str = "etcd-signer-member-renew.timer";
pub(super) const FETCH_TIMER: &str = "etcd-signer-member-fetch.timer";

/// etcd's home, which may be a mount point, and the data of this member below it.
pub(super) const HOME: &str = "/var/lib/etcd";
pub(super) const DATA: &str = "/var/lib/etcd/cluster";
/// Where Debian's package lets an etcd of one member begin.
pub(super) const PACKAGE_DATA: &str = "/var/lib/etcd/default";

/// Setup's own state.
pub(super) const STATE: &str = "/var/lib/etcd-signer";
/// Key and request, between the two steps of `--csr-out`.
pub(super) const PENDING_KEY: &str = "/var/lib/etcd-signer/join/member.key";
pub(super) const PENDING: &str = "/var/lib/etcd-signer/join";
/// What is moved aside instead of removed.
pub(super) const ASIDE: &str = "/var/lib/etcd-signer/aside";
pub(super) const LOG: &str = "/var/log/etcd-signer-first-boot.log";
pub(super) const LOCK: &str = "/run/etcd-signer-first-boot.lock";
/// Keys and certificates before they are installed. In memory, so that a key in it does not
/// outlive the host's next start.
pub(super) const WORK: &str = "/run/etcd-signer-setup";
pub(super) const DRY_WORK: &str = "/run/etcd-signer-setup-dry-run";
