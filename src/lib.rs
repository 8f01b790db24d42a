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

pub mod escape;
pub mod name;
pub mod request;
