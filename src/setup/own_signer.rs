//! What setup has the signer on this host do: `etcd-signer`, which alone touches a CA key.

use super::identity::MemberIdentity;
use super::tool::{Call, ToolError, absolute};
use std::path::{Path, PathBuf};

/// Signs a member's certificate with the CA of this host. Returns it in PEM.
///
/// # Errors
/// [`ToolError`].
pub(super) fn sign(identity: &MemberIdentity, request: &str) -> Result<String, ToolError> {
    Call::new("etcd-signer")
        .args(["member", "sign"])
        .args(identity.sign_options())
        .input(request.as_bytes())
        .run()
}

/// Restores a CA from its backup into a folder.
///
/// # Errors
/// [`ToolError`].
pub(super) fn restore_ca(
    backup: &Path,
    identities: &[PathBuf],
    folder: &Path,
) -> Result<(), ToolError> {
    let mut restore = Call::new("etcd-signer")
        .args(["ca", "restore"])
        .arg(absolute(backup))
        .arg("--directory")
        .arg(folder);
    for identity in identities {
        restore = restore.arg("--identity").arg(absolute(identity));
    }
    // Without an identity, age asks for the passphrase.
    if identities.is_empty() {
        restore.run_on_terminal()
    } else {
        restore.run().map(drop)
    }
}
