//! What is measured: CAs, requests and programs in a folder, and the rows made of them.

use crate::harness::{Ca, Dir, base64};
use crate::row::Row;
use crate::{C_WITH_GLIBC, NOTHING_AT_ALL, SIGNING, signer_path};
use std::fs;
use std::path::Path;
use std::process::Command;

pub struct Bed {
    pub dir: Dir,
    pub p256: Ca,
    pub rsa: Ca,
}

impl Bed {
    pub fn new() -> Self {
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
        dir.write("rsa.b64", base64(&pem));
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

    pub fn rows(&self) -> Vec<Row> {
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
pub const SCRIPT: &str = r#"set -euo pipefail
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
pub const CFSSL: &str = "/usr/bin/cfssl";

pub const MUSL_GCC: &str = "/usr/bin/musl-gcc";

pub fn installed(program: &str) -> bool {
    Path::new(program).exists()
}

pub const C_PROGRAM: &str = "int main(void) { return 0; }\n";

/// A program that ends, and nothing else: not even a C library starts.
pub const BARE: &str = r#"void _start(void) {
#if defined(__x86_64__)
    __asm__ volatile("mov $60, %eax; xor %edi, %edi; syscall");
#elif defined(__aarch64__)
    __asm__ volatile("mov x0, 0; mov x8, 93; svc 0");
#endif
}
"#;

/// How long a CPUID instruction takes, in nanoseconds, where there is one.
pub const CPUID: &str = r#"#include <stdio.h>
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

pub fn compile(dir: &Dir, name: &str, compiler: &str, options: &[&str], source: &str) {
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

pub fn cpuid(bed: &Bed) -> String {
    let output = Command::new(bed.dir.join("cpuid")).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
