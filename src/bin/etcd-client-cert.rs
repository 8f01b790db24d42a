//! The masters' executable: arguments in, exit code out.

use std::alloc::System;
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

/// Wipes memory as it is freed: the libraries that handle the private key do not.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    etcd_signer::renewer_main(std::env::args_os().collect())
}
