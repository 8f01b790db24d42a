//! Paths that more than one program knows.

/// What an unfinished run of `etcd-signer-setup init` or `join` did, and how it is taken back.
pub(crate) const SETUP_JOURNAL: &str = "/var/lib/etcd-signer/first-boot.undo";

/// That `etcd-signer-setup leave` has begun, and how far it got.
pub(crate) const SETUP_LEAVING: &str = "/var/lib/etcd-signer/leaving";

/// That `etcd-signer-setup init` or `join` has finished, and when.
pub(crate) const SETUP_DONE: &str = "/var/lib/etcd-signer/first-boot.done";
