//! A real sshd on loopback, with keys of its own, and the real client for it.

use super::{Dir, in_namespace, run};
use std::collections::BTreeSet;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// How the forced command is set.
#[derive(Clone, Copy, Debug)]
pub enum Login {
    /// `ForceCommand` in sshd's configuration.
    ForceCommand,
    /// `command=` in `authorized_keys`.
    AuthorizedKeys,
}

/// An sshd whose only login runs one command. As root it is in a namespace of its own, with a
/// journal; otherwise it is the user's own.
pub struct Sshd {
    pub dir: Dir,
    child: Child,
    port: u16,
}

impl Sshd {
    pub fn start(login: Login, command: &str) -> Self {
        let dir = Dir::new();
        for key in ["host", "client"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(dir.join(key))
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
        }
        let port = free_port();
        let path = dir.path().display();
        let (forced, restricted) = match login {
            Login::ForceCommand => (format!("ForceCommand {command}\n"), String::new()),
            Login::AuthorizedKeys => (
                String::new(),
                format!("restrict,command=\"{}\" ", command.replace('"', "\\\"")),
            ),
        };
        dir.write(
            "sshd_config",
            format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {path}/host\nPidFile none\n\
                 AuthorizedKeysFile {path}/authorized_keys\nStrictModes no\nUsePAM no\n\
                 PermitRootLogin yes\nPasswordAuthentication no\n\
                 KbdInteractiveAuthentication no\nMaxStartups 300:30:600\n{forced}"
            ),
        );
        let client = dir.read("client.pub");
        dir.write("authorized_keys", format!("{restricted}{client}"));
        let host = dir.read("host.pub");
        dir.write("known_hosts", format!("[127.0.0.1]:{port} {host}"));
        dir.write(
            "ssh_config",
            format!(
                "Host leader\nHostName 127.0.0.1\nPort {port}\nIdentityFile {path}/client\n\
                 IdentitiesOnly yes\nUserKnownHostsFile {path}/known_hosts\nBatchMode yes\n\
                 StrictHostKeyChecking yes\nHostKeyAlias [127.0.0.1]:{port}\nLogLevel ERROR\n"
            ),
        );
        let mut command = if rustix::process::geteuid().is_root() {
            in_namespace(&dir, true, "/usr/sbin/sshd")
        } else {
            let mut own = Command::new("setpriv");
            own.args(["--pdeathsig", "KILL", "/usr/sbin/sshd"]);
            std::os::unix::process::CommandExt::process_group(&mut own, 0);
            own
        };
        let child = command
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.join("sshd.log")).unwrap())
            .spawn()
            .unwrap();
        let sshd = Self { dir, child, port };
        sshd.wait();
        sshd
    }

    fn wait(&self) {
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("sshd does not listen: {}", self.dir.read("sshd.log"));
    }

    /// Where a client reaches it: the account that runs the tests, the host, and the port.
    pub fn place(&self) -> String {
        format!("{}@127.0.0.1:{}", user(), self.port)
    }

    /// `ssh leader <command>`, as the user who runs the tests; no command asks for a shell.
    pub fn ssh(&self, command: Option<&str>, input: &[u8]) -> Output {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.dir.join("ssh_config")).arg("-T");
        ssh.args(["-l", &user(), "--", "leader"]).args(command);
        run(&mut ssh, input)
    }

    /// Runs lines of a shell, in which `ssh signer@leader` reaches this sshd.
    pub fn shell(&self, dir: &Dir, lines: &str, environment: &[(&str, &str)]) -> Output {
        // ssh takes the user that comes first, so -l wins over signer@.
        let ssh = format!(
            "set -eu\nssh() {{ command ssh -F {}/ssh_config -l {} \"$@\"; }}\n",
            self.dir.path().display(),
            user()
        );
        run(
            Command::new("bash")
                .arg("-c")
                .arg(ssh + lines)
                .current_dir(dir.path())
                .envs(environment.iter().copied()),
            b"",
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- sshd's log:\n{}", self.dir.read("sshd.log"));
        }
    }
}

/// A port that was free a moment ago, and that no other test of this process has got.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    // The kernel may name a port again that nobody listens on yet.
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
