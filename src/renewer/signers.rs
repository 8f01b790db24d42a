//! The signers, asked in turn until one answers.

use super::answer::AnswerError;
use super::authority::FetchedCaError;
use super::config::Retries;
use super::ssh;
use super::target::Target;
use crate::system::exit::Exit;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::thread::sleep;
use std::time::Duration;

/// Why one signer issued no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignerError {
    /// It did not answer.
    #[error(transparent)]
    Ssh(#[from] ssh::SshError),
    /// Its certificate is not taken.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// Its CA certificate is not taken.
    #[error(transparent)]
    Ca(#[from] FetchedCaError),
}

impl SignerError {
    /// Whether a signer has said no.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Ssh(ssh::SshError::Refused { .. }))
    }

    /// Whether a later attempt may succeed. A signer that refuses will refuse again; one that
    /// stalls has had its time.
    fn is_transient(&self) -> bool {
        matches!(self, Self::Ssh(ssh::SshError::Absent(_)))
    }
}

/// No signer issued a certificate.
#[derive(Debug, thiserror::Error)]
#[error("not renewed: none of {asked} signers issued a certificate; see the lines above")]
pub(crate) struct AllSignersFailed {
    asked: usize,
    exit: Exit,
}

impl AllSignersFailed {
    /// What the process exits with.
    #[must_use]
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

/// Asks one signer after the other until one answers. Those that were absent are asked again,
/// `attempts` times in all.
///
/// The first `configured` of them are in the settings. The others are members of the cluster, which
/// need not be signers: that they do not answer counts for nothing where a signer has refused.
///
/// # Errors
/// [`AllSignersFailed`]; `report` has been given every reason.
pub(crate) fn in_turn<T>(
    targets: &[Target],
    configured: usize,
    retries: Retries,
    mut ask: impl FnMut(&Target) -> Result<T, SignerError>,
    mut report: impl FnMut(&Target, &SignerError),
) -> Result<(T, Target), AllSignersFailed> {
    let mut left: Vec<(usize, &Target)> = targets.iter().enumerate().collect();
    let mut exit = Exit::Data;
    let mut is_refused = false;
    for attempt in 0..retries.attempts {
        if attempt > 0 {
            sleep(pause(retries.delay));
        }
        let mut absent = Vec::new();
        for (index, target) in left {
            match ask(target) {
                Ok(answer) => return Ok((answer, target.clone())),
                Err(failure) => {
                    report(target, &failure);
                    is_refused |= failure.is_refusal();
                    if failure.is_transient() {
                        absent.push((index, target));
                    }
                    if index < configured {
                        exit = worse(exit, &failure);
                    }
                }
            }
        }
        if is_refused {
            absent.retain(|(index, _)| *index < configured);
        }
        left = absent;
        if left.is_empty() {
            break;
        }
    }
    Err(AllSignersFailed {
        asked: targets.len(),
        exit,
    })
}

fn worse(so_far: Exit, failure: &SignerError) -> Exit {
    match failure {
        SignerError::Ssh(ssh::SshError::Unstarted(_)) => Exit::Config,
        SignerError::Ssh(
            ssh::SshError::Absent(_)
            | ssh::SshError::Login(_)
            | ssh::SshError::Stalled(_)
            | ssh::SshError::Broken { .. },
        ) => Exit::Unavailable,
        _ => so_far,
    }
}

/// The delay, and up to as much again by chance, so that masters that failed together do not come
/// back together.
fn pause(delay: Duration) -> Duration {
    let mut random = [0_u8; 1];
    let _ = SystemRandom::new().fill(&mut random);
    let [random] = random;
    let more = delay.saturating_mul(random.into()).checked_div(256);
    delay.saturating_add(more.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{SignerError, in_turn, pause};
    use crate::renewer::config::Retries;
    use crate::renewer::ssh;
    use crate::renewer::target::Target;
    use crate::system::exit::Exit;
    use std::time::Duration;

    fn targets(count: usize) -> Vec<Target> {
        (0..count)
            .map(|i| Target::parse(&format!("h{i}")).unwrap())
            .collect()
    }

    fn absent() -> SignerError {
        ssh::SshError::Absent("x".to_owned()).into()
    }

    fn refused() -> SignerError {
        let reason = "x".to_owned();
        ssh::SshError::Refused { code: 65, reason }.into()
    }

    /// Asks signers whose answers come from a function of their number and the count so far:
    /// who was asked, and how it ended.
    fn asked(
        count: usize,
        configured: usize,
        attempts: u32,
        answer: impl Fn(usize) -> Result<(), SignerError>,
    ) -> (Vec<usize>, Option<Exit>) {
        let targets = targets(count);
        let mut asked = Vec::new();
        let outcome = in_turn(
            &targets,
            configured,
            Retries {
                attempts,
                delay: Duration::ZERO,
            },
            |target| {
                let index = targets.iter().position(|t| t == target).unwrap();
                asked.push(index);
                answer(index)
            },
            |_, _| (),
        );
        let exit = outcome.err().map(|failed| failed.exit());
        (asked, exit)
    }

    #[test]
    fn signer_after_one_that_answers_is_not_asked() {
        let answer = |index| match index {
            0 => Err(absent()),
            1 => Err(refused()),
            _ => Ok(()),
        };
        assert_eq!(asked(4, 4, 3, answer), (vec![0, 1, 2], None));
    }

    #[test]
    fn absent_signer_alone_is_asked_again() {
        let answer = |index| Err(if index == 1 { absent() } else { refused() });
        assert_eq!(
            asked(3, 3, 2, answer),
            (vec![0, 1, 2, 1], Some(Exit::Unavailable))
        );
        assert_eq!(
            asked(3, 3, 3, |_| Err(refused())),
            (vec![0, 1, 2], Some(Exit::Data))
        );
    }

    #[test]
    fn member_that_is_no_signer_is_not_asked_again_after_a_refusal() {
        let answer = |index| Err(if index == 0 { refused() } else { absent() });
        assert_eq!(asked(3, 1, 3, answer), (vec![0, 1, 2], Some(Exit::Data)));
        // Where no signer has answered, one of the members may be one that is away for a moment.
        assert_eq!(
            asked(2, 1, 2, |_| Err(absent())),
            (vec![0, 1, 0, 1], Some(Exit::Unavailable))
        );
    }

    /// sshd drops an address for 15 seconds at least (sshd_config(5), PerSourcePenalties).
    #[test]
    fn pause_is_the_delay_and_up_to_as_much_again() {
        let delay = Duration::from_secs(16);
        let pauses: Vec<Duration> = (0..200).map(|_| pause(delay)).collect();
        assert!(pauses.iter().all(|p| (delay..delay * 2).contains(p)));
        assert!(pauses.iter().any(|p| *p != pauses[0]));
        assert_eq!(pause(Duration::ZERO), Duration::ZERO);
    }
}
