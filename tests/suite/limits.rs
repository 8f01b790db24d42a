//! Input that is too large, too slow, or never ends; many requests at once.

use crate::harness::{Ca, Dir, answer, base64, in_namespace, is_root, openssl_text, records, run};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

#[test]
fn input_of_exactly_the_limit_is_accepted() {
    let ca = Ca::new();
    let mut request = ca.request("kubemaster-1");
    request.resize(65_536, b'\n');
    ca.verifies(&ca.sign("kubemaster-1", &request).ok());
    request.push(b'\n');
    ca.sign("kubemaster-1", &request)
        .fails(65, "larger than 65536 bytes");
    ca.set("input_limit = 1024");
    request.truncate(1024);
    ca.verifies(&ca.sign("kubemaster-1", &request).ok());
    request.push(b'\n');
    ca.sign("kubemaster-1", &request)
        .fails(65, "larger than 1024 bytes");
}

fn start(ca: &Ca) -> Child {
    ca.set("input_timeout = \"1s\"");
    ca.signer(Some(b"kubemaster-1"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Feeds the signer until it is gone: it must be, by itself.
fn feed(mut child: Child, mut more: impl FnMut() -> Vec<u8>) -> Output {
    let mut stdin = child.stdin.take().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "it hangs");
        let _ = stdin.write_all(&more());
    }
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn stalled_client_is_cut_off() {
    let ca = Ca::new();
    let request = ca.request("kubemaster-1");
    let pause = || std::thread::sleep(Duration::from_millis(100));
    let words = "did not end within 1 s";

    let nothing = feed(start(&ca), || {
        pause();
        Vec::new()
    });
    answer(&nothing).fails(74, words);

    let mut bytes = request.iter();
    let trickle = feed(start(&ca), || {
        pause();
        bytes.next().copied().into_iter().collect()
    });
    answer(&trickle).fails(74, words);

    // The whole request, but its end never comes.
    let mut whole = Some(request.clone());
    let open = feed(start(&ca), || {
        pause();
        whole.take().unwrap_or_default()
    });
    answer(&open).fails(74, words);
}

#[test]
fn endless_input_is_cut_off() {
    let ca = Ca::new();
    let endless = feed(start(&ca), || vec![b'A'; 4096]);
    answer(&endless).fails(65, "larger than 65536 bytes");
}

#[test]
fn unreadable_input_is_reported() {
    let ca = Ca::new();
    let mut signer = ca.signer(Some(b"kubemaster-1"));
    let folder = std::fs::File::open(ca.dir.path()).unwrap();
    let output = signer.stdin(folder).output().unwrap();
    answer(&output).fails(74, "standard input cannot be read");
    // Closed from the start: empty.
    let output = signer.stdin(Stdio::null()).output().unwrap();
    answer(&output).fails(65, "standard input is empty");
}

#[test]
fn closed_output_exits_with_74() {
    let ca = Ca::new();
    let request = ca.request("kubemaster-1");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = ca
        .signer(Some(b"kubemaster-1"))
        .stdin(Stdio::piped())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&request).unwrap();
    let output = child.wait_with_output().unwrap();
    answer(&output).fails(74, "answer not delivered");
}

/// A socket with room for a part of the answer, whose other end reads nothing: what was written
/// is not waited on for ever, and the record is there before anybody has seen the certificate.
#[test]
fn stalled_reader_is_cut_off() {
    if !is_root("a journal of its own, to look for the audit record in") {
        return;
    }
    const READER: &str = include_str!("limits/reader.py");
    let ca = Ca::new();
    let dir = Dir::new();
    let script = dir.write("reader.py", READER);
    // A large key: a certificate of some 1,800 bytes.
    let request = base64(&ca.request_pem("rsa4096", "kubemaster-1", ""));
    let request = dir.write("request", request);
    let inner = ca.signer(None);
    let mut command = in_namespace(&dir, true, "python3");
    command
        .arg(script)
        .arg(request)
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("SSH_ORIGINAL_COMMAND", "kubemaster-1");
    let output = run(&mut command, b"");
    let codes = String::from_utf8_lossy(&output.stdout).into_owned();
    let codes: Vec<&str> = codes.split_whitespace().collect();
    let count = |code: &str| codes.iter().filter(|found| **found == code).count();
    let (answered, cut) = (count("0"), count("74"));
    assert_eq!((codes.len(), answered + cut), (20, 20), "{output:?}");
    assert!(cut > 0, "there was room for all of them: {codes:?}");

    let found = records(&dir, 20 + cut);
    let with = |outcome: &str| {
        let mut ids: Vec<_> = found
            .iter()
            .filter(|record| record["ETCD_SIGNER_OUTCOME"] == outcome)
            .map(|record| record["ETCD_SIGNER_REQUEST_ID"].to_string())
            .collect();
        ids.sort();
        ids
    };
    assert_eq!((with("granted").len(), with("failed").len()), (20, cut));
    assert!(with("failed").iter().all(|id| with("granted").contains(id)));
}

#[test]
fn concurrent_requests_get_distinct_serials() {
    let ca = Ca::new();
    let request = ca.request("kubemaster-1");
    let certificates: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..200)
            .map(|_| {
                scope.spawn(|| {
                    let mut signer = ca.signer(Some(b"kubemaster-1"));
                    answer(&run(&mut signer, &request)).ok()
                })
            })
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut serials = BTreeSet::new();
    for certificate in &certificates {
        ca.dir.write("one.crt", certificate);
        serials.insert(openssl_text(
            ca.dir.path(),
            "x509 -in one.crt -noout -serial",
        ));
    }
    assert_eq!(serials.len(), 200);
    for serial in serials {
        let digits = serial.trim().strip_prefix("serial=").unwrap();
        assert!(digits.len() <= 40 && !digits.starts_with('-'), "{digits}");
    }
}
