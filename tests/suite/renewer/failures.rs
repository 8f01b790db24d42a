//! Signers that are dead, stalled, refusing or lying, behind a real sshd: the old certificate
//! stays, the reason is told, and the next signer is asked.

use super::{Master, certify, certify_with};
use crate::harness::{Ca, Login, Sshd, free_port, key_words, openssl};
use crate::used_by::forced_command;
use std::fs;

/// What a forced command does instead of serving, and what is said of it.
struct Lie {
    what: &'static str,
    command: String,
    code: i32,
    words: &'static str,
}

struct Scene {
    ca: Ca,
    _others: [Ca; 2],
    master: Master,
    good: Sshd,
    liar: Sshd,
    lies: Vec<Lie>,
}

impl Scene {
    /// A master with a certificate, a signer that serves, and one that can do anything.
    fn new() -> Self {
        let (ca, other) = (Ca::new(), Ca::with("p256", "-subj /CN=other-ca -days 30"));
        let namesake = Ca::new();
        let good = Sshd::start(Login::ForceCommand, &forced_command(&ca));
        let master = Master::new();
        let script = master.dir.join("lie");
        let liar = Sshd::start(
            Login::ForceCommand,
            &format!("/bin/sh {}", script.display()),
        );
        // Both signers are logged into with the same key.
        for name in ["client.pub", "authorized_keys"] {
            fs::copy(good.dir.join("client.pub"), liar.dir.join(name)).unwrap();
        }
        let scene = Self {
            lies: lies(&ca, &other, &namesake, &master),
            ca,
            _others: [other, namesake],
            master,
            good,
            liar,
        };
        scene.set(&[scene.good.place()], "");
        scene.master.renews(&[]);
        scene
    }

    fn set(&self, signers: &[String], more: &str) {
        let identity = self.good.dir.join("client");
        self.master.set(
            signers,
            &format!("identity = {identity:?}\nattempts = 1\nretry_delay = \"1s\"\nuse_members = false\n{more}"),
        );
    }
}

