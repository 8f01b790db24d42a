//! PEM (RFC 7468): encoding, and finding the certificate in an answer.

/// Why there is not exactly one certificate in an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SingleCertificateError {
    #[error("its answer contains no certificate")]
    None,
    #[error("its answer contains a truncated certificate")]
    Truncated,
    #[error("its answer contains more than one certificate")]
    Several,
}

/// A certificate in PEM (RFC 7468, section 5).
#[must_use]
pub fn encode_certificate(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}

/// One PEM block with lines of 64 characters.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, der), config)
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// The single PEM certificate in an answer. Other text around it is ignored: a banner, or the
/// output of an `sshrc`.
///
/// # Errors
/// [`SingleCertificateError`].
pub(crate) fn single_certificate(answer: &[u8]) -> Result<&[u8], SingleCertificateError> {
    let start = find(answer, BEGIN).ok_or(SingleCertificateError::None)?;
    let block = answer.get(start..).ok_or(SingleCertificateError::None)?;
    let end = find(block, END)
        .and_then(|at| at.checked_add(END.len()))
        .ok_or(SingleCertificateError::Truncated)?;
    let (block, rest) = block
        .split_at_checked(end)
        .ok_or(SingleCertificateError::Truncated)?;
    let inner = block.get(BEGIN.len()..).unwrap_or_default();
    if find(rest, BEGIN).is_some() || find(inner, BEGIN).is_some() {
        return Err(SingleCertificateError::Several);
    }
    Ok(block)
}

/// Each certificate in a file, from its first line to the next one's. One that is malformed does
/// not hide the others.
pub(crate) fn certificates(mut text: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some(start) = find(text, BEGIN) {
        let from = text.get(start..).unwrap_or_default();
        let next = from.get(BEGIN.len()..).and_then(|rest| find(rest, BEGIN));
        let end = next.map_or(from.len(), |next| next.saturating_add(BEGIN.len()));
        let (block, rest) = from.split_at_checked(end).unwrap_or((from, &[]));
        found.push(block);
        text = rest;
    }
    found
}

fn find(within: &[u8], wanted: &[u8]) -> Option<usize> {
    within.windows(wanted.len()).position(|at| at == wanted)
}

#[cfg(test)]
mod tests {
    use super::{SingleCertificateError, single_certificate};

    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----";

    #[test]
    fn certificate_is_found_in_other_text() {
        for (before, after) in [
            ("", ""),
            ("", "\n"),
            ("Welcome!\r\n-----BEGIN X-----\n", "\nbye\n"),
            ("\0\x1b[2J\n", "\n\0"),
        ] {
            let answer = format!("{before}{BLOCK}{after}");
            assert_eq!(single_certificate(answer.as_bytes()), Ok(BLOCK.as_bytes()));
        }
    }

    #[test]
    fn answer_without_a_single_certificate_is_rejected() {
        for (answer, expected) in [
            (String::new(), SingleCertificateError::None),
            (
                "-----BEGIN CERTIFICATE REQUEST-----".to_owned(),
                SingleCertificateError::None,
            ),
            (BLOCK[..40].to_owned(), SingleCertificateError::Truncated),
            (
                BLOCK[..BLOCK.len() - 1].to_owned(),
                SingleCertificateError::Truncated,
            ),
            (
                format!("{BLOCK}\n{BLOCK}\n"),
                SingleCertificateError::Several,
            ),
            (
                format!("{}{BLOCK}", &BLOCK[..30]),
                SingleCertificateError::Several,
            ),
            (
                format!("{BLOCK}\n{}", &BLOCK[..30]),
                SingleCertificateError::Several,
            ),
        ] {
            assert_eq!(
                single_certificate(answer.as_bytes()),
                Err(expected),
                "{answer}"
            );
        }
    }
}
