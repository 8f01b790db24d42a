//! Against real etcd. `ETCD` and `ETCDCTL` name other executables than those on the path.

use super::cluster::{Cluster, version};
use super::pki::Pki;
use super::{answers, fails, get_peers, signer};
use base64::Engine as _;
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn single_member_is_listed() {
    let cluster = Cluster::start(1);
    answers(
        &get_peers(&cluster.pki, &[&cluster.url(0)]),
        &cluster.urls(&[0]),
    );
}

#[test]
fn members_are_listed_with_one_down_and_without_quorum() {
    let mut cluster = Cluster::start(3);
    let all = cluster.urls(&[0, 1, 2]);
    for index in 0..3 {
        answers(&get_peers(&cluster.pki, &[&cluster.url(index)]), &all);
    }
    cluster.kill(2);
    answers(&get_peers(&cluster.pki, &[&cluster.url(0)]), &all);

    // The first endpoint is down: it is the second that answers.
    cluster.kill(1);
    let endpoints = [cluster.url(1), cluster.url(0)];
    let put = cluster.try_etcdctl(&["put", "a", "b", "--command-timeout=2s"], 0);
    assert!(!put.status.success(), "there still is a quorum: {put:?}");
    answers(
        &get_peers(&cluster.pki, &endpoints.each_ref().map(String::as_str)),
        &all,
    );

    cluster.kill(0);
    let output = get_peers(&cluster.pki, &endpoints.each_ref().map(String::as_str));
    let first = format!("{}: nothing listens there: start etcd", endpoints[0]);
    let second = format!("{}: nothing listens there [", endpoints[1]);
    fails(&output, &[&first, &second]);
}

/// What `check` says of the cluster, asked through these members: verdicts and texts.
fn cluster_findings(cluster: &Cluster, indices: &[usize]) -> Vec<(String, String)> {
    let settings = cluster.pki.path("check.toml");
    let endpoints: Vec<String> = indices.iter().map(|&index| cluster.url(index)).collect();
    fs::write(
        &settings,
        format!(
            "ca_certificate = {:?}\nca_key = {:?}\netcd_endpoints = {endpoints:?}\n",
            cluster.pki.certificate(),
            cluster.pki.path("ca.key"),
        ),
    )
    .unwrap();
    let output = Command::new(crate::signer_path())
        .args(["check", "--json", "--only", "member", "--config"])
        .arg(&settings)
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap().to_owned();
    findings
        .filter(|finding| finding["subject"] == "cluster")
        .map(|finding| (text(finding, "verdict"), text(finding, "text")))
        .collect()
}

/// The first of them.
fn cluster_finding(cluster: &Cluster) -> (String, String) {
    cluster_findings(cluster, &[0, 1, 2]).swap_remove(0)
}

#[test]
fn check_counts_the_members_that_answer() {
    let mut cluster = Cluster::start(3);
    let says = |cluster: &Cluster, verdict: &str, words: &[&str]| {
        let (found, text) = cluster_finding(cluster);
        assert_eq!(found, verdict, "{text}");
        for words in words {
            assert!(text.contains(words), "no «{words}» in: {text}");
        }
    };
    says(
        &cluster,
        "ok",
        &["3 of 3 voting members answer", "1 more may fail"],
    );
    cluster.kill(2);
    let silent = format!("member2 ({}): nothing listens there", cluster.url(2));
    cluster.wait("a leader", |cluster| cluster_finding(cluster).0 == "warn");
    says(&cluster, "warn", &["2 of 3", "no more may fail", &silent]);
    cluster.kill(1);
    says(
        &cluster,
        "fail",
        &[
            "no quorum: 1 of 3 voting members answer, and 2 are needed",
            &silent,
        ],
    );
}

#[test]
fn check_names_an_alarm() {
    // 1 MiB; etcd's own database has 20 KiB.
    let cluster = Cluster::start_with(1, &["--quota-backend-bytes", "1048576"]);
    let value = "x".repeat(100_000);
    cluster.wait("the quota to be reached", |cluster| {
        !cluster
            .try_etcdctl(&["put", "a", &value], 0)
            .status
            .success()
    });
    let found = cluster_findings(&cluster, &[0]);
    let is_named = |(verdict, text): &(String, String)| {
        verdict == "fail"
            && text.contains("member0 has raised an alarm")
            && text.contains("NOSPACE")
    };
    assert_eq!(
        found.iter().filter(|one| is_named(one)).count(),
        1,
        "{found:?}"
    );
}

#[test]
fn five_members_are_listed() {
    let cluster = Cluster::start(5);
    answers(
        &get_peers(&cluster.pki, &[&cluster.url(4)]),
        &cluster.urls(&[0, 1, 2, 3, 4]),
    );
}

#[test]
fn learner_is_left_out() {
    let mut cluster = Cluster::start(1);
    let learner = cluster.add(&["--learner"]);
    answers(
        &get_peers(&cluster.pki, &[&cluster.url(0)]),
        &cluster.urls(&[0]),
    );
    cluster.join(learner);
    answers(
        &get_peers(&cluster.pki, &[&cluster.url(0)]),
        &cluster.urls(&[0]),
    );
    let alone = get_peers(&cluster.pki, &[&cluster.url(learner)]);
    fails(&alone, &["it is a learner", "add a voting member"]);
    answers(
        &get_peers(&cluster.pki, &[&cluster.url(learner), &cluster.url(0)]),
        &cluster.urls(&[0]),
    );
}

