//! What a request costs, side by side with what it could cost at least, and with what it replaces.
//!
//! Everything is measured in one run, in turn, so that a machine whose speed drifts slows all of it
//! alike: the ratios are the figures to quote. Nothing is asserted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    dead_code,
    unused_imports,
    unreachable_pub
)]

#[path = "../suite/harness/mod.rs"]
mod harness;

use etcd_signer::internals::{Needs, confine, harden};
use harness::{Ca, Dir, Login, Sshd};
use nix::sys::resource::{UsageWho, getrusage};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often each row is run.
const ROUNDS: usize = 200;
/// Logins over ssh are some hundred times as long.
const SSH_ROUNDS: usize = 100;

fn signer_path() -> PathBuf {
    std::env::var_os("ETCD_SIGNER")
        .expect("make bench names the release build in ETCD_SIGNER")
        .into()
}

/// The row that the others are measured against.
const REQUEST: usize = 1;
/// Rows that are looked for by name.
const NOTHING_AT_ALL: &str = "static program that does nothing";
const SIGNING: &str = "P-256 request, P-256 CA";
const C_WITH_GLIBC: &str = "C program that does nothing, glibc";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--confine") => return confine_once(),
        Some("--many") => return many(&arguments[2..]),
        _ => {}
    }
    let bed = Bed::new();
    let rows = bed.rows();
    // Programs that start, do little and end.
    let small = rows.iter().position(Row::is_large).unwrap_or(rows.len());
    rows.iter().for_each(read_anew);
    println!("Whole processes, {ROUNDS} runs each, shuffled. Medians; times in ms.\n");
    let measured = measure(&rows);
    print_table(&bed, &rows, &measured);
    let crypto = raw_crypto();
    println!(
        "\nThe crypto of a P-256 request alone, in process (verify, sign, verify): {crypto:.3} ms"
    );
    let warm = measure(&rows[..small]);
    println!("P-256 request beyond that crypto and");
    for (index, row) in rows.iter().enumerate().take(small) {
        if [NOTHING_AT_ALL, C_WITH_GLIBC].contains(&row.name) {
            println!(
                "  the {}: {:.3} ms among all rows, {:.3} ms among the first {small}, which leave \
                 the caches as they are",
                row.name,
                beyond(&measured, index, crypto),
                beyond(&warm, index, crypto)
            );
        }
    }
    println!("Confinement, inside the process: {:.3} ms", confinement());
    println!("A CPUID instruction: {} ns", cpuid(&bed));
    throughput(&bed);
    over_ssh(&bed);
}

/// A command to be measured, with its standard input.
struct Row {
    name: &'static str,
    command: Vec<String>,
    asked: String,
    input: PathBuf,
}

#[derive(Default)]
struct Measured {
    wall: Vec<f64>,
    cpu: Vec<f64>,
    faults: Vec<f64>,
}

struct Bed {
    dir: Dir,
    p256: Ca,
    rsa: Ca,
}

impl Bed {
    fn new() -> Self {
        let dir = Dir::new();
        let p256 = Ca::new();
        let rsa = Ca::of_kind("rsa2048");
        compile(&dir, "nothing", "cc", &["-nostdlib"], BARE);
        compile(&dir, "glibc", "cc", &[], C_PROGRAM);
        if installed(MUSL_GCC) {
            compile(&dir, "musl", MUSL_GCC, &[], C_PROGRAM);
        }
        compile(&dir, "cpuid", "cc", &[], CPUID);
        compile(
            &dir,
            "peak",
            "cc",
            &[],
            "#include <stdio.h>\n#include <sys/resource.h>\n#include <sys/wait.h>\n\
             #include <unistd.h>\nint main(int n, char **v) {\n  struct rusage u; int s;\n\
             if (!fork()) { execv(v[1], v + 1); _exit(127); }\n  wait4(-1, &s, 0, &u);\n\
             fprintf(stderr, \"\\npeak %ld\\n\", u.ru_maxrss); return n < 2; }\n",
        );
        dir.write("p256.b64", p256.request("kubemaster-1"));
        let pem = p256.request_pem("rsa2048", "kubemaster-1", "");
        dir.write("rsa.b64", harness::base64(&pem));
        let pem = p256.request_pem("p256", "kubemaster-1", "");
        dir.write("p256.csr", pem);
        dir.write(
            "script.sh",
            SCRIPT.replace("DIR", &p256.dir.path().display().to_string()),
        );
        dir.write(
            "cfssl.json",
            r#"{"signing":{"default":{"expiry":"24h","usages":["digital signature","client auth"]}}}"#,
        );
        Self { dir, p256, rsa }
    }

