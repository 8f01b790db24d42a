//! A clock that jumps: a renewal or a clear message, and a run asks each signer once at most.
//!
//! The clock is an argument of `renew`. The signer's is right throughout.

use super::Master;
use crate::harness::Ca;
use crate::setup::own_certificate;
use etcd_signer::internals::{Exit, RenewerConfig, SettingsSource, renew};
use time::OffsetDateTime;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

type Clock = fn() -> i64;

fn right() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

fn run(master: &Master, clock: Clock) -> Exit {
    let settings = SettingsSource::File(master.dir.join("config.toml"));
    renew(&RenewerConfig::load(&settings, b"").unwrap(), false, clock)
}

fn reason(master: &Master) -> String {
    let state = master.dir.read("state/state.json");
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    state["failures"][0]["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// A master with a certificate and so many signers, which are one.
fn master(ca: &Ca, signers: usize) -> Master {
    let master = Master::new();
    master.set_without_ssh(ca, "");
    master.renews(&[]);
    let names: Vec<String> = (0..signers)
        .map(|index| format!("leader-{index}"))
        .collect();
    let text = master.dir.read("config.toml");
    let text = text.replace("[\"leader\"]", &format!("{names:?}"));
    master.dir.write("config.toml", text);
    std::fs::remove_file(master.dir.join("requests")).unwrap();
    master
}

#[test]
fn a_jump_that_signers_certificates_bridge_leads_to_a_renewal() {
    let ca = Ca::new();
    for clock in [|| right() + 17 * HOUR, || right() + 23 * HOUR] as [Clock; 2] {
        let master = master(&ca, 3);
        let before = master.read("client.crt");
        assert_eq!(run(&master, clock), Exit::Ok);
        assert_ne!(master.read("client.crt"), before);
        assert_eq!(master.requests(), 1);
        master.has_a_pair();
    }
}

#[test]
fn a_jump_of_a_day_is_said_and_nothing_is_lost() {
    // Its CA is in force whatever the clock says.
    let ca = Ca::new();
    let certificate = own_certificate(
        ca.dir.path(),
        "basicConstraints=critical,CA:true\nsubjectKeyIdentifier=hash\n\
         keyUsage=critical,keyCertSign",
        "20200101000000Z",
        "20400101000000Z",
    );
    ca.replace("ca.crt", certificate, 0o644);
    let cases: [(Clock, &str); 2] = [
        (|| right() + DAY, "its certificate expired at "),
        (|| right() - DAY, "its certificate is not valid before "),
    ];
    for (clock, words) in cases {
        // Two signers that agree are believed, however many there are.
        for (signers, requests) in [(1, 1), (2, 2), (5, 2)] {
            let master = master(&ca, signers);
            let before = master.read("client.crt");
            for tick in 1..=3 {
                assert_eq!(run(&master, clock), Exit::Data);
                assert_eq!(master.requests(), requests * tick, "{signers} signers");
                assert!(reason(&master).contains(words), "{}", reason(&master));
                assert!(reason(&master).contains("is this host's clock right"));
            }
            assert_eq!(master.read("client.crt"), before);
            // The clock is set right: there is nothing to do.
            assert_eq!(run(&master, right), Exit::Ok);
            assert_eq!(master.requests(), requests * 3);
            master.has_a_pair();
        }
    }
}

/// Once it is due, and the signers are away, each run asks each of them as often as the settings
/// say, and no more.
#[test]
fn no_run_asks_more_often_than_the_settings_say() {
    let ca = Ca::new();
    let master = master(&ca, 2);
    let script = format!(
        "#!/bin/sh\necho x >>{}/requests\nexit 255\n",
        master.dir.path().display()
    );
    master.script("ssh", &script);
    let text = master.dir.read("config.toml") + "attempts = 2\n";
    master.dir.write("config.toml", text);
    for tick in 1..=3 {
        assert_eq!(run(&master, || right() + 17 * HOUR), Exit::Unavailable);
        assert_eq!(master.requests(), 4 * tick);
    }
}

/// A CA certificate that was made after the time that the clock says cannot be judged either.
#[test]
fn a_clock_before_the_ca_is_said() {
    let ca = Ca::new();
    let master = master(&ca, 1);
    assert_eq!(run(&master, || right() - DAY), Exit::Config);
    let state = master.dir.read("state/state.json");
    assert!(
        state.contains("is not valid before") && state.contains("is the clock right?"),
        "{state}"
    );
    assert_eq!(master.requests(), 0);
}