#[test]
fn unstarted_member_is_left_out() {
    let mut cluster = Cluster::start(3);
    let added = cluster.add(&[]);
    let before = get_peers(&cluster.pki, &[&cluster.url(0)]);
    answers(&before, &cluster.urls(&[0, 1, 2]));
    cluster.join(added);
    let after = get_peers(&cluster.pki, &[&cluster.url(0)]);
    answers(&after, &cluster.urls(&[0, 1, 2, added]));
}

/// Where a member listens is not always where one can connect to.
#[test]
fn address_that_nobody_can_connect_to_is_left_out() {
    let arguments = &["--advertise-client-urls=https://0.0.0.0:2379,https://etcd-1.example:2379"];
    let cluster = Cluster::start_with(1, arguments);
    let some = get_peers(&cluster.pki, &[&cluster.url(0)]);
    answers(&some, "https://etcd-1.example:2379\n");

    let arguments = &["--advertise-client-urls=https://0.0.0.0:2379,https://[::]:2379"];
    let cluster = Cluster::start_with(1, arguments);
    let none = get_peers(&cluster.pki, &[&cluster.url(0)]);
    fails(
        &none,
        &[
            "its members advertise https://0.0.0.0:2379, https://[::]:2379, which no host can \
             connect to: start each etcd with --advertise-client-urls",
        ],
    );
}

/// Every server certificate here is for serverAuth alone, too.
#[test]
fn json_gateway_is_not_needed() {
    let cluster = Cluster::start_with(1, &["--enable-grpc-gateway=false"]);
    answers(
        &get_peers(&cluster.pki, &[&cluster.url(0)]),
        &cluster.urls(&[0]),
    );
}

/// TLS 1.3 refuses a client after its handshake, and closes with the request unread: the
/// reason must not be lost in that.
#[test]
fn etcd_with_another_client_ca_is_reported_every_time() {
    let cluster = Cluster::start_for_others();
    for _ in 0..20 {
        let output = get_peers(&cluster.pki, &[&cluster.url(0)]);
        fails(
            &output,
            &["the server rejected our certificate (", "--trusted-ca-file"],
        );
    }
}

#[test]
fn etcd_with_tls_1_2_only_is_accepted() {
    // Of GCM suites, which TLS 1.3 does not know, so that it cannot be agreed upon.
    let arguments = &["--cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"];
    let cluster = Cluster::start_with(1, arguments);
    answers(
        &get_peers(&cluster.pki, &[&cluster.url(0)]),
        &cluster.urls(&[0]),
    );
}

/// etcd takes the name from the certificate, and does not look whether it has such a user.
#[test]
fn etcd_authentication_needs_a_user_without_a_role() {
    let cluster = Cluster::start(1);
    cluster.enable_auth();
    let without = get_peers(&cluster.pki, &[&cluster.url(0)]);
    answers(&without, &cluster.urls(&[0]));
    cluster.etcdctl(&["user", "add", "etcd-signer", "--no-password"], 0);
    let with = get_peers(&cluster.pki, &[&cluster.url(0)]);
    answers(&with, &cluster.urls(&[0]));
}

/// Then it has no name for whoever asks, and later releases want one.
#[test]
fn etcd_authentication_without_client_certificates_is_explained() {
    let cluster = Cluster::start_with(1, &["--client-cert-auth=false"]);
    cluster.enable_auth();
    let output = get_peers(&cluster.pki, &[&cluster.url(0)]);
    if version() < [3, 6, 10] && output.status.success() {
        answers(&output, &cluster.urls(&[0]));
    } else {
        fails(
            &output,
            &[
                "etcd does not know the client's identity",
                "start etcd with --client-cert-auth",
            ],
        );
    }
}

#[test]
fn etcdctl_works_with_answer_and_issued_certificate() {
    let cluster = Cluster::start(3);
    let key = cluster.pki.path("kubemaster-1.key");
    let request = Command::new("openssl")
        .args("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(' '))
        .args(["-subj", "/CN=kubemaster-1", "-keyout"])
        .arg(&key)
        .output()
        .unwrap();
    let input = cluster.pki.path("request");
    let encoded = base64::engine::general_purpose::STANDARD.encode(request.stdout);
    fs::write(&input, encoded).unwrap();
    let issued = signer(&cluster.pki, &[&cluster.url(0)], "kubemaster-1")
        .stdin(fs::File::open(input).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let certificate = cluster.pki.path("kubemaster-1.crt");
    fs::write(&certificate, issued.stdout).unwrap();

    let line = r#"ETCDCTL_ENDPOINTS=$("$0" "$@" | paste -sd,) "$ETCDCTL" endpoint health"#;
    let ask = signer(&cluster.pki, &[&cluster.url(0)], "get-peers");
    let health = Command::new("sh")
        .args(["-c", line])
        .arg(ask.get_program())
        .args(ask.get_args())
        .env("SSH_ORIGINAL_COMMAND", "get-peers")
        .env(
            "ETCDCTL",
            std::env::var("ETCDCTL").unwrap_or_else(|_| "etcdctl".to_owned()),
        )
        .env("ETCDCTL_API", "3")
        .env("ETCDCTL_CACERT", cluster.pki.certificate())
        .env("ETCDCTL_CERT", certificate)
        .env("ETCDCTL_KEY", key)
        .output()
        .unwrap();
    assert!(health.status.success(), "{health:?}");
    let said = String::from_utf8_lossy(&[health.stdout, health.stderr].concat()).into_owned();
    for index in 0..3 {
        let healthy = format!("{} is healthy", cluster.url(index));
        assert!(said.contains(&healthy), "{said}");
    }
}

#[test]
fn etcd_of_another_ca_is_refused() {
    let cluster = Cluster::start(1);
    let other = Pki::new();
    let output = get_peers(&other, &[&cluster.url(0)]);
    fails(
        &output,
        &["its certificate was rejected: it was issued by another CA"],
    );
}