    fn rows(&self) -> Vec<Row> {
        let file = |name: &str| self.dir.join(name);
        let text = |path: &Path| path.display().to_string();
        let serve = |ca: &Ca| {
            let settings = text(&ca.settings());
            vec![
                text(&signer_path()),
                "serve".into(),
                "--config".into(),
                settings,
            ]
        };
        let row = Row::new;
        let sign = "kubemaster-1";
        let mut rows = vec![
            row(
                NOTHING_AT_ALL,
                vec![text(&file("nothing"))],
                "",
                file("p256.b64"),
            ),
            row(SIGNING, serve(&self.p256), sign, file("p256.b64")),
            row(
                "RSA-2048 request, P-256 CA",
                serve(&self.p256),
                sign,
                file("rsa.b64"),
            ),
            row(
                "P-256 request, RSA-2048 CA",
                serve(&self.rsa),
                sign,
                file("p256.b64"),
            ),
            row(
                "get-certificate",
                serve(&self.p256),
                "get-certificate",
                file("p256.b64"),
            ),
            row("a refusal (64)", serve(&self.p256), "id", file("p256.b64")),
            row(
                C_WITH_GLIBC,
                vec![text(&file("glibc"))],
                "",
                file("p256.b64"),
            ),
        ];
        if installed(MUSL_GCC) {
            let command = vec![text(&file("musl"))];
            let name = "C program that does nothing, musl";
            rows.push(row(name, command, "", file("p256.b64")));
        } else {
            println!("MISSING: the row of musl: there is no {MUSL_GCC}\n");
        }
        rows.push(row(
            "bash and openssl",
            vec!["/bin/bash".into(), text(&file("script.sh"))],
            sign,
            file("p256.b64"),
        ));
        if installed(CFSSL) {
            let pki = |name: &str| text(&self.p256.dir.join(name));
            let mut command = vec![CFSSL.into(), "sign".into(), "-loglevel=4".into()];
            command.extend(["-ca".into(), pki("ca.crt"), "-ca-key".into(), pki("ca.key")]);
            command.extend([
                "-config".into(),
                text(&file("cfssl.json")),
                text(&file("p256.csr")),
            ]);
            rows.push(row("cfssl sign", command, "", file("p256.b64")));
        } else {
            println!("MISSING: the row of cfssl: there is no {CFSSL}\n");
        }
        rows
    }
}

/// The script that this program replaces: every step a process.
const SCRIPT: &str = r#"set -euo pipefail
[[ $SSH_ORIGINAL_COMMAND =~ ^kubemaster-[a-z0-9-]+$ ]]
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
base64 -d >"$work/csr"
openssl req -in "$work/csr" -noout -verify 2>/dev/null
[ "$(openssl req -in "$work/csr" -noout -subject -nameopt multiline | sed -n 's/.*commonName *= //p')" = "$SSH_ORIGINAL_COMMAND" ]
printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:%s\n' "$SSH_ORIGINAL_COMMAND" >"$work/ext"
openssl x509 -req -in "$work/csr" -CA DIR/ca.crt -CAkey DIR/ca.key -days 1 -sha256 \
    -set_serial "0x$(openssl rand -hex 19)" -extfile "$work/ext" 2>/dev/null
"#;

/// Peers that a machine may lack.
const CFSSL: &str = "/usr/bin/cfssl";
const MUSL_GCC: &str = "/usr/bin/musl-gcc";

fn installed(program: &str) -> bool {
    Path::new(program).exists()
}

const C_PROGRAM: &str = "int main(void) { return 0; }\n";

/// A program that ends, and nothing else: not even a C library starts.
const BARE: &str = r#"void _start(void) {
#if defined(__x86_64__)
    __asm__ volatile("mov $60, %eax; xor %edi, %edi; syscall");
#elif defined(__aarch64__)
    __asm__ volatile("mov x0, 0; mov x8, 93; svc 0");
#endif
}
"#;

/// How long a CPUID instruction takes, in nanoseconds, where there is one.
const CPUID: &str = r#"#include <stdio.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <time.h>
int main(void) {
    unsigned a, b, c, d;
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < 1000; i++) __cpuid_count(4, 0, a, b, c, d);
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%ld", (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000);
    return 0;
}
#else
int main(void) { printf("no"); return 0; }
#endif
"#;

