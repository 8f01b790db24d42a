//! The executable: arguments and environment in, exit code out.

use std::alloc::System;
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed. The libraries that handle the CA key do not, and its pieces would lie
/// in a process that goes on to talk to a network.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    etcd_signer::signer_main(
        std::env::args_os().collect(),
        std::env::var_os("SSH_ORIGINAL_COMMAND"),
        std::env::var_os("SSH_CONNECTION"),
    )
}
