//! The certificate signer of an etcd cluster whose clients are Kubernetes masters, and the
//! renewer that runs on these masters, and what sets up a member. Three programs, and no library
//! for others.
//!
//! The modules, and what each may use:
//!
//! - [`signer`]: the leader's program, the SSH forced command `etcd-signer`. Uses `etcd`, `pki` and
//!   `system`.
//! - [`renewer`]: the masters' program, `etcd-client-cert`. Uses `pki` and `system`, except what
//!   handles a CA's private key or issues certificates.
//! - [`setup`]: `etcd-signer-setup`, which makes a host a member of the cluster, and takes it out
//!   again. Uses `etcd`, `pki` and `system`, with the same exception.
//! - [`etcd`]: querying etcd for its members. Uses `pki` and `system`.
//! - [`pki`]: certificates and keys, as values. Uses `system`.
//! - [`system`]: files, descriptors, processes, confinement. Uses nothing of the crate.
//!
//! `tests/suite/layering.rs` checks these dependencies.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

mod etcd;
mod pki;
mod renewer;
mod setup;
mod signer;
mod system;

pub use renewer::main as renewer_main;
pub use setup::main as setup_main;
pub use signer::main as signer_main;

/// The command lines of the programs, for man pages and shell completions.
pub mod command_lines {
    pub use crate::renewer::cli::command as renewer;
    pub use crate::setup::cli::command as setup;
    pub use crate::signer::cli::command as signer;
}

/// For the tests, fuzz targets and benchmarks of this repository only.
#[doc(hidden)]
pub mod internals {
    pub use crate::etcd::identity::OwnKey;
    pub use crate::pki::ca::certificate::CaCertificate;
    pub use crate::pki::ca::key::{CaKey, CaKeyFile};
    pub use crate::pki::csr::Csr;
    pub use crate::pki::grant::Grant;
    pub use crate::pki::issue::issue;
    pub use crate::pki::master_name::MasterName;
    pub use crate::pki::member_host::MemberHost;
    pub use crate::pki::pem::{encode, encode_certificate};
    pub use crate::pki::private_key::KeyAlgorithm;
    pub use crate::pki::profile::{Validity, parameters, serial};
    pub use crate::pki::strict_der::{elements, single};
    pub use crate::pki::verify::Certificate;
    pub use crate::renewer::config::RenewerConfig;
    pub use crate::renewer::renew::renew;
    pub use crate::signer::audit::{Client, Record};
    pub use crate::signer::ca_init::{CaInitOptions, init};
    pub use crate::signer::config::SignerConfig;
    pub use crate::signer::error::RequestError;
    pub use crate::signer::serve::authorize;
    pub use crate::signer::serve::request::Request;
    pub use crate::signer::session::certify;
    pub use crate::system::escape::escape;
    pub use crate::system::exit::Exit;
    pub use crate::system::sandbox::{
        Folder, Needs, apply_landlock, apply_seccomp, confine, harden,
    };
    pub use crate::system::settings::SettingsSource;
}
