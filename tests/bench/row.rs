//! A command to be measured.

use crate::bed::CFSSL;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A command to be measured, with its standard input.
pub struct Row {
    pub name: &'static str,
    pub command: Vec<String>,
    pub asked: String,
    pub input: PathBuf,
}

impl Row {
    pub fn new(name: &'static str, command: Vec<String>, asked: &str, input: PathBuf) -> Self {
        let asked = asked.to_owned();
        Self {
            name,
            command,
            asked,
            input,
        }
    }

    /// A process that runs this row so often.
    pub fn starter(&self, count: usize) -> Command {
        let mut starter = Command::new(std::env::current_exe().unwrap());
        starter
            .args(["--many", &count.to_string(), &self.asked])
            .arg(&self.input)
            .args(&self.command);
        starter
    }

    /// Whether it leaves caches cold for the row that follows.
    pub fn is_large(&self) -> bool {
        ["/bin/bash", CFSSL].contains(&self.command[0].as_str())
    }

    pub fn process(&self) -> Command {
        self.behind(&[])
    }

    /// The command as the last arguments of another.
    pub fn behind(&self, other: &[String]) -> Command {
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
pub fn read_anew(row: &Row) {
    let file = File::open(&row.command[0]).unwrap();
    rustix::fs::fsync(&file).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}
