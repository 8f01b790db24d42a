//! `renew`: the whole of it, in its order.

use super::answer::{Answer, AnswerError};
use super::authority::{self, TrustedCas};
use super::config::RenewerConfig;
use super::due::{self, Assessment, Condition, Expected};
use super::error::{RenewalError, file_system_exit};
use super::key_file::{self, KeyFileError};
use super::leaf::Misfit;
use super::metrics;
use super::report;
use super::signers::{self, SignerError};
use super::ssh;
use super::state::{Outcome, SignerFailure, State};
use super::target::Target;
use super::text::rfc3339;
use super::warnings::{clock_warning, warnings};
use crate::pki::fingerprint::Fingerprint;
use crate::pki::private_key::PrivateKey;
use crate::pki::request;
use crate::system::child::{self, Ending};
use crate::system::escape::escape;
use crate::system::exit::Exit;
use crate::system::installed_file;
use crate::system::lock::Lock;
use crate::system::new_file;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::process::Command;
use std::time::Duration;

/// The clock: seconds since 1970.
type Clock = fn() -> i64;

/// How long a second run waits for the first.
const PATIENCE: Duration = Duration::from_secs(3);

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

/// Renews the certificate if it is due, reports the outcome, and saves it.
#[must_use]
pub fn renew(config: &RenewerConfig, force: bool, clock: Clock) -> Exit {
    let _lock = match Lock::take(&config.state_directory.join("lock"), PATIENCE) {
        Ok(Some(lock)) => lock,
        Ok(None) => {
            report::info("another run is in progress: nothing to do");
            return Exit::Ok;
        }
        Err(error) => {
            report::error(&error.to_string());
            return file_system_exit(&error);
        }
    };
    if config.accept_new_host_keys
        && let Err(error) = installed_file::open_for_append(&config.known_hosts)
    {
        // ssh would take any key then, and pin none.
        report::error(&error.to_string());
        return file_system_exit(&error);
    }
    for path in [&config.ca_certificate, &config.key, &config.certificate] {
        installed_file::remove_temporary_files(path);
    }
    State::sweep(&config.state_directory);

    let mut run = Run {
        config,
        clock,
        state: State::load(&config.state_directory),
    };
    run.state.begin_run(clock());
    let outcome = run.renew(force);
    let exit = run.remember(outcome);
    let found = run.found();
    metrics::write_if_wanted(config, found.as_ref(), &run.state, clock());
    exit
}

struct Run<'a> {
    config: &'a RenewerConfig,
    clock: Clock,
    state: State,
}

