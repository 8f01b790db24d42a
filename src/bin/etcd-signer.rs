//! The signer's executable: arguments and environment in, exit code out.

use std::alloc::System;
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

/// Wipes memory as it is freed. The libraries that handle the CA key do not, and parts of it would
/// remain in a process that then connects to the network.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    etcd_signer::signer_main(
        std::env::args_os().collect(),
        std::env::var_os("SSH_ORIGINAL_COMMAND"),
        std::env::var_os("SSH_CONNECTION"),
    )
}