fn compile(dir: &Dir, name: &str, compiler: &str, options: &[&str], source: &str) {
    let source = dir.write(&format!("{name}.c"), source);
    let built = Command::new(compiler)
        .args(["-O2", "-static"])
        .args(options)
        .arg("-o")
        .arg(dir.join(name))
        .arg(source)
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
}

impl Row {
    fn new(name: &'static str, command: Vec<String>, asked: &str, input: PathBuf) -> Self {
        let asked = asked.to_owned();
        Self {
            name,
            command,
            asked,
            input,
        }
    }

    /// A process that runs this row so often.
    fn starter(&self, count: usize) -> Command {
        let mut starter = Command::new(std::env::current_exe().unwrap());
        starter
            .args(["--many", &count.to_string(), &self.asked])
            .arg(&self.input)
            .args(&self.command);
        starter
    }

    /// Whether it leaves caches cold for the row that follows.
    fn is_large(&self) -> bool {
        ["/bin/bash", CFSSL].contains(&self.command[0].as_str())
    }

    fn process(&self) -> Command {
        self.behind(&[])
    }

    /// The command as the last arguments of another.
    fn behind(&self, other: &[String]) -> Command {
        let words = [other, &self.command].concat();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .env("SSH_ORIGINAL_COMMAND", &self.asked)
            .env("PATH", "/usr/bin:/bin")
            .stdin(File::open(&self.input).unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

/// Has the kernel read a program from its disk again. What a linker has just written lies in
/// memory in larger pieces than what was read, is mapped in fewer steps, and counts for more.
fn read_anew(row: &Row) {
    let file = File::open(&row.command[0]).unwrap();
    rustix::fs::fsync(&file).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// How much longer a P-256 request takes than a program that does nothing and the cryptography.
fn beyond(measured: &[Measured], nothing: usize, crypto: f64) -> f64 {
    median(&measured[REQUEST].wall) - median(&measured[nothing].wall) - crypto
}

fn cpuid(bed: &Bed) -> String {
    let output = Command::new(bed.dir.join("cpuid")).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn measure(rows: &[Row]) -> Vec<Measured> {
    let mut measured: Vec<Measured> = rows.iter().map(|_| Measured::default()).collect();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut state = 1_u32;
    for round in 0..=ROUNDS {
        // In another order each time, or the row that follows the largest program would always
        // be the one that finds the caches cold.
        for last in (1..order.len()).rev() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            order.swap(last, (state >> 16) as usize % (last + 1));
        }
        for &index in &order {
            let (row, measured) = (&rows[index], &mut measured[index]);
            let mut process = row.process();
            let before = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
            let start = Instant::now();
            process.status().unwrap();
            let wall = start.elapsed();
            let after = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
            // The first round warms caches.
            if round > 0 {
                let cpu = |usage: &nix::sys::resource::Usage| {
                    let (user, system) = (usage.user_time(), usage.system_time());
                    (user.tv_sec() + system.tv_sec()) as f64 * 1e3
                        + (user.tv_usec() + system.tv_usec()) as f64 / 1e3
                };
                measured.wall.push(milliseconds(wall));
                measured.cpu.push(cpu(&after) - cpu(&before));
                let faults = after.minor_page_faults() - before.minor_page_faults();
                measured.faults.push(faults as f64);
            }
        }
    }
    measured
}

fn print_table(bed: &Bed, rows: &[Row], measured: &[Measured]) {
    println!(
        "| row | wall | 10th to 90th percentile | CPU | CPU, times the P-256 request | page faults | peak KiB | system calls | executable KiB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let own = median(&measured[REQUEST].cpu);
    for (row, measured) in rows.iter().zip(measured) {
        let cpu = median(&measured.cpu);
        println!(
            "| {} | {:.2} | {:.2} to {:.2} | {:.2} | {:.2} | {:.0} | {} | {} | {} |",
            row.name,
            median(&measured.wall),
            percentile(&measured.wall, 10),
            percentile(&measured.wall, 90),
            cpu,
            cpu / own,
            median(&measured.faults),
            peak(bed, row),
            system_calls(row),
            fs::metadata(&row.command[0]).unwrap().len() / 1024,
        );
    }
}

/// The largest resident size, in KiB, of the command, or of the largest process that it starts.
fn peak(bed: &Bed, row: &Row) -> String {
    let launcher = bed.dir.join("peak").display().to_string();
    let mut command = row.behind(&[launcher]);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("peak "));
    line.unwrap_or("?").to_owned()
}

fn system_calls(row: &Row) -> String {
    let strace: Vec<String> = ["/usr/bin/strace", "-f", "-c"].map(str::to_owned).to_vec();
    let mut command = row.behind(&strace);
    let Ok(output) = command.stderr(Stdio::piped()).output() else {
        return "no strace".to_owned();
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let total = text.lines().find(|line| line.trim_end().ends_with("total"));
    let calls = total.and_then(|line| line.split_whitespace().nth(3));
    calls.unwrap_or("?").to_owned()
}

fn raw_crypto() -> f64 {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let message = [7_u8; 300];
    let signature = key.sign(&random, &message).unwrap();
    let verify = || {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref())
            .verify(&message, signature.as_ref())
            .unwrap();
    };
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        verify();
        key.sign(&random, &message).unwrap();
        verify();
        times.push(milliseconds(start.elapsed()));
    }
    median(&times)
}

/// In a process of its own, since it is for good: says how long it took, in nanoseconds.
fn confine_once() {
    let start = Instant::now();
    harden().unwrap();
    confine(Needs::OpenDescriptors, false).unwrap();
    println!("{}", start.elapsed().as_nanos());
}

fn confinement() -> f64 {
    let times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let own = std::env::current_exe().unwrap();
            let output = Command::new(own).arg("--confine").output().unwrap();
            let nanoseconds: f64 = String::from_utf8(output.stdout)
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            nanoseconds / 1e6
        })
        .collect();
    median(&times)
}

fn throughput(bed: &Bed) {
    let rows = bed.rows();
    println!("\nThroughput, 1,000 processes each:");
    for row in rows
        .iter()
        .filter(|row| [SIGNING, C_WITH_GLIBC].contains(&row.name))
    {
        let timed = |starters: usize, count: usize| {
            let start = Instant::now();
            let mut running: Vec<_> = (0..starters)
                .map(|_| row.starter(count).spawn().unwrap())
                .collect();
            for starter in &mut running {
                assert!(starter.wait().unwrap().success());
            }
            start.elapsed().as_secs_f64()
        };
        // One at a time before and after, so that a drift cancels out.
        let before = timed(1, 250);
        let two = timed(2, 500);
        let after = timed(1, 250);
        let single = 500.0 / (before + after);
        let double = 1000.0 / two;
        println!(
            "{}: {single:.0} a second one at a time, {double:.0} two at a time: {:.2} times",
            row.name,
            double / single
        );
    }
}

/// In a process of its own, since two threads of one would wait for each other whenever they start
/// a process: runs a row's command so often, one after the other.
fn many(arguments: &[String]) {
    let [count, asked, input, command @ ..] = arguments else {
        panic!("--many COUNT ASKED INPUT COMMAND")
    };
    let row = Row::new("", command.to_vec(), asked, input.into());
    for _ in 0..count.parse::<usize>().unwrap() {
        assert!(row.process().status().unwrap().success());
    }
}

fn over_ssh(bed: &Bed) {
    let signer = format!(
        "{} serve --config {}",
        signer_path().display(),
        bed.p256.settings().display()
    );
    let nothing = bed.dir.join("nothing").display().to_string();
    let ours = Sshd::start(Login::ForceCommand, &signer);
    let empty = Sshd::start(Login::ForceCommand, &nothing);
    let input = fs::read(bed.dir.join("p256.b64")).unwrap();
    let timed = |sshd: &Sshd| {
        let start = Instant::now();
        assert!(sshd.ssh(Some("kubemaster-1"), &input).status.success());
        milliseconds(start.elapsed())
    };
    let (mut signed, mut idle, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=SSH_ROUNDS {
        // Who goes first changes, so that neither is always the one after a pause.
        let (a, b) = if round % 2 == 0 {
            let a = timed(&ours);
            (a, timed(&empty))
        } else {
            let b = timed(&empty);
            (timed(&ours), b)
        };
        if round > 0 {
            signed.push(a);
            idle.push(b);
            ratios.push(a / b);
        }
    }
    println!(
        "\nThrough sshd on loopback, {SSH_ROUNDS} logins each, in turn: the signer {:.1} ms, the program \
         that does nothing {:.1} ms, median ratio {:.3} (10th to 90th percentile {:.3} to {:.3})",
        median(&signed),
        median(&idle),
        median(&ratios),
        percentile(&ratios, 10),
        percentile(&ratios, 90),
    );
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) * percent / 100]
}
