//! What a signer sent: one certificate, whatever else stands around it.

use super::leaf::{Leaf, Misfit};
use super::text::rfc3339;
use crate::ca::CaCertificate;
use crate::key::PublicKey;
use crate::name::MasterName;

/// Why there is not exactly one certificate in an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocks {
    /// None.
    #[error("its answer holds no certificate")]
    None,
    /// One that does not end.
    #[error("its answer holds a certificate that is cut short")]
    Cut,
    /// More than one.
    #[error("its answer holds more than one certificate")]
    Several,
}

/// Why an answer is not taken. The certificate in place stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is not exactly one certificate.
    #[error(transparent)]
    Blocks(#[from] Blocks),
    /// It is not what was asked for.
    #[error("its certificate {0}")]
    Misfit(#[from] Misfit),
    /// It has ended.
    #[error(
        "its certificate expired at {not_after}, and it is {now} here: is this host's clock \
         right, and the signer's?"
    )]
    Expired {
        /// When.
        not_after: String,
        /// This host's time.
        now: String,
    },
    /// It has not begun.
    #[error(
        "its certificate is not valid before {not_before}, and it is {now} here: is this \
         host's clock right, and the signer's?"
    )]
    NotYetValid {
        /// When it begins.
        not_before: String,
        /// This host's time.
        now: String,
    },
}

/// Takes the certificate out of a signer's answer, if it is what was asked for: one, for this
/// key and name, a client's, of this CA, and in force.
///
/// # Errors
/// [`Refusal`], with the first check that fails.
pub fn check(
    answer: &[u8],
    public_key: &PublicKey,
    name: &MasterName,
    ca: &CaCertificate,
    now: i64,
) -> Result<Leaf, Refusal> {
    let leaf = Leaf::from_pem(the_one_block(answer)?)?;
    leaf.fits(public_key, name, ca)?;
    if now < leaf.not_before() {
        return Err(Refusal::NotYetValid {
            not_before: rfc3339(leaf.not_before()),
            now: rfc3339(now),
        });
    }
    if now > leaf.not_after() {
        return Err(Refusal::Expired {
            not_after: rfc3339(leaf.not_after()),
            now: rfc3339(now),
        });
    }
    Ok(leaf)
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// The one PEM block of a certificate amid a banner, or what an `sshrc` prints.
///
/// # Errors
/// [`Blocks`].
pub fn the_one_block(answer: &[u8]) -> Result<&[u8], Blocks> {
    let start = find(answer, BEGIN).ok_or(Blocks::None)?;
    let block = answer.get(start..).ok_or(Blocks::None)?;
    let end = find(block, END)
        .and_then(|at| at.checked_add(END.len()))
        .ok_or(Blocks::Cut)?;
    let (block, rest) = block.split_at_checked(end).ok_or(Blocks::Cut)?;
    let inner = block.get(BEGIN.len()..).unwrap_or_default();
    if find(rest, BEGIN).is_some() || find(inner, BEGIN).is_some() {
        return Err(Blocks::Several);
    }
    Ok(block)
}

fn find(within: &[u8], wanted: &[u8]) -> Option<usize> {
    within.windows(wanted.len()).position(|at| at == wanted)
}

#[cfg(test)]
mod tests {
    use super::{Blocks, the_one_block};

    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----";

    #[test]
    fn one_block_is_found_amid_junk() {
        for (before, after) in [
            ("", ""),
            ("", "\n"),
            ("Welcome!\r\n-----BEGIN X-----\n", "\nbye\n"),
            ("\0\x1b[2J\n", "\n\0"),
        ] {
            let answer = format!("{before}{BLOCK}{after}");
            assert_eq!(the_one_block(answer.as_bytes()), Ok(BLOCK.as_bytes()));
        }
    }

    #[test]
    fn anything_but_one_is_refused() {
        for (answer, expected) in [
            (String::new(), Blocks::None),
            (
                "-----BEGIN CERTIFICATE REQUEST-----".to_owned(),
                Blocks::None,
            ),
            (BLOCK[..40].to_owned(), Blocks::Cut),
            (BLOCK[..BLOCK.len() - 1].to_owned(), Blocks::Cut),
            (format!("{BLOCK}\n{BLOCK}\n"), Blocks::Several),
            (format!("{}{BLOCK}", &BLOCK[..30]), Blocks::Several),
            (format!("{BLOCK}\n{}", &BLOCK[..30]), Blocks::Several),
        ] {
            assert_eq!(the_one_block(answer.as_bytes()), Err(expected), "{answer}");
        }
    }
}
