//! The executable: arguments and environment in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    etcd_signer::run(
        std::env::args_os().collect(),
        std::env::var_os("SSH_ORIGINAL_COMMAND"),
        std::env::var_os("SSH_CONNECTION"),
    )
}
