//! What an operator should put right, although it costs no certificate.

use super::authority::TrustedCas;
use super::config::RenewerConfig;
use super::text::residual;
use crate::system::trusted_file::{Protection, TrustedFile};

/// What is wrong with the files on a master.
///
/// Whoever can write them can replace kube-apiserver's own files too, so that their owner and
/// mode are no reason to let the certificate expire.
#[must_use]
pub(crate) fn warnings(config: &RenewerConfig, cas: Option<&TrustedCas>, now: i64) -> Vec<String> {
    let files = [
        ("CA certificate", &config.ca_certificate, Protection::Public),
        ("certificate", &config.certificate, Protection::Public),
        ("key", &config.key, Protection::Secret),
    ];
    let of_files = files.into_iter().filter_map(|(what, path, protection)| {
        let error = TrustedFile::open(what, path, protection).err()?;
        error.is_permission().then(|| error.to_string())
    });
    let of_cas = cas.map(|cas| cas.warnings(&config.ca_certificate, now));
    of_files.chain(of_cas.unwrap_or_default()).collect()
}

/// What to say of a clock that is off by so many seconds, if anything.
#[must_use]
pub(crate) fn clock_warning(offset: i64) -> Option<String> {
    let direction = match offset {
        0 => return None,
        1.. => "behind",
        _ => "ahead of",
    };
    Some(format!(
        "this host's clock was {} {direction} the signer's when the certificate was issued: \
         correct it (chrony or systemd-timesyncd)",
        residual(offset.saturating_abs())
    ))
}
