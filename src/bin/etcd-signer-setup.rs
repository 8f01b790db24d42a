//! The executable that sets up a host: arguments and environment in, exit code out.

use std::alloc::System;
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

/// Wipes memory as it is freed: the libraries that handle the member's key do not.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    etcd_signer::setup_main(
        std::env::args_os().collect(),
        std::env::var_os("SSH_AUTH_SOCK"),
    )
}
