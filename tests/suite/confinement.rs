//! What the confined process cannot do, layer by layer, and what the kernel says of it.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// The example of the same name, which `cargo test` builds beside the tests.
pub(crate) fn example() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let path = path.join("examples/confinement");
    let hint = "cargo test --test alone does not build it: cargo build --example confinement";
    assert!(path.exists(), "{} is missing: {hint}", path.display());
    path
}

fn attempt(layers: &str, action: &str) -> Output {
    Command::new(example())
        .args([layers, action])
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

const ACTIONS: [&str; 8] = [
    "open", "create", "socket", "connect", "execve", "fork", "ptrace", "kill",
];

#[test]
fn unconfined_process_can_do_every_action() {
    for action in ACTIONS {
        let output = attempt("none", action);
        assert!(output.status.success(), "{action}: {output:?}");
        // execve replaces the program, which then says nothing.
        let expected = if action == "execve" { "" } else { "done" };
        assert_eq!(said(&output), expected, "{action}");
    }
}

#[test]
fn seccomp_alone_kills_the_process_at_every_action() {
    const SIGSYS: i32 = 31;
    for layers in ["seccomp", "both"] {
        assert_eq!(said(&attempt(layers, "nothing")), "done");
        for action in ACTIONS {
            let output = attempt(layers, action);
            assert_eq!(output.status.signal(), Some(SIGSYS), "{layers} {action}");
            assert_eq!(said(&output), "", "{layers} {action}");
        }
    }
}

#[test]
fn landlock_alone_denies_files_programs_tcp_and_signals() {
    assert_eq!(said(&attempt("landlock", "nothing")), "done");
    for action in ["open", "create", "connect", "execve", "fork"] {
        let output = said(&attempt("landlock", action));
        assert!(output.contains("os error 13"), "{action}: {output}");
    }
    let output = said(&attempt("landlock", "kill"));
    assert!(output.contains("os error 1"), "{output}");
}

/// What `member fetch` may do besides: replace files in a folder.
#[test]
fn files_are_replaced_in_the_folder_that_was_named_alone() {
    const SIGSYS: i32 = 31;
    for action in ["nothing", "replace"] {
        let output = attempt("folder", action);
        assert_eq!(said(&output), "done", "{action}: {output:?}");
    }
    for action in ["open", "create", "connect", "leave"] {
        let output = said(&attempt("folder", action));
        assert!(output.contains("os error 13"), "{action}: {output}");
    }
    for action in ["socket", "execve", "fork", "ptrace", "kill"] {
        let output = attempt("folder", action);
        assert_eq!(output.status.signal(), Some(SIGSYS), "{action}");
    }
    for action in ["replace", "leave"] {
        assert_eq!(said(&attempt("none", action)), "done", "{action}");
    }
}

/// A CA, its settings, and a signer that waits for its input.
struct Waiting {
    dir: tempfile::TempDir,
    child: Child,
}

impl Waiting {
    fn start() -> Self {
        let dir = ca();
        let mut child = signer(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Confined means that it waits for input next.
        for _ in 0..500 {
            let status = status(&child);
            if status.contains("Seccomp:\t2") {
                return Self { dir, child };
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended: {status}");
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("not confined after five seconds:\n{}", status(&child));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(child: &Child) -> String {
    fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default()
}

fn ca() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    let made = Command::new(crate::signer_path())
        .args(["ca", "init", "--directory"])
        .arg(&pki)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let settings = format!(
        "ca_certificate = \"{0}/ca.crt\"\nca_key = \"{0}/ca.key\"\n",
        pki.display()
    );
    fs::write(dir.path().join("config.toml"), settings).unwrap();
    dir
}

fn signer(dir: &tempfile::TempDir) -> Command {
    let mut command = Command::new(crate::signer_path());
    command
        .args(["serve", "--config"])
        .arg(dir.path().join("config.toml"))
        .env_clear()
        .env("SSH_ORIGINAL_COMMAND", "kubemaster-1");
    command
}

#[test]
fn waiting_process_is_confined_as_the_kernel_reports() {
    let waiting = Waiting::start();
    let status = status(&waiting.child);
    for line in [
        "Seccomp:\t2",
        "NoNewPrivs:\t1",
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapInh:\t0000000000000000",
        "Threads:\t1",
    ] {
        assert!(status.contains(line), "{line}:\n{status}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", waiting.child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core"));
    let words: Vec<_> = core.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");
    // A process that is not dumpable has files in /proc that belong to root.
    let owner = fs::metadata(format!("/proc/{}/mem", waiting.child.id())).unwrap();
    assert_eq!(owner.uid(), 0);
}

/// What the executable's header calls PT_GNU_RELRO, as readelf has it, in the kernel's own list of
/// what may be done with a process's memory.
#[test]
fn relocated_addresses_are_read_only() {
    if !crate::harness::is_root("the memory map of a process that is not dumpable") {
        return;
    }
    let waiting = Waiting::start();
    let executable = fs::canonicalize(crate::signer_path()).unwrap();
    let headers = Command::new("readelf")
        .args(["--wide", "--program-headers"])
        .arg(&executable)
        .output()
        .unwrap();
    let headers = String::from_utf8(headers.stdout).unwrap();
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let words: Vec<_> = headers
        .lines()
        .find(|line| line.trim_start().starts_with("GNU_RELRO"))
        .unwrap()
        .split_whitespace()
        .collect();
    let (address, size) = (number(words[2]), number(words[5]));

    let maps = fs::read_to_string(format!("/proc/{}/maps", waiting.child.id())).unwrap();
    let of_it: Vec<(u64, u64, &str)> = maps
        .lines()
        .filter(|line| line.ends_with(executable.to_str().unwrap()))
        .map(|line| {
            let (range, rest) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            (number(start), number(end), &rest[..4])
        })
        .collect();
    let base = of_it[0].0;
    let page = u64::try_from(rustix::param::page_size()).unwrap();
    let mut at = (base + address) & !(page - 1);
    let end = (base + address + size) & !(page - 1);
    assert!(at < end, "{headers}");
    while at < end {
        let (_, _, may) = of_it
            .iter()
            .find(|(start, end, _)| (*start..*end).contains(&at))
            .unwrap();
        assert_eq!(*may, "r--p", "{at:x}: {maps}");
        at += page;
    }
    // And something else can be written, or the list says nothing.
    assert!(of_it.iter().any(|(_, _, may)| *may == "rw-p"), "{maps}");
}

#[test]
fn ca_key_is_not_in_memory_while_input_is_awaited() {
    if !crate::harness::is_root("reading the memory of a process that is not dumpable") {
        return;
    }
    let waiting = Waiting::start();
    let pki = waiting.dir.path().join("pki");
    let pem = fs::read(pki.join("ca.key")).unwrap();
    let der = pem::parse(&pem).unwrap();
    let line = pem.split(|b| *b == b'\n').nth(1).unwrap();
    let certificate = pem::parse(fs::read(pki.join("ca.crt")).unwrap()).unwrap();

    let memory = memory(waiting.child.id());
    let holds = |bytes: &[u8]| memory.windows(bytes.len()).any(|at| at == bytes);
    assert!(
        holds(certificate.contents()),
        "the search finds nothing at all"
    );
    // PKCS#8 of P-256: the scalar is bytes 36 to 67.
    assert!(!holds(&der.contents()[36..68]), "the key is in memory");
    assert!(!holds(line), "the key's PEM is in memory");
}

/// All memory of a process that can be read.
pub(crate) fn memory(pid: u32) -> Vec<u8> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mem = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines() {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let at = |text| u64::from_str_radix(text, 16).unwrap();
        let mut part = vec![0; usize::try_from(at(end) - at(start)).unwrap()];
        if mem.read_exact_at(&mut part, at(start)).is_ok() {
            all.extend(part);
        }
    }
    all
}

#[test]
fn request_opens_three_files_and_writes_none() {
    let dir = ca();
    let made = Command::new("openssl")
        .args("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj".split(' '))
        .args(["/CN=kubemaster-1", "-keyout", "/dev/null"])
        .output()
        .unwrap();
    let csr = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, made.stdout);
    fs::write(dir.path().join("csr"), csr).unwrap();
    let trace = dir.path().join("trace");
    let inner = signer(&dir);
    let output = Command::new("strace")
        .args(["-f", "-o"])
        .arg(&trace)
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SSH_ORIGINAL_COMMAND", "kubemaster-1")
        .stdin(fs::File::open(dir.path().join("csr")).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.starts_with(b"-----BEGIN CERTIFICATE-----"));

    let trace = fs::read_to_string(trace).unwrap();
    let mut opened = Vec::new();
    for line in trace.lines() {
        let Some((call, rest)) = line.split_once('(') else {
            continue;
        };
        let call = call.rsplit(' ').next().unwrap();
        let banned = [
            "execve", "fork", "vfork", "clone", "clone3", "mkdir", "unlink", "rename",
        ];
        // The first line is strace starting the program.
        assert!(!banned.contains(&call) || opened.is_empty(), "{line}");
        if ["open", "openat", "openat2", "creat"].contains(&call) {
            for flag in ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"] {
                assert!(!rest.contains(flag), "{line}");
            }
            // O_PATH opens a directory for looking at its owner and mode, not for reading.
            if !rest.contains("O_PATH") {
                let path = rest.split('"').nth(1).unwrap_or("not readable");
                opened.push(path.to_owned());
            }
        }
    }
    // /proc/self/maps is the C library's, looking for the end of the stack before main.
    // A build that is not static opens its libraries and the locale as well.
    opened.retain(|path| path != "/proc/self/maps" && !is_library(path));
    if crate::harness::is_root("reading the paths that a process which is not dumpable opens") {
        let names = opened.iter().map(|path| path.rsplit('/').next().unwrap());
        assert_eq!(
            names.collect::<Vec<_>>(),
            ["config.toml", "ca.crt", "ca.key"]
        );
    }
    assert_eq!(opened.len(), 3, "{trace}");
}

fn is_library(path: &str) -> bool {
    std::env::var_os("ETCD_SIGNER").is_none()
        && (path.starts_with("/etc/ld.so") || path.contains(".so"))
}