/// The answers are all made by openssl, for the key that the master has.
fn lies(ca: &Ca, other: &Ca, namesake: &Ca, master: &Master) -> Vec<Lie> {
    let dir = master.dir.path();
    let signer = crate::signer_path();
    let serve = |ca: &Ca, command: &str| {
        let settings = ca.settings();
        format!(
            "SSH_ORIGINAL_COMMAND={command} {} serve --config {}",
            signer.display(),
            settings.display()
        )
    };
    openssl(dir, &format!("{} -out client.key", key_words("p256")));
    openssl(dir, &format!("{} -out foreign.key", key_words("p256")));
    let certify = |key: &str, name: &str, dates: &str, out: &str| {
        certify(ca, master, key, name, dates, out);
        format!("cat {}/{out}.crt", dir.display())
    };
    let name = "kubemaster-1";
    let extended = |extensions: &str, out: &str| {
        certify_with(ca, master, "client.key", name, "-days 1", out, extensions);
        format!("cat {}/{out}.crt", dir.display())
    };
    let good = certify("client.key", name, "-days 1", "right");
    let cut = format!("head -c 400 {}/right.crt", dir.display());
    let lie = |what, command: String, code, words| Lie {
        what,
        command,
        code,
        words,
    };
    vec![
        lie(
            "stalled",
            "exec sleep 300".to_owned(),
            69,
            "no answer within 3 s",
        ),
        lie("gone", "exit 255".to_owned(), 69, "no answer: "),
        lie(
            "refusing the request",
            format!("echo AAAA | {}", serve(ca, name)),
            65,
            "refused (65): request refused: ",
        ),
        lie(
            "refusing the name",
            serve(ca, "kubemaster-"),
            65,
            "refused (64): ",
        ),
        lie(
            "not set up",
            format!("{} serve --config /nonexistent/x", signer.display()),
            69,
            "it cannot answer (78): settings /nonexistent/x",
        ),
        lie(
            "not installed",
            "exec /nonexistent/etcd-signer".to_owned(),
            69,
            "it cannot answer (127): ",
        ),
        lie(
            "of another CA",
            format!(
                "case $SSH_ORIGINAL_COMMAND in kube*) {} ;; *) {} ;; esac",
                serve(other, name),
                serve(other, "get-certificate")
            ),
            65,
            "is not signed by an installed CA: the signer's has the SHA-256 ",
        ),
        lie(
            "for another name",
            certify("client.key", "kubemaster-2", "-days 1", "name"),
            65,
            "is for a different name: kubemaster-2",
        ),
        lie(
            "for another key",
            certify("foreign.key", name, "-days 1", "key"),
            65,
            "is for a different key",
        ),
        lie(
            "expired",
            certify(
                "client.key",
                name,
                "-startdate 20200101000000Z -enddate 20200102000000Z",
                "expired",
            ),
            65,
            "is valid from 2020-01-01T00:00:00Z to 2020-01-02T00:00:00Z, but it is ",
        ),
        lie(
            "of the future",
            certify(
                "client.key",
                name,
                "-startdate 21200101000000Z -enddate 21200102000000Z",
                "future",
            ),
            65,
            "is valid from 2120-01-01T00:00:00Z",
        ),
        lie(
            "of a CA of the same name",
            serve(namesake, name),
            65,
            "is not signed by an installed CA",
        ),
        lie(
            "a server's",
            extended(
                "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:kubemaster-1\n",
                "server",
            ),
            65,
            "is not for a TLS client",
        ),
        lie(
            "for any use",
            extended("subjectAltName=DNS:kubemaster-1\n", "any"),
            65,
            "is not for a TLS client",
        ),
        lie(
            "a CA's",
            extended(
                "basicConstraints=CA:true\nextendedKeyUsage=clientAuth\n\
                 subjectAltName=DNS:kubemaster-1\n",
                "authority",
            ),
            65,
            "is a CA certificate",
        ),
        lie(
            "for a further name",
            extended(
                "extendedKeyUsage=clientAuth\n\
                 subjectAltName=DNS:kubemaster-1,DNS:kubemaster-2\n",
                "names",
            ),
            65,
            "its subjectAltName must contain only that name",
        ),
        lie(
            "without alternative names",
            extended("extendedKeyUsage=clientAuth\n", "no-names"),
            65,
            "its subjectAltName must contain only that name",
        ),
        lie(
            "noise",
            "head -c 10485760 /dev/urandom".to_owned(),
            65,
            "its answer is longer than 65536 bytes",
        ),
        lie("cut in half", cut, 65, "contains a truncated certificate"),
        lie(
            "twice",
            format!("{good}; {good}"),
            65,
            "contains more than one certificate",
        ),
        lie(
            "nothing",
            "exit 0".to_owned(),
            65,
            "its answer contains no certificate",
        ),
        lie(
            "words alone",
            "echo Welcome; echo hello >&2".to_owned(),
            65,
            "its answer contains no certificate",
        ),
    ]
}

#[test]
fn broken_signer_is_passed_over() {
    let scene = Scene::new();
    let master = &scene.master;
    for lie in &scene.lies {
        let what = lie.what;
        master.dir.write("lie", &lie.command);
        let before = master.read("client.crt");

        // It alone: the old certificate stays, and everybody is told why.
        scene.set(&[scene.liar.place()], "timeout = \"3s\"");
        let said = master.fails(&["--force"], lie.code, lie.words);
        let place = scene.liar.place();
        assert!(
            said.contains(&format!("etcd-client-cert: {place}: ")),
            "{what}: {said}"
        );
        assert_eq!(master.read("client.crt"), before, "{what}");
        let status = master.status();
        let failure = &status["last_attempt"]["failures"][0];
        assert_eq!(failure["signer"], place, "{what}");
        let reason = failure["reason"].as_str().unwrap();
        assert!(reason.contains(lie.words), "{what}: {reason}");
        let table = String::from_utf8(master.run(&["status"]).stdout).unwrap();
        assert!(table.contains(lie.words), "{what}: {table}");
        assert_eq!(status["last_run"]["outcome"], "failed");
        assert_eq!(status["certificate"]["state"], "valid", "{what}");

        // One of three, with a dead one besides: the next that is healthy is used.
        let dead = format!("signer@127.0.0.1:{}", free_port());
        scene.set(
            &[place, dead.clone(), scene.good.place()],
            "timeout = \"3s\"",
        );
        let said = master.renews(&["--force"]);
        let renewed = format!("renewed by {}: ", scene.good.place());
        assert!(said.contains(&renewed), "{what}: {said}");
        assert_ne!(master.read("client.crt"), before, "{what}");
        master.has_a_pair();
        let status = master.status();
        let failures = status["last_attempt"]["failures"].as_array().unwrap();
        assert_eq!(failures.len(), 2, "{what}: {status}");
        assert_eq!(failures[1]["signer"], dead);
        let reason = failures[1]["reason"].as_str().unwrap();
        assert!(reason.contains("Connection refused"), "{reason}");
    }
}

