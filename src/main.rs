//! The executable: arguments and environment in, exit code out.

use etcd_signer::request::Request;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = std::env::var_os("SSH_ORIGINAL_COMMAND");
    match Request::parse(command.as_deref().map(OsStrExt::as_bytes)) {
        Ok(_) => ExitCode::from(69),
        Err(refusal) => {
            let line = format!("etcd-signer: {refusal}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            ExitCode::from(64)
        }
    }
}
