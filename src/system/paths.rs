//! Paths that more than one program knows.

/// What an unfinished run of `etcd-signer-setup init` or `join` did, and how it is taken back.
pub(crate) const SETUP_JOURNAL: &str = "/var/lib/etcd-signer/first-boot.undo";

/// That `etcd-signer-setup leave` has begun, and how far it got.
pub(crate) const SETUP_LEAVING: &str = "/var/lib/etcd-signer/leaving";

/// That `etcd-signer-setup init` or `join` has finished, and when.
pub(crate) const SETUP_DONE: &str = "/var/lib/etcd-signer/first-boot.done";

/// etcd's settings, for its unit, as `etcd-signer-setup` writes them.
pub(crate) const ETCD_ENVIRONMENT: &str = "/etc/etcd/etcd.env";

/// The settings of etcdctl, for the operator.
pub(crate) const ETCDCTL_ENVIRONMENT: &str = "/etc/etcd/etcdctl.env";
