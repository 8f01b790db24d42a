//! `renew`: the whole of it, in its order.

use super::answer::{self, Refusal};
use super::authority::{self, Fingerprint};
use super::config::Config;
use super::csr;
use super::due::{self, Condition, Found, Measure};
use super::error::{Error, Exit};
use super::leaf::{Leaf, Misfit};
use super::metrics;
use super::private_key::PrivateKey;
use super::say;
use super::signers::{self, Failure};
use super::ssh;
use super::state::{Outcome, SignerFailure, State};
use super::store::{self, Lock};
use super::target::Target;
use super::text::rfc3339;
use crate::ca::CaCertificate;
use crate::child::{self, How};
use crate::escape::escape;
use crate::output;
use std::process::Command;

/// The clock: seconds since 1970.
type Clock = fn() -> i64;

/// Renews the certificate if it is due, tells what came of it, and remembers it.
#[must_use]
pub fn renew(config: &Config, force: bool, clock: Clock) -> Exit {
    let _lock = match Lock::take(&config.state_directory) {
        Ok(Some(lock)) => lock,
        Ok(None) => {
            tell("another run is at work: nothing done");
            return Exit::Ok;
        }
        Err(error) => {
            say(&error.to_string());
            return error.exit();
        }
    };
    if config.accept_new_host_keys
        && let Err(error) = store::make_appendable(&config.known_hosts)
    {
        // ssh would take any key then, and pin none.
        say(&error.to_string());
        return error.exit();
    }
    for path in [&config.ca_certificate, &config.key, &config.certificate] {
        store::sweep(path);
    }
    State::sweep(&config.state_directory);

    let mut run = Run {
        config,
        clock,
        state: State::load(&config.state_directory),
    };
    run.state.last_run = Some(clock());
    let outcome = run.renew(force);
    let exit = run.remember(outcome);
    let found = run.found();
    metrics::write_if_wanted(config, found.as_ref(), &run.state, clock());
    exit
}

/// One line on standard output: there is nobody left to tell if that fails.
fn tell(line: &str) {
    let _ = output::answer(format!("{line}\n").as_bytes());
}

struct Run<'a> {
    config: &'a Config,
    clock: Clock,
    state: State,
}

