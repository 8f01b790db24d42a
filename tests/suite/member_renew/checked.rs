//! What `check` says of renewals: on the member, and on a signer.

use super::bed::{Bed, DUE, FRESH, MEMBER, URGENT};
use crate::harness::{in_namespace, is_root, left_out, run};
use serde_json::Value;

/// Runs `check` on a host that has the files of the first member in place, after these lines of
/// shell, with an etc of its own: subject, verdict and text of each finding.
fn check(bed: &Bed, is_signer: bool, prepare: &str) -> Option<Vec<[String; 3]>> {
    if !is_root("check on a host of its own") {
        return None;
    }
    let dir = bed.ca.dir.path().display();
    let settings = if is_signer { "config.toml" } else { "m0.toml" };
    bed.fetch_command(0, &[]);
    let advertised = bed.url(0);
    let script = format!(
        "set -e\n\
         mkdir -p {dir}/etc; mount -t tmpfs tmpfs {dir}/etc; mkdir {dir}/etc/up {dir}/etc/work\n\
         mount -t overlay overlay -o lowerdir=/etc,upperdir={dir}/etc/up,workdir={dir}/etc/work \
         /etc || exit 7\n\
         mkdir -p /etc/etcd/pki\n\
         cp {dir}/ca.crt /etc/etcd/pki/; cp {dir}/m0.crt /etc/etcd/pki/member.crt\n\
         cp {dir}/m0.key /etc/etcd/pki/member.key\n\
         echo ETCD_ADVERTISE_CLIENT_URLS={advertised} >/etc/etcd/etcd.env\n\
         {prepare}\n\
         {signer} check --json --only member --config {dir}/{settings} || [ $? -le 2 ]\n",
        signer = crate::signer_path().display(),
    );
    if !is_signer {
        let text = bed.ca.dir.read("m0.toml");
        bed.ca
            .dir
            .write("m0.toml", format!("ca_key = \"/nowhere\"\n{text}"));
    }
    let mut command = in_namespace(&bed.ca.dir, false, "bash");
    command.args(["-c", &script]);
    let output = run(&mut command, b"");
    if output.status.code() == Some(7) {
        left_out("check on a host of its own: no overlay can be mounted here");
        return None;
    }
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    Some(
        findings
            .map(|finding| {
                ["subject", "verdict", "text"].map(|key| finding[key].as_str().unwrap().to_owned())
            })
            .collect(),
    )
}

#[track_caller]
fn has(found: &[[String; 3]], subject: &str, verdict: &str, words: &str) {
    let is_it =
        |[of, is, text]: &&[String; 3]| of == subject && is == verdict && text.contains(words);
    assert!(
        found.iter().any(|finding| is_it(&finding)),
        "no {verdict} of {subject} with «{words}» in {found:#?}"
    );
}

const TIMER: &str = "mkdir -p /etc/systemd/system/timers.target.wants\n\
    ln -s x /etc/systemd/system/timers.target.wants/etcd-signer-member-fetch.timer";

#[test]
fn member_is_told_what_its_renewal_waits_for() {
    let bed = Bed::start(&[DUE]);
    let Some(found) = check(&bed, false, "") else {
        return;
    };
    has(
        &found,
        "member renewal",
        "warn",
        "systemctl enable --now etcd-signer-member-fetch.timer",
    );
    has(&found, "member renewal", "warn", "nobody has renewed it");
    let found = check(&bed, false, TIMER).unwrap();
    has(
        &found,
        "member renewal",
        "ok",
        "etcd-signer-member-fetch.timer is on",
    );
    let found = check(
        &bed,
        false,
        "mkdir -p /etc/cron.d; touch /etc/cron.d/etcd-signer-member",
    );
    has(
        &found.unwrap(),
        "member renewal",
        "ok",
        "/etc/cron.d/etcd-signer-member",
    );
    bed.publish(0, "nonsense");
    let found = check(&bed, false, TIMER).unwrap();
    has(
        &found,
        "member renewal",
        "warn",
        "is not taken (it is not one whole certificate",
    );
    bed.renew(&[]).ok();
    let found = check(&bed, false, TIMER).unwrap();
    has(
        &found,
        "member renewal",
        "warn",
        "waiting to be fetched: etcd-signer member fetch",
    );
    bed.fetch(0, &[]).ok();
    let found = check(&bed, false, TIMER).unwrap();
    let own = found
        .iter()
        .filter(|[subject, ..]| subject == "member renewal");
    assert_eq!(own.count(), 1, "{found:#?}");
    assert!(found.iter().all(|[subject, ..]| subject != "members"));
}

#[test]
fn names_that_do_not_fit_the_member_are_a_failure() {
    let bed = Bed::start(&[FRESH]);
    let Some(found) = check(&bed, false, "") else {
        return;
    };
    has(
        &found,
        "member names",
        "ok",
        "for what this member advertises",
    );
    let address = bed.address(0);
    for (names, words) in [
        // The example of a page, pasted as it stands.
        (
            "IP:10.0.0.12,DNS:n2,IP:127.0.0.1,DNS:localhost".to_owned(),
            format!("is not for {address}, which"),
        ),
        (
            format!("IP:{address}"),
            "is not for 127.0.0.1, which".to_owned(),
        ),
    ] {
        bed.certify(
            "m0",
            "etcd-member",
            &format!("subjectAltName={names}\n{MEMBER}"),
            FRESH,
        );
        let found = check(&bed, false, "").unwrap();
        has(&found, "member names", "fail", &words);
        has(
            &found,
            "member names",
            "fail",
            "etcd-signer member sign --host",
        );
    }
}

/// Where etcd has its settings from a file of its own, the cluster's list is asked.
#[test]
fn names_are_compared_with_the_clusters_list_without_settings() {
    let bed = Bed::start_advertising("https://127.9.9.9:2379");
    let Some(found) = check(&bed, false, "rm /etc/etcd/etcd.env") else {
        return;
    };
    has(
        &found,
        "member names",
        "fail",
        "is not for 127.9.9.9, which",
    );
}

#[test]
fn signer_is_told_of_every_member() {
    let mut bed = Bed::start(&[FRESH, URGENT, FRESH]);
    let Some(found) = check(&bed, true, "") else {
        return;
    };
    has(
        &found,
        "members",
        "warn",
        "systemctl enable --now etcd-signer-member-renew.timer",
    );
    has(&found, "members", "ok", "m0, until ");
    has(&found, "members", "warn", "m1, until ");
    has(
        &found,
        "members",
        "warn",
        "due: etcd-signer member renew --all",
    );
    bed.renew(&[]).ok();
    let found = check(&bed, true, "").unwrap();
    has(&found, "members", "warn", "renewed, and not fetched");
    bed.kill(2);
    bed.wait("a leader", |bed| bed.count() == 1);
    let found = check(&bed, true, "").unwrap();
    has(
        &found,
        "members",
        "warn",
        "m2 could not be reached: https://",
    );
    has(&found, "members", "ok", "m0, until ");
}
