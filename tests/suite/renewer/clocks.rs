//! A clock that is wrong costs a warning that says how wrong it is, and not the certificate; and
//! no run asks again for what it has.
//!
//! The clock is an argument of `renew`. The signer's is right throughout.

use super::{Master, certify};
use crate::ca_files::own_certificate;
use crate::harness::Ca;
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

fn run_forced(master: &Master, clock: Clock) -> Exit {
    let settings = SettingsSource::File(master.dir.join("config.toml"));
    renew(&RenewerConfig::load(&settings, b"").unwrap(), true, clock)
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

/// How far behind the signer's clock the last certificate found this host's, in seconds.
fn clock_offset(master: &Master) -> i64 {
    let state: serde_json::Value =
        serde_json::from_str(&master.dir.read("state/state.json")).unwrap();
    state["clock"]["seconds"].as_i64().unwrap_or(0)
}

/// Puts a certificate in place that began so many hours ago, and lasts so many.
fn put_in_place(ca: &Ca, master: &Master, ago: i64, lasts: i64) {
    let date = |seconds: i64| {
        let output = std::process::Command::new("date")
            .args(["-u", "+%Y%m%d%H%M%SZ", "-d", &format!("@{seconds}")])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let start = right() - ago * HOUR;
    let dates = format!(
        "-startdate {} -enddate {}",
        date(start),
        date(start + lasts * HOUR)
    );
    certify(ca, master, "client.key", "kubemaster-1", &dates, "client");
}

#[test]
fn clock_within_a_day_of_the_signers_renews_with_a_warning() {
    let ca = Ca::new();
    // This host's clock, the same later the same day, and when the certificate is due.
    let cases: [(i64, [Clock; 3]); 6] = [
        (
            300,
            [
                || right() - 300,
                || right() - 300 + 14 * HOUR,
                || right() - 300 + 17 * HOUR,
            ],
        ),
        (
            HOUR,
            [
                || right() - HOUR,
                || right() + 13 * HOUR,
                || right() + 16 * HOUR,
            ],
        ),
        (
            23 * HOUR,
            [
                || right() - 23 * HOUR,
                || right() - 9 * HOUR,
                || right() - 6 * HOUR,
            ],
        ),
        (
            -300,
            [
                || right() + 300,
                || right() + 300 + 14 * HOUR,
                || right() + 300 + 17 * HOUR,
            ],
        ),
        (
            -HOUR,
            [
                || right() + HOUR,
                || right() + 15 * HOUR,
                || right() + 18 * HOUR,
            ],
        ),
        (
            -23 * HOUR,
            [
                || right() + 23 * HOUR,
                || right() + 37 * HOUR,
                || right() + 40 * HOUR,
            ],
        ),
    ];
    for (offset, [clock, later, due]) in cases {
        let master = master(&ca, 3);
        put_in_place(&ca, &master, 17, 24);
        let before = master.read("client.crt");
        // Its clock may hide that it is due.
        assert_eq!(run_forced(&master, clock), Exit::Ok, "{offset}");
        assert_ne!(master.read("client.crt"), before, "{offset}");
        assert_eq!(master.requests(), 1, "{offset}");
        let found = clock_offset(&master);
        assert!((found - offset).abs() < 30, "{offset}: {found}");
        master.has_a_pair();
        for (clock, requests) in [(clock, 1), (later, 1), (due, 2)] {
            assert_eq!(run(&master, clock), Exit::Ok, "{offset}");
            assert_eq!(master.requests(), requests, "{offset}");
        }
    }
}

/// What is in place looks as if it had not begun, or were over: there is nothing to lose.
#[test]
fn clock_of_another_day_renews_once_where_nothing_is_in_force() {
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
    for clock in [
        || right() + 30 * DAY,
        || right() - 30 * DAY,
        || right() - 500 * DAY,
    ] as [Clock; 3]
    {
        for signers in [1, 5] {
            let master = master(&ca, signers);
            let before = master.read("client.crt");
            for _ in 1..=3 {
                assert_eq!(run(&master, clock), Exit::Ok);
                assert_eq!(master.requests(), 1, "{signers} signers");
            }
            assert_ne!(master.read("client.crt"), before);
            // The clock is set right: one more request, and rest.
            for _ in 1..=3 {
                assert_eq!(run(&master, right), Exit::Ok);
                assert!(master.requests() <= 2);
            }
            assert_eq!(clock_offset(&master), 0);
            master.has_a_pair();
        }
    }
}

/// A certificate that is still in force is not given up for the word of one clock, a day off.
#[test]
fn clock_days_off_keeps_a_certificate_in_force_unless_two_signers_agree() {
    let ca = Ca::new();
    for (signers, exit, requests) in [(1, Exit::Data, 1), (2, Exit::Ok, 2), (5, Exit::Ok, 2)] {
        let master = master(&ca, signers);
        put_in_place(&ca, &master, 24, 24 * 20);
        let before = master.read("client.crt");
        let clock: Clock = || right() + 3 * DAY;
        assert_eq!(run_forced(&master, clock), exit, "{signers}");
        assert_eq!(master.requests(), requests, "{signers}");
        assert_eq!(master.read("client.crt") != before, exit == Exit::Ok);
        let said = reason(&master);
        assert!(said.contains("the clocks are 3d apart"), "{said}");
        assert!(said.contains("still valid and is kept"), "{said}");
        master.has_belonging_keys();
    }
}

/// Once it is due, and the signers are away, each run asks each of them as often as the settings
/// say, and no more.
#[test]
fn run_asks_each_signer_at_most_attempts_times() {
    let ca = Ca::new();
    let master = master(&ca, 2);
    let script = format!(
        "#!/bin/sh\necho x >>{}/requests\nexit 255\n",
        master.dir.path().display()
    );
    master.script("ssh", &script);
    let text = master.dir.read("config.toml") + "attempts = 2\nretry_delay = \"1s\"\n";
    master.dir.write("config.toml", text);
    for tick in 1..=3 {
        assert_eq!(run(&master, || right() + 17 * HOUR), Exit::Unavailable);
        assert_eq!(master.requests(), 4 * tick);
    }
}

/// A clock that was ahead, and is set back while the certificate is in force.
#[test]
fn clock_set_back_does_not_let_the_certificate_expire() {
    let ca = Ca::new();
    let master = master(&ca, 1);
    assert_eq!(run_forced(&master, || right() + 10 * HOUR), Exit::Ok);
    assert!((clock_offset(&master) + 10 * HOUR).abs() < 30);
    let times: [(Clock, usize); 4] = [
        (|| right() + 21 * HOUR, 1),
        // 11 hours after it was issued, the clock is set right.
        (|| right() + 11 * HOUR, 1),
        (|| right() + 14 * HOUR, 1),
        (|| right() + 17 * HOUR, 2),
    ];
    for (clock, requests) in times {
        assert_eq!(run(&master, clock), Exit::Ok);
        assert_eq!(master.requests(), requests);
    }
}

/// A CA certificate that has not begun by this host's clock: the signer's clock says otherwise.
#[test]
fn clock_before_the_ca_renews() {
    let ca = Ca::new();
    let master = master(&ca, 1);
    for _ in 1..=2 {
        assert_eq!(run(&master, || right() - 2 * HOUR), Exit::Ok);
        assert_eq!(master.requests(), 1);
    }
    assert!((clock_offset(&master) - 2 * HOUR).abs() < 30);
    let output = master.run(&["status"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("warning: this host's clock was 1h behind the signer's")
            || said.contains("warning: this host's clock was 2h behind the signer's"),
        "{said}"
    );
}