#[test]
fn text_around_an_answer_is_ignored() {
    let scene = Scene::new();
    let serve = format!(
        "printf 'Welcome to leader\\r\\n\\033[1m\\n'\n{}\necho; echo bye\n",
        forced_command(&scene.ca)
    );
    scene.master.dir.write("lie", serve);
    scene.set(&[scene.liar.place()], "");
    let before = scene.master.read("client.crt");
    scene.master.renews(&["--force"]);
    assert_ne!(scene.master.read("client.crt"), before);
    scene.master.has_a_pair();
}

/// The configured signers are gone; a member that `get-peers` named is asked.
#[test]
fn members_are_asked_when_signers_fail() {
    let scene = Scene::new();
    let master = &scene.master;
    // The list of members, from a script; the certificate, from the signer.
    let port = scene.good.place().rsplit_once(':').unwrap().1.to_owned();
    master.dir.write(
        "lie",
        format!(
            "case $SSH_ORIGINAL_COMMAND in get-peers) echo https://localhost:2379 ;; *) {} ;; esac",
            forced_command(&scene.ca)
        ),
    );
    scene.set(&[scene.liar.place()], "use_members = true");
    let text = master
        .dir
        .read("config.toml")
        .replace("use_members = false\n", "");
    master.dir.write("config.toml", &text);
    master.renews(&["--force"]);
    let status = master.status();
    let liars_port = scene.liar.place().rsplit_once(':').unwrap().1.to_owned();
    let user = scene.liar.place().split_once('@').unwrap().0.to_owned();
    let member = format!("{user}@localhost:{liars_port}");
    assert_eq!(status["members"], serde_json::json!([member]));

    let dead = format!("signer@127.0.0.1:{}", free_port());
    let text = text.replace(&scene.liar.place(), &dead);
    master.dir.write("config.toml", &text);
    let said = master.renews(&["--force"]);
    assert!(said.contains(&format!("renewed by {member}: ")), "{said}");
    assert_ne!(port, liars_port);

    // Unless the settings say that they are not to be asked.
    let text = text.replace("use_members = true", "use_members = false");
    master.dir.write("config.toml", &text);
    master.fails(&["--force"], 69, "none of 1 signers issued a certificate");
}

/// A signer that has left the cluster still signs, and cannot tell the members; another can.
#[test]
fn members_are_asked_of_another_signer() {
    let scene = Scene::new();
    let master = &scene.master;
    master.dir.write(
        "lie",
        "case $SSH_ORIGINAL_COMMAND in get-peers) echo https://localhost:2379 ;; *) exit 65 ;; esac",
    );
    scene.set(&[scene.good.place(), scene.liar.place()], "");
    let text = master
        .dir
        .read("config.toml")
        .replace("use_members = false", "use_members = true");
    master.dir.write("config.toml", text);
    master.renews(&["--force"]);
    let place = scene.liar.place();
    let (user, host) = place.split_once('@').unwrap();
    let port = host.rsplit_once(':').unwrap().1;
    assert_eq!(
        master.status()["members"],
        serde_json::json!([format!("{user}@localhost:{port}")])
    );
}

/// A signer that is away for a moment is asked again; one that refuses is not.
#[test]
fn absent_signer_is_retried_and_a_refusal_is_not() {
    let scene = Scene::new();
    let master = &scene.master;
    let dir = master.dir.path().display();
    let count = || master.dir.read("count").lines().count();
    scene.set(&[scene.liar.place()], "");
    let text = master
        .dir
        .read("config.toml")
        .replace("attempts = 1", "attempts = 3");
    master.dir.write("config.toml", text);

    master.dir.write("count", "");
    master
        .dir
        .write("lie", format!("echo x >>{dir}/count; exit 65"));
    master.fails(&["--force"], 65, "refused (65)");
    assert_eq!(count(), 1);

    master.dir.write("count", "");
    master.dir.write(
        "lie",
        format!(
            "echo x >>{dir}/count\n[ $(wc -l <{dir}/count) = 3 ] || exit 255\n{}\n",
            forced_command(&scene.ca)
        ),
    );
    master.renews(&["--force"]);
    assert_eq!(count(), 3);
    master.has_a_pair();
}
