//! The release build: static executables.

use std::path::Path;
use std::process::Command;

#[test]
fn release_build_is_static() {
    if std::env::var_os("ETCD_SIGNER").is_none() {
        crate::harness::left_out("the static build: ETCD_SIGNER, which make test sets, is not set");
        return;
    }
    for executable in [crate::signer_path(), crate::client_path()] {
        is_static(&executable);
    }
}

fn is_static(executable: &Path) {
    let readelf = |what: &str| {
        let output = Command::new("readelf")
            .args(["--wide", what])
            .arg(executable)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // Position-independent: where it lies in memory cannot be guessed.
    let header = readelf("--file-header");
    assert!(header.contains("DYN"), "{header}");
    let segments = readelf("--program-headers");
    assert!(segments.contains("LOAD"), "{segments}");
    assert!(!segments.contains("INTERP"), "{segments}");
    let dynamic = readelf("--dynamic");
    assert!(!dynamic.contains("NEEDED"), "{dynamic}");
    // Nothing on the stack or in writable segments can be executed.
    for line in segments.lines().filter(|line| line.contains("GNU_STACK")) {
        assert!(
            !line.contains('E'.to_string().as_str()) || line.contains("RW "),
            "{line}"
        );
    }
}
