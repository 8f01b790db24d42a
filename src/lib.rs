//! The certificate signer of an etcd cluster whose clients are Kubernetes masters.
//!
//! It runs as the forced command of an SSH account, answers one request, and exits.

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

pub mod account;
pub mod audit;
pub mod backup;
pub mod ca;
pub mod ca_init;
pub mod check;
pub mod child;
pub mod cli;
pub mod client;
pub mod config;
pub mod csr;
pub mod endpoint;
pub mod error;
pub mod escape;
pub mod exact;
pub mod host;
pub mod identity;
pub mod input;
pub mod issue;
pub mod key;
pub mod member;
pub mod name;
pub mod output;
pub mod peers;
pub mod place;
pub mod policy;
pub mod profile;
pub mod program;
pub mod relro;
pub mod request;
pub mod run;
pub mod sandbox;
pub mod serve;
pub mod trusted;
pub mod verify;

pub use run::run;