impl Run<'_> {
    fn renew(&mut self, force: bool) -> Result<Outcome, RenewalError> {
        let config = self.config;
        let key = self.key()?;
        let cas = self.authority()?;
        let found = self.assess(&key, &cas);
        if !force && let (Condition::Valid, Some(leaf)) = (&found.condition, &found.leaf) {
            self.run_hook()?;
            report::info(&format!(
                "not due before {}: {} is valid until {}",
                rfc3339(due::due_at(leaf)),
                config.certificate.display(),
                rfc3339(leaf.not_after())
            ));
            return Ok(Outcome::NotDue);
        }
        for warning in warnings(config, Some(&cas), (self.clock)()) {
            report::warning(&warning);
        }
        let mut request = STANDARD.encode(request::der(&key, config.name.as_str())?);
        request.push('\n');
        let mut doubted = None;
        let (answer, signer) = self.ask(|run, target| {
            let sent = ssh::ask(config, target, config.name.as_str(), request.as_bytes())?;
            let now = (run.clock)();
            let answer = Answer::check(&sent, key.public_key(), &config.name, cas.usable(), now)
                .map_err(|error| run.explain(error, target, &cas))?;
            if run.is_credible(&answer, &found, doubted) {
                return Ok(answer);
            }
            doubted = Some(answer.clock_offset);
            Err(answer.clock_error(now).into())
        })?;
        self.put_in_place(&answer)?;
        self.state.last_success = Some((self.clock)());
        self.state.signer = Some(signer.to_string());
        let signed_by = match cas.usable() {
            [_] => String::new(),
            _ => format!(", signed by the CA with the SHA-256 {}", answer.ca),
        };
        report::info(&format!(
            "renewed by {signer}: {} is valid until {}{signed_by}",
            config.certificate.display(),
            rfc3339(answer.leaf.not_after()),
        ));
        if let Some(warning) = clock_warning(self.state.clock_offset(Some(&answer.leaf))) {
            report::warning(&warning);
        }
        let hook = self.run_hook();
        self.refresh_members(&signer);
        hook.map(|()| Outcome::Renewed)
    }

    fn assess(&self, key: &PrivateKey, cas: &TrustedCas) -> Assessment {
        let expected = Expected {
            key: Some(key),
            name: &self.config.name,
            cas,
        };
        due::assess(
            &self.config.certificate,
            expected,
            &self.state,
            (self.clock)(),
        )
    }

    /// Whether a certificate is fresh, although this host's clock may say otherwise. The signer's
    /// clock is an etcd node's, and etcd's is what counts: a difference is a warning.
    ///
    /// A certificate that is still in force is not given up for one that is a day off, unless
    /// a second signer's clock says the same (`doubted`).
    fn is_credible(&self, answer: &Answer, found: &Assessment, doubted: Option<i64>) -> bool {
        let near = |offset: i64, limit: u64| answer.clock_offset.abs_diff(offset) <= limit;
        let in_force = matches!(found.condition, Condition::Valid | Condition::Due);
        !in_force
            || near(self.state.clock_offset(found.leaf.as_ref()), DAY)
            || doubted.is_some_and(|offset| near(offset, DAY))
    }

    /// The key in place, or a new one.
    fn key(&self) -> Result<PrivateKey, RenewalError> {
        let path = &self.config.key;
        if let Some(key) = key_file::load(path)? {
            return Ok(key);
        }
        let made = key_file::create(path, self.config.key_type)?;
        report::info(&format!("created the key {}", path.display()));
        // Another process removed it in between.
        made.ok_or_else(|| {
            RenewalError::Key(KeyFileError::Unreadable {
                path: path.display().to_string(),
                source: std::io::ErrorKind::NotFound.into(),
            })
        })
    }

    /// The CA certificates in place, or a signer's.
    fn authority(&mut self) -> Result<TrustedCas, RenewalError> {
        let config = self.config;
        let path = &config.ca_certificate;
        if let Some(cas) = authority::in_place(config)? {
            return Ok(cas);
        }
        let (ca, signer) = self.ask(|run, target| {
            let answer = ssh::ask(config, target, "get-certificate", b"")?;
            Ok(authority::from_answer(
                &answer,
                config.ca_fingerprint.as_ref(),
                (run.clock)(),
            )?)
        })?;
        if authority::install(path, &ca)? {
            report::info(&format!(
                "installed the CA certificate of {signer}, SHA-256 {}: {}",
                Fingerprint::of(ca.der()),
                path.display()
            ));
            return Ok(ca.into());
        }
        // Another process created one meanwhile: that one is used.
        Ok(authority::in_place(config)?.unwrap_or_else(|| ca.into()))
    }

    /// Asks the signers in turn: those of the settings, then the members that `get-peers` listed.
    fn ask<T>(
        &mut self,
        mut ask: impl FnMut(&Self, &Target) -> Result<T, SignerError>,
    ) -> Result<(T, Target), RenewalError> {
        let targets = self.targets();
        if targets.is_empty() {
            return Err(RenewalError::NoSigners);
        }
        self.state.last_attempt = Some((self.clock)());
        let mut failures: Vec<SignerFailure> = Vec::new();
        let outcome = signers::in_turn(
            &targets,
            self.config.signers.len(),
            self.config.retries,
            |target| ask(self, target),
            |target, failure| {
                report::error(&format!("{target}: {failure}"));
                let signer = target.to_string();
                failures.retain(|earlier| earlier.signer != signer);
                failures.push(SignerFailure {
                    signer,
                    reason: failure.to_string(),
                });
            },
        );
        self.state.failures = failures;
        Ok(outcome?)
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = self.config.signers.clone();
        if self.config.use_members {
            for member in self.state.members() {
                if !targets.contains(&member) {
                    targets.push(member);
                }
            }
        }
        targets
    }

    /// Where another CA signed, names it, if the signer says which it is.
    fn explain(&self, error: AnswerError, target: &Target, cas: &TrustedCas) -> AnswerError {
        if !matches!(error, AnswerError::Misfit(Misfit::Authority(_))) {
            return error;
        }
        let own: Vec<Fingerprint> = cas
            .usable()
            .iter()
            .map(|ca| Fingerprint::of(ca.der()))
            .collect();
        let path = self.config.ca_certificate.display();
        let theirs = ssh::ask(self.config, target, "get-certificate", b"")
            .ok()
            .and_then(|answer| authority::from_answer(&answer, None, (self.clock)()).ok())
            .map(|ca| Fingerprint::of(ca.der()));
        let own_list = authority::list(&own);
        let detail = match theirs {
            Some(theirs) if own.contains(&theirs) => {
                format!(" (SHA-256 {own_list}), although the signer names the same CA")
            }
            Some(theirs) => format!(
                ": the signer's has the SHA-256 {theirs}, the one in {path} {own_list}: only if \
                 you replaced the CA deliberately, install its certificate there"
            ),
            None => format!(" (SHA-256 {own_list}, in {path})"),
        };
        AnswerError::Misfit(Misfit::Authority(detail))
    }

    fn put_in_place(&mut self, answer: &Answer) -> Result<(), RenewalError> {
        let config = self.config;
        self.state
            .set_clock_offset(&answer.leaf, answer.clock_offset);
        self.state.hook_pending |= !config.hook.is_empty();
        if self.state.hook_pending || self.state.clock.is_some() {
            // Written first: whatever happens from here on, this is not forgotten.
            if let Err(error) = self.state.save(&config.state_directory) {
                report::error(&format!(
                    "cannot save this run's state, including the pending hook: {error}"
                ));
            }
        }
        new_file::create_directory(new_file::directory_of(&config.certificate))?;
        Ok(installed_file::replace(
            &config.certificate,
            answer.leaf.pem().as_bytes(),
            0o644,
        )?)
    }

    /// Runs the hook if a replacement still waits for it.
    fn run_hook(&mut self) -> Result<(), RenewalError> {
        let Some((program, arguments)) = self.config.hook.split_first() else {
            self.state.hook_pending = false;
            return Ok(());
        };
        if !self.state.hook_pending {
            return Ok(());
        }
        let mut hook = Command::new(program);
        hook.args(arguments);
        let time = self.config.hook_timeout;
        let failed = match child::run(&mut hook, b"", None, time) {
            Err(error) => format!("{program} cannot be started: {error}"),
            Ok(ended) => match ended.ending {
                Ending::Exited(status) if status.success() => {
                    self.state.hook_pending = false;
                    return Ok(());
                }
                Ending::Exited(status) => {
                    let text = String::from_utf8_lossy(&ended.stderr);
                    let last = text.lines().next_back().unwrap_or_default();
                    format!("{program} failed ({status}): {}", escape(last.as_bytes()))
                }
                Ending::OutputLimit | Ending::TimedOut => {
                    format!("{program} did not finish within {} s", time.as_secs())
                }
            },
        };
        Err(RenewalError::Hook(failed))
    }

    /// Saves etcd's members as further signers, for a later run. Where the signer that issued the
    /// certificate cannot tell them, another may: one that left the cluster still signs.
    fn refresh_members(&mut self, signer: &Target) {
        if !self.config.use_members {
            return;
        }
        let others = self.targets().into_iter().filter(|other| other != signer);
        for asked in std::iter::once(signer.clone()).chain(others) {
            match ssh::ask(self.config, &asked, "get-peers", b"") {
                Ok(answer) => {
                    self.state.set_members(&answer, &asked);
                    return;
                }
                Err(failure) => report::error(&format!(
                    "{asked}: cannot refresh the member list: {failure}"
                )),
            }
        }
    }

    fn remember(&mut self, outcome: Result<Outcome, RenewalError>) -> Exit {
        let exit = match outcome {
            Ok(outcome) => {
                self.state.outcome = Some(outcome);
                self.state.reason = None;
                Exit::Ok
            }
            Err(error) => {
                let line = error.to_string();
                report::error(&line);
                self.state.outcome = Some(Outcome::Failed);
                self.state.reason = Some(line);
                error.exit()
            }
        };
        if let Err(error) = self.state.save(&self.config.state_directory) {
            report::error(&format!("cannot save this run's state: {error}"));
        }
        exit
    }

    /// What is in place now, for the metrics.
    fn found(&self) -> Option<Assessment> {
        let key = key_file::load(&self.config.key).ok()??;
        let cas = authority::in_place(self.config).ok()??;
        Some(self.assess(&key, &cas))
    }
}