impl Run<'_> {
    fn renew(&mut self, force: bool) -> Result<Outcome, Error> {
        let config = self.config;
        let key = self.key()?;
        let ca = self.authority()?;
        let found = due::look(
            &config.certificate,
            measure(config, &key, &ca),
            (self.clock)(),
        );
        if !force && let (Condition::Valid, Some(leaf)) = (&found.condition, &found.leaf) {
            self.run_hook()?;
            tell(&format!(
                "not due before {}: {} is valid until {}",
                rfc3339(due::due_at(leaf)),
                config.certificate.display(),
                rfc3339(leaf.not_after())
            ));
            return Ok(Outcome::NotDue);
        }
        let request = csr::request(&key, &config.name)?;
        let (leaf, signer) = self.ask(|run, target| {
            let answer = ssh::ask(config, target, config.name.as_str(), &request)?;
            let now = (run.clock)();
            answer::check(&answer, key.public_key(), &config.name, &ca, now)
                .map_err(|refusal| run.explain(refusal, target, &ca).into())
        })?;
        self.put_in_place(&leaf)?;
        self.state.last_success = Some((self.clock)());
        self.state.signer = Some(signer.to_string());
        tell(&format!(
            "renewed by {signer}: {} is valid until {}",
            config.certificate.display(),
            rfc3339(leaf.not_after())
        ));
        let hook = self.run_hook();
        self.refresh_members(&signer);
        hook.map(|()| Outcome::Renewed)
    }

    /// The key in place, or a new one.
    fn key(&self) -> Result<PrivateKey, Error> {
        let path = &self.config.key;
        if let Some(key) = PrivateKey::load(path)? {
            return Ok(key);
        }
        let made = PrivateKey::make(path, self.config.key_type)?;
        tell(&format!("made the key {}", path.display()));
        // Somebody took it away again in between.
        made.ok_or_else(|| {
            Error::Key(super::private_key::PrivateKeyError::Unreadable {
                path: path.display().to_string(),
                source: std::io::ErrorKind::NotFound.into(),
            })
        })
    }

    /// The CA certificate in place, or a signer's.
    fn authority(&mut self) -> Result<CaCertificate, Error> {
        let config = self.config;
        let pinned = config.ca_fingerprint.as_ref();
        let path = &config.ca_certificate;
        if let Some(ca) = authority::in_place(path, pinned, (self.clock)())? {
            return Ok(ca);
        }
        let (ca, signer) = self.ask(|run, target| {
            let answer = ssh::ask(config, target, "get-certificate", b"")?;
            Ok(authority::from_answer(&answer, pinned, (run.clock)())?)
        })?;
        if authority::place(path, &ca)? {
            tell(&format!(
                "took the CA certificate of {signer}, SHA-256 {}: {}",
                Fingerprint::of(ca.der()),
                path.display()
            ));
            return Ok(ca);
        }
        // Somebody else put one there meanwhile: that counts.
        Ok(authority::in_place(path, pinned, (self.clock)())?.unwrap_or(ca))
    }

    /// Asks the signers in turn: those of the settings, then the members that are remembered.
    fn ask<T>(
        &mut self,
        mut ask: impl FnMut(&Self, &Target) -> Result<T, Failure>,
    ) -> Result<(T, Target), Error> {
        let targets = self.targets();
        if targets.is_empty() {
            return Err(Error::NoSigners);
        }
        self.state.last_attempt = Some((self.clock)());
        let mut failures: Vec<SignerFailure> = Vec::new();
        let outcome = signers::in_turn(
            &targets,
            self.config.attempts,
            |target| ask(self, target),
            |target, failure| {
                say(&format!("{target}: {failure}"));
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

    /// Where another CA signed, says which that is, as far as the signer tells.
    fn explain(&self, refusal: Refusal, target: &Target, ca: &CaCertificate) -> Refusal {
        if !matches!(refusal, Refusal::Misfit(Misfit::Authority(_))) {
            return refusal;
        }
        let own = Fingerprint::of(ca.der());
        let path = self.config.ca_certificate.display();
        let theirs = ssh::ask(self.config, target, "get-certificate", b"")
            .ok()
            .and_then(|answer| authority::from_answer(&answer, None, (self.clock)()).ok())
            .map(|ca| Fingerprint::of(ca.der()));
        let detail = match theirs {
            Some(theirs) if theirs == own => {
                format!(" (SHA-256 {own}), although the signer names the same CA")
            }
            Some(theirs) => format!(
                ": the signer's has the SHA-256 {theirs}, the one in {path} {own}: if the CA was \
                 replaced on purpose, put its certificate there, and only then"
            ),
            None => format!(" (SHA-256 {own}, in {path})"),
        };
        Refusal::Misfit(Misfit::Authority(detail))
    }

    fn put_in_place(&mut self, leaf: &Leaf) -> Result<(), Error> {
        let config = self.config;
        if !config.hook.is_empty() {
            // Written first: whatever happens from here on, the hook is not forgotten.
            self.state.hook_pending = true;
            if let Err(error) = self.state.save(&config.state_directory) {
                say(&format!("that the hook is owed is not remembered: {error}"));
            }
        }
        store::make_directory_for(&config.certificate)?;
        Ok(store::replace(
            &config.certificate,
            leaf.pem().as_bytes(),
            0o644,
        )?)
    }

    /// Runs the hook if a replacement still waits for it.
    fn run_hook(&mut self) -> Result<(), Error> {
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
            Ok(ended) => match ended.how {
                How::Exited(status) if status.success() => {
                    self.state.hook_pending = false;
                    return Ok(());
                }
                How::Exited(status) => {
                    let text = String::from_utf8_lossy(&ended.stderr);
                    let last = text.lines().next_back().unwrap_or_default();
                    format!("{program} failed ({status}): {}", escape(last.as_bytes()))
                }
                How::TooMuch | How::TimedOut => {
                    format!("{program} did not end within {} s", time.as_secs())
                }
            },
        };
        Err(Error::Hook(failed))
    }

    /// Remembers etcd's members as further signers. Nothing depends on it today.
    fn refresh_members(&mut self, signer: &Target) {
        if !self.config.use_members {
            return;
        }
        match ssh::ask(self.config, signer, "get-peers", b"") {
            Ok(answer) => self.state.set_members(&answer, signer),
            Err(failure) => say(&format!(
                "{signer}: the members are not known anew: {failure}"
            )),
        }
    }

    fn remember(&mut self, outcome: Result<Outcome, Error>) -> Exit {
        let exit = match outcome {
            Ok(outcome) => {
                self.state.outcome = Some(outcome);
                self.state.reason = None;
                Exit::Ok
            }
            Err(error) => {
                let line = error.to_string();
                say(&line);
                self.state.outcome = Some(Outcome::Failed);
                self.state.reason = Some(line);
                error.exit()
            }
        };
        if let Err(error) = self.state.save(&self.config.state_directory) {
            say(&format!("what came of this run is not remembered: {error}"));
        }
        exit
    }

    /// What is in place now, for the metrics.
    fn found(&self) -> Option<Found> {
        let config = self.config;
        let now = (self.clock)();
        let key = PrivateKey::load(&config.key).ok()??;
        let ca = authority::in_place(&config.ca_certificate, config.ca_fingerprint.as_ref(), now)
            .ok()??;
        Some(due::look(
            &config.certificate,
            measure(config, &key, &ca),
            now,
        ))
    }
}

fn measure<'a>(config: &'a Config, key: &'a PrivateKey, ca: &'a CaCertificate) -> Measure<'a> {
    Measure {
        key: Some(key),
        name: &config.name,
        ca,
    }
}
