//! The signers, asked in turn until one helps.

use super::answer::AnswerError;
use super::authority::FetchedCaError;
use super::ssh;
use super::target::Target;
use crate::system::exit::Exit;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::thread::sleep;
use std::time::Duration;

/// Why one signer was no help.
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
    /// Whether it may help a few seconds later. One that refuses will refuse again; one that
    /// stalls has had its time.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Ssh(ssh::SshError::Absent(_)))
    }

    /// Whether its certificate is right in all but its time.
    fn is_out_of_time(&self) -> bool {
        matches!(
            self,
            Self::Answer(AnswerError::Expired { .. } | AnswerError::NotYetValid { .. })
        )
    }
}

/// Nobody helped.
#[derive(Debug, thiserror::Error)]
#[error("not renewed: no signer helped, of {asked} asked: each one's reason is said above")]
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

/// Asks one signer after the other until one helps. Those that were absent are asked again,
/// `attempts` times in all, after a pause that grows.
///
/// When two signers' certificates are right in all but their time, it is this host's clock, and
/// no other signer is asked.
///
/// # Errors
/// [`AllSignersFailed`]; `tell` has been given every reason.
pub(crate) fn in_turn<T>(
    targets: &[Target],
    attempts: u32,
    mut ask: impl FnMut(&Target) -> Result<T, SignerError>,
    mut tell: impl FnMut(&Target, &SignerError),
) -> Result<(T, Target), AllSignersFailed> {
    let mut left: Vec<&Target> = targets.iter().collect();
    let mut out_of_time: u32 = 0;
    let mut exit = Exit::Data;
    for attempt in 0..attempts {
        if attempt > 0 {
            sleep(pause(attempt));
        }
        let mut absent = Vec::new();
        for target in left {
            match ask(target) {
                Ok(answer) => return Ok((answer, target.clone())),
                Err(failure) => {
                    tell(target, &failure);
                    if failure.is_passing() {
                        absent.push(target);
                    }
                    out_of_time = out_of_time.saturating_add(failure.is_out_of_time().into());
                    exit = worse(exit, &failure);
                }
            }
            if out_of_time > 1 {
                absent.clear();
                break;
            }
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
            ssh::SshError::Absent(_) | ssh::SshError::Stalled(_) | ssh::SshError::Broken { .. },
        ) => Exit::Unavailable,
        _ => so_far,
    }
}

/// One second before the second attempt, two before the third, and so on to eight, and as much
/// again by chance.
fn pause(attempt: u32) -> Duration {
    let seconds: u64 = 1 << attempt.saturating_sub(1).min(3);
    let whole = Duration::from_secs(seconds);
    let mut random = [0_u8; 1];
    let _ = SystemRandom::new().fill(&mut random);
    let [random] = random;
    whole.saturating_add(
        whole
            .saturating_mul(random.into())
            .checked_div(256)
            .unwrap_or(whole),
    )
}

#[cfg(test)]
mod tests {
    use super::{SignerError, in_turn};
    use crate::renewer::answer::AnswerError;
    use crate::renewer::ssh;
    use crate::renewer::target::Target;
    use crate::system::exit::Exit;

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

    fn expired() -> SignerError {
        let (not_after, now) = ("x".to_owned(), "y".to_owned());
        AnswerError::Expired { not_after, now }.into()
    }

    /// Asks signers whose answers come from a function of their number and the count so far:
    /// who was asked, and how it ended.
    fn asked(
        count: usize,
        attempts: u32,
        answer: impl Fn(usize) -> Result<(), SignerError>,
    ) -> (Vec<usize>, Option<Exit>) {
        let targets = targets(count);
        let mut asked = Vec::new();
        let outcome = in_turn(
            &targets,
            attempts,
            |target| {
                let index = targets.iter().position(|t| t == target).unwrap();
                asked.push(index);
                answer(index)
            },
            |_, _| (),
        );
        let exit = outcome.err().map(|unhelpful| unhelpful.exit());
        (asked, exit)
    }

    #[test]
    fn the_first_that_helps_is_the_last_that_is_asked() {
        let answer = |index| match index {
            0 => Err(absent()),
            1 => Err(refused()),
            _ => Ok(()),
        };
        assert_eq!(asked(4, 3, answer), (vec![0, 1, 2], None));
    }

    #[test]
    fn only_those_that_are_absent_are_asked_again() {
        let answer = |index| Err(if index == 1 { absent() } else { refused() });
        assert_eq!(
            asked(3, 2, answer),
            (vec![0, 1, 2, 1], Some(Exit::Unavailable))
        );
        assert_eq!(
            asked(3, 3, |_| Err(refused())),
            (vec![0, 1, 2], Some(Exit::Data))
        );
    }

    #[test]
    fn a_wrong_clock_asks_two_at_most() {
        assert_eq!(
            asked(3, 3, |_| Err(expired())),
            (vec![0, 1], Some(Exit::Data))
        );
        assert_eq!(asked(1, 3, |_| Err(expired())), (vec![0], Some(Exit::Data)));
        let answer = |index| if index == 0 { Err(expired()) } else { Ok(()) };
        assert_eq!(asked(3, 3, answer), (vec![0, 1], None));
    }
}
