//! Renewals, from a certificate in its last third to the one that etcd serves.

use super::bed::{Bed, DUE, Days, FRESH, URGENT};
use crate::harness::{Dir, in_namespace, is_root, openssl_text, records, run};
use std::fs;
use std::process::Stdio;

/// The state of each member in the answer in JSON.
fn states(json: &str) -> Vec<String> {
    let answer: serde_json::Value = serde_json::from_str(json).unwrap();
    answer["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["renewal"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn member_in_its_last_third_gets_a_certificate_for_its_key_and_names() {
    let bed = Bed::start(&[DUE]);
    let before = fs::read_to_string(bed.certificate(0)).unwrap();
    let key = bed.ca.dir.read("m0.key");
    let served = bed.served(0);

    let said = bed.renew(&["--dry-run"]).ok();
    assert!(
        said.contains("m0: until ") && said.contains("would be renewed"),
        "{said}"
    );
    assert_eq!(bed.count(), 0);
    let said = bed.fetch(0, &[]).ok();
    assert!(
        said.contains("is due, and no signer has published"),
        "{said}"
    );

    let said = bed.renew(&[]).ok();
    assert!(
        said.contains("m0: until ") && said.contains(": renewed; "),
        "{said}"
    );
    let published = bed.published(0);
    for words in ["-pubkey", "-subject", "-ext subjectAltName"] {
        assert_eq!(bed.said(&published, words), bed.said(&before, words));
    }
    assert_ne!(
        bed.said(&published, "-serial"),
        bed.said(&before, "-serial")
    );
    // The same lifetime, from now on: 90 days.
    bed.ca.dir.write("asked.crt", &published);
    for (seconds, holds) in [(90 * 86_400 - 300, true), (90 * 86_400, false)] {
        let words = format!("x509 -in asked.crt -noout -checkend {seconds}");
        let output = crate::harness::openssl_with(bed.ca.dir.path(), &words, b"");
        assert_eq!(output.status.success(), holds, "{seconds}");
    }
    for purpose in ["sslserver", "sslclient"] {
        let words = format!("verify -purpose {purpose} -x509_strict -CAfile ca.crt asked.crt");
        assert_eq!(openssl_text(bed.ca.dir.path(), &words), "asked.crt: OK\n");
    }

    // What is there and good is not made again.
    let said = bed.renew(&[]).ok();
    assert!(
        said.contains("renewed before, and not fetched yet"),
        "{said}"
    );
    assert_eq!(bed.published(0), published);

    let said = bed.fetch(0, &["--dry-run"]).ok();
    assert!(said.contains("would replace"), "{said}");
    assert_eq!(fs::read_to_string(bed.certificate(0)).unwrap(), before);
    let said = bed.fetch(0, &[]).ok();
    assert!(
        said.starts_with("replaced this member's certificate"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(bed.certificate(0)).unwrap(), published);
    assert_eq!(bed.ca.dir.read("m0.key"), key);
    // etcd serves it at the next handshake.
    assert_ne!(bed.served(0), served);
    assert_eq!(bed.served(0), bed.said(&published, "-serial"));

    assert!(bed.fetch(0, &[]).ok().starts_with("not due"));
    let said = bed.renew(&[]).ok();
    assert!(said.contains(": not due"), "{said}");
}

#[test]
fn fresh_certificate_is_left_alone() {
    let bed = Bed::start(&[FRESH]);
    assert!(bed.renew(&[]).ok().contains(": not due"));
    assert!(bed.fetch(0, &[]).ok().starts_with("not due"));
    assert_eq!(bed.count(), 0);
}

#[test]
fn members_are_renewed_one_after_another_unless_it_is_urgent() {
    let bed = Bed::start(&[DUE, Days(-71, 19), DUE]);
    let said = bed.renew(&["--json"]).ok();
    assert_eq!(states(&said), ["later", "renewed", "later"], "{said}");
    assert_eq!(bed.count(), 1);
    // The other two go on, whether or not that one fetches.
    let said = bed.renew(&["--json"]).ok();
    let mut found = states(&said);
    assert_eq!(found.remove(1), "waiting");
    found.sort();
    assert_eq!(found, ["later", "renewed"]);
    bed.renew(&["--json"]).ok();
    assert_eq!(bed.count(), 3);
    for index in 0..3 {
        assert!(bed.fetch(index, &[]).ok().starts_with("replaced"));
    }
    assert_eq!(
        states(&bed.renew(&["--json"]).ok()),
        ["not_due", "not_due", "not_due"]
    );
}

#[test]
fn urgent_members_are_renewed_at_once() {
    let bed = Bed::start(&[URGENT, URGENT, DUE]);
    assert_eq!(
        states(&bed.renew(&["--json"]).ok()),
        ["renewed", "renewed", "later"]
    );
    assert_eq!(states(&bed.renew(&["--json", "--all"]).ok())[2], "renewed");
    assert_eq!(bed.count(), 3);
}

#[test]
fn two_signers_at_once_do_no_harm() {
    let bed = Bed::start(&[URGENT, URGENT, URGENT]);
    let mut runs: Vec<_> = (0..4)
        .map(|_| {
            bed.renew_command(&[])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for run in &mut runs {
        assert!(run.wait().unwrap().success());
    }
    assert_eq!(bed.count(), 3);
    for index in 0..3 {
        assert!(bed.fetch(index, &[]).ok().starts_with("replaced"));
    }
    assert_eq!(
        states(&bed.renew(&["--json"]).ok()),
        ["not_due", "not_due", "not_due"]
    );
}

#[test]
fn member_that_is_down_is_named_and_renewed_when_it_is_back() {
    let mut bed = Bed::start(&[URGENT, URGENT, FRESH]);
    bed.kill(1);
    let mut answer = bed.renew(&[]);
    // It may have been the leader: the others elect another one.
    bed.wait("a leader", |bed| {
        let is_led = !answer.stdout.is_empty();
        if !is_led {
            answer = bed.renew(&[]);
        }
        is_led
    });
    assert_eq!(answer.code, Some(69), "{answer:?}");
    let named = format!("m1: https://{}:2379: nothing listens there", bed.address(1));
    assert!(answer.stderr.contains(&named), "{answer:?}");
    assert_eq!(answer.stderr.lines().count(), 1);
    assert!(answer.stdout.contains("m1: not renewed: "), "{answer:?}");
    assert_eq!(bed.count(), 1);
    assert!(bed.fetch(0, &[]).ok().starts_with("replaced"));
    bed.run(1);
    bed.wait("the member to be back", |bed| {
        bed.renew(&[]).code == Some(0)
    });
    bed.wait("the member to have it", |bed| {
        bed.fetch(1, &[]).stdout.starts_with("replaced")
    });
}

#[test]
fn cluster_without_quorum_is_said_and_nothing_is_lost() {
    let mut bed = Bed::start(&[URGENT, URGENT, URGENT]);
    bed.renew(&[]).ok();
    let published = bed.published(0);
    bed.kill(1);
    bed.kill(2);
    let answer = bed.renew(&[]);
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(69), ""));
    assert!(
        answer.stderr.contains("without a quorum")
            || answer.stderr.contains("does not agree on anything now"),
        "{answer:?}"
    );
    // What was published before can be fetched all the same.
    assert!(bed.fetch(0, &[]).ok().starts_with("replaced"));
    assert_eq!(fs::read_to_string(bed.certificate(0)).unwrap(), published);
    bed.run(1);
    bed.wait("a quorum", |bed| {
        bed.renew(&[]).code == Some(69) && bed.count() == 3
    });
}

#[test]
fn authentication_of_etcd_needs_the_roles_that_the_errors_name() {
    let bed = Bed::start(&[URGENT]);
    for words in [
        "user add root --no-password",
        "user grant-role root root",
        "auth enable",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        bed.etcdctl(&words, b"");
    }
    let refused = |answer: crate::harness::Answer, user: &str, access: &str| {
        assert_eq!(answer.code, Some(69), "{answer:?}");
        assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
        let role = format!(
            "the user {user} needs a role with {access} on the prefix /etcd-signer/member/"
        );
        assert!(answer.stderr.contains(&role), "{answer:?}");
    };
    bed.etcdctl(&["user", "add", "etcd-signer", "--no-password"], b"");
    bed.etcdctl(&["user", "add", "etcd-member", "--no-password"], b"");
    refused(bed.renew(&[]), "etcd-signer", "readwrite");
    refused(bed.fetch(0, &[]), "etcd-member", "read");
    // The runbook's own lines; the users are there already.
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/RUNBOOK.md");
    let page = fs::read_to_string(page).unwrap();
    let section = page
        .split("## Members and etcd's authentication\n")
        .nth(1)
        .unwrap();
    let lines: Vec<&str> = section
        .split("\n## ")
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("    etcdctl "))
        .filter(|line| !line.starts_with("user add "))
        .collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    for words in lines {
        let words: Vec<&str> = words.split(' ').collect();
        bed.etcdctl(&words, b"");
    }
    assert!(bed.renew(&[]).ok().contains(": renewed; "));
    assert!(bed.fetch(0, &[]).ok().starts_with("replaced"));
}

#[test]
fn certificate_never_outlives_the_ca() {
    let bed = Bed::start(&[DUE]);
    // The same key, for less time than the member's certificate lasts; and for less than it has left.
    let mut said = Vec::new();
    for days in [40, 10] {
        fs::rename(bed.ca.dir.join("ca.crt"), bed.ca.dir.join("long.crt")).unwrap();
        crate::harness::openssl(
            bed.ca.dir.path(),
            &format!(
                "req -x509 -new -key ca.key -out ca.crt -subj /CN=etcd-ca -days {days} -addext \
                 keyUsage=critical,keyCertSign,cRLSign"
            ),
        );
        said.push(bed.renew(&[]).ok());
        if days == 40 {
            let end = openssl_text(bed.ca.dir.path(), "x509 -in ca.crt -noout -enddate");
            assert_eq!(bed.said(&bed.published(0), "-enddate"), end);
            bed.etcdctl(&["del", "--prefix", "/etcd-signer/"], b"");
        }
    }
    assert!(said[0].contains(": renewed; "), "{said:?}");
    assert!(
        said[1].contains("the CA certificate ends first"),
        "{said:?}"
    );
    assert_eq!(bed.count(), 0);
}

#[test]
fn metrics_tell_of_every_member() {
    let bed = Bed::start(&[URGENT, FRESH]);
    let file = bed.ca.dir.join("renew.prom");
    bed.renew(&["--metrics", file.to_str().unwrap()]).ok();
    let text = bed.ca.dir.read("renew.prom");
    for line in [
        "etcd_signer_member_renew_success 1",
        "etcd_signer_member_renewal{member=\"m0\",state=\"renewed\"} 1",
        "etcd_signer_member_renewal{member=\"m0\",state=\"not_due\"} 0",
        "etcd_signer_member_renewal{member=\"m1\",state=\"not_due\"} 1",
        "etcd_signer_member_served_not_after_timestamp_seconds{member=\"m1\"} ",
    ] {
        assert!(text.contains(line), "no «{line}» in {text}");
    }
    let file = bed.ca.dir.join("fetch.prom");
    bed.fetch(0, &["--metrics", file.to_str().unwrap()]).ok();
    let text = bed.ca.dir.read("fetch.prom");
    for line in [
        "etcd_signer_member_fetch_success 1",
        "etcd_signer_member_due 0",
        "etcd_signer_member_not_after_timestamp_seconds ",
    ] {
        assert!(text.contains(line), "no «{line}» in {text}");
    }
    bed.publish(1, "x");
    let answer = bed.fetch(1, &["--metrics", file.to_str().unwrap()]);
    assert_eq!(answer.code, Some(65));
    assert!(
        bed.ca
            .dir
            .read("fetch.prom")
            .contains("etcd_signer_member_fetch_success 0")
    );
}

#[test]
fn each_certificate_has_an_audit_record() {
    if !is_root("a journal of its own, to look for the records of renewed certificates in") {
        return;
    }
    let bed = Bed::start(&[URGENT, URGENT, FRESH]);
    let dir = Dir::new();
    let plain = bed.renew_command(&[]);
    let mut command = in_namespace(&dir, true, plain.get_program().to_str().unwrap());
    command.args(plain.get_args()).env_remove("SSH_CONNECTION");
    let output = run(&mut command, b"");
    assert!(output.status.success(), "{output:?}");
    let records = records(&dir, 2);
    assert_eq!(records.len(), 2);
    for (record, index) in records.iter().zip(0..) {
        let published = bed.published(index);
        let serial = bed.said(&published, "-serial");
        let serial = serial.trim().strip_prefix("serial=").unwrap();
        let field = |name: &str| record[format!("ETCD_SIGNER_{name}")].as_str().unwrap();
        let own = field("SERIAL").to_uppercase();
        assert_eq!(own.trim_start_matches('0'), serial.trim_start_matches('0'));
        assert_eq!(field("REQUEST"), "member renew");
        assert_eq!(field("NAME"), "etcd-member");
        assert_eq!(field("OUTCOME"), "granted");
        let hash = bed.key(&format!("m{index}"));
        assert!(hash.ends_with(field("PUBLIC_KEY_SHA256")), "{hash}");
        assert!(field("CONFINEMENT").starts_with("seccomp"));
        let message = record["MESSAGE"].as_str().unwrap();
        let hosts = format!(
            "granted member renew for {}, 127.0.0.1, m{index}.example: valid until ",
            bed.address(index)
        );
        assert!(message.starts_with(&hosts), "{message}");
    }
}
