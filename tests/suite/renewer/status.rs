//! `status` and the metrics: what people and monitoring are told.

use super::Master;
use crate::harness::{Ca, openssl_text};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn table(master: &Master) -> (Option<i32>, String) {
    let output = master.run(&["status"]);
    assert!(output.stderr.is_empty(), "{output:?}");
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[test]
fn status_table_and_exit_code_agree() {
    let ca = Ca::new();
    let master = Master::new();
    master.set_without_ssh(&ca, "");
    let (code, said) = table(&master);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("ca.crt: it is missing"), "{said}");
    assert!(said.contains("renew has never completed"), "{said}");

    master.renews(&[]);
    let (code, said) = table(&master);
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    let heads =
        regex::Regex::new("^CERTIFICATE +EXPIRES +RESIDUAL TIME +CERTIFICATE AUTHORITY +STATE$")
            .unwrap();
    assert!(heads.is_match(lines[0]), "{said}");
    let end = openssl_text(master.dir.path(), "x509 -in client.crt -noout -enddate");
    // notAfter=Nov 24 10:00:00 2026 GMT
    let parts: Vec<&str> = end
        .trim()
        .strip_prefix("notAfter=")
        .unwrap()
        .split_whitespace()
        .collect();
    let (month, day, time, year) = (parts[0], parts[1], &parts[2][..5], parts[3]);
    let expected = format!(
        "client.crt   {month} {day:0>2}, {year} {time} UTC   23h             test-ca                 valid"
    );
    assert!(lines[1].ends_with(&expected), "{expected}\n{said}");
    // The values stand under their heads.
    assert_eq!(lines[0].find("STATE"), lines[1].find("valid"), "{said}");
    assert!(
        said.contains("last renewed ") && said.contains(" by signer@leader\n"),
        "{said}"
    );

    // Every certificate of another CA, key or name is unusable.
    let other = Ca::new();
    std::fs::copy(other.dir.join("ca.crt"), master.dir.join("ca.crt")).unwrap();
    let (code, said) = table(&master);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("unusable: it is not signed by an installed CA"),
        "{said}"
    );
}

/// A minute from valid over due to expired; then a run that renews it all the same.
#[test]
fn certificate_goes_from_valid_to_due_to_expired() {
    let ca = Ca::new();
    ca.set("validity = \"1m\"");
    let master = Master::new();
    master.set_without_ssh(&ca, "");
    master.renews(&[]);
    let mut states = Vec::new();
    // The validity that openssl reads; two thirds of a minute, and up to a twenty-fourth sooner.
    let words = "x509 -in client.crt -noout -startdate -dateopt iso_8601";
    let begin = openssl_text(master.dir.path(), words);
    let begin = begin.trim().strip_prefix("notBefore=").unwrap();
    let begin = OffsetDateTime::parse(&begin.replace(' ', "T"), &Rfc3339).unwrap();
    let begin = begin.unix_timestamp();
    for _ in 0..400 {
        let before = now();
        let output = master.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let state = status["certificate"]["state"].as_str().unwrap().to_owned();
        let code = output.status.code().unwrap();
        match state.as_str() {
            "valid" => assert!(before < begin + 40, "due since {}", before - begin - 40),
            "due" => assert!(now() >= begin + 37 && before <= begin + 60),
            _ => assert!(now() > begin + 60),
        }
        if states.last() != Some(&(state.clone(), code)) {
            states.push((state.clone(), code));
        }
        if state == "expired" {
            break;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    let expected = [("valid", 0), ("due", 1), ("expired", 2)].map(|(s, c)| (s.to_owned(), c));
    assert_eq!(states, expected);
    let requests = master.requests();
    let said = master.renews(&[]);
    assert!(said.starts_with("renewed by "), "{said}");
    assert_eq!(master.requests(), requests + 1);
    master.has_a_pair();
}

#[test]
fn status_json_has_the_same_content() {
    let ca = Ca::new();
    let master = Master::new();
    master.set_without_ssh(&ca, "");
    master.renews(&[]);
    let status = master.status();
    let dir = master.dir.path();
    let sha256 = openssl_text(dir, "x509 -in client.crt -noout -fingerprint -sha256");
    let sha256 = sha256
        .trim()
        .split_once('=')
        .unwrap()
        .1
        .replace(':', "")
        .to_lowercase();
    assert_eq!(status["name"], "kubemaster-1");
    assert_eq!(status["certificate"]["sha256"], sha256);
    assert_eq!(status["certificate"]["authority"], "test-ca");
    let residual = status["certificate"]["residual_seconds"].as_i64().unwrap();
    assert!((86_000..=86_400).contains(&residual), "{residual}");
    assert_eq!(status["last_run"]["outcome"], "renewed");
    assert_eq!(status["last_success"]["signer"], "signer@leader");
    master.renews(&[]);
    assert_eq!(master.status()["last_run"]["outcome"], "not_due");
}

#[test]
fn metrics_are_written_whole_at_every_run() {
    let ca = Ca::new();
    let master = Master::new();
    let path = master.dir.join("x.prom");
    master.set_without_ssh(&ca, &format!("metrics = {path:?}"));
    let begin = now();
    master.renews(&[]);
    let value = |metric: &str| {
        let text = master.dir.read("x.prom");
        let line = text.lines().find(|line| line.starts_with(metric));
        let line = line.unwrap_or_else(|| panic!("{metric} is not in:\n{text}"));
        line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap()
    };
    let end = openssl_text(
        master.dir.path(),
        "x509 -in client.crt -noout -enddate -dateopt iso_8601",
    );
    let end = end
        .trim()
        .strip_prefix("notAfter=")
        .unwrap()
        .replace(' ', "T");
    let end = OffsetDateTime::parse(&end, &Rfc3339).unwrap();
    let name = "{name=\"kubemaster-1\"}";
    let not_after = value(&format!(
        "etcd_client_cert_not_after_timestamp_seconds{name}"
    ));
    assert_eq!(not_after, end.unix_timestamp());
    assert_eq!(value(&format!("etcd_client_cert_usable{name}")), 1);
    let success = value(&format!(
        "etcd_client_cert_last_success_timestamp_seconds{name}"
    ));
    assert!((begin..=now()).contains(&success));
    let outcome = |outcome| {
        value(&format!(
            "etcd_client_cert_last_outcome{{name=\"kubemaster-1\",outcome=\"{outcome}\"}}"
        ))
    };
    assert_eq!(
        (outcome("renewed"), outcome("not_due"), outcome("failed")),
        (1, 0, 0)
    );
    let signer = "etcd_client_cert_signer_info{name=\"kubemaster-1\",signer=\"signer@leader\"}";
    assert_eq!(value(signer), 1);
    assert_eq!(master.mode("x.prom"), 0o644);

    // A run that fails says so too, and keeps the certificate's own numbers.
    let dead = format!("ssh = \"/bin/false\"\nattempts = 1\nmetrics = {path:?}");
    master.set(&["leader".to_owned()], &dead);
    master.fails(&["--force"], 69, "it cannot answer (1)");
    assert_eq!((outcome("renewed"), outcome("failed")), (0, 1));
    assert_eq!(
        value(&format!(
            "etcd_client_cert_not_after_timestamp_seconds{name}"
        )),
        not_after
    );
    // And `status` writes them where it is told.
    let other = master.dir.join("other.prom");
    assert!(
        master
            .run(&["status", "--metrics", other.to_str().unwrap()])
            .status
            .success()
    );
    assert!(
        master
            .dir
            .read("other.prom")
            .contains("etcd_client_cert_usable")
    );
}
