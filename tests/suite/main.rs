//! The whole program, seen from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub
)]

mod backup;
mod ca_files;
mod ca_init;
mod check;
mod commands;
mod confinement;
mod docs;
mod environment;
mod harness;
mod layering;
mod limits;
mod member;
mod member_renew;
mod pages;
mod peers;
mod post_issuance;
mod profile;
mod properties;
mod renewer;
mod requests;
mod setup;
mod sshd;
mod static_build;
mod used_by;

/// The executable under test: the static release build, where `make test` names it.
fn signer_path() -> std::path::PathBuf {
    std::env::var_os("ETCD_SIGNER")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_etcd-signer").into())
        .into()
}

/// The masters' executable, likewise.
fn client_path() -> std::path::PathBuf {
    std::env::var_os("ETCD_CLIENT_CERT")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_etcd-client-cert").into())
        .into()
}
