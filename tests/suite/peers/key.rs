//! The CA key is out of memory before etcd is asked.

use super::hostile;
use super::pki::Pki;
use super::signer;
use crate::confinement::memory;
use crate::harness::is_root;
use etcd_signer::internals::{elements, single};
use num_bigint::BigUint;
use rcgen::KeyPair;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::mpsc;

/// The order of P-256's group (FIPS 186-4, D.1.2.3).
const P256_ORDER: &[u8] = b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// None of these secrets is in the memory of a signer that waits for a silent server.
fn none_is_in_memory(pki: &Pki, secrets: &[Vec<u8>]) {
    if !is_root("the memory of a process that is not dumpable") {
        return;
    }
    let (sender, connected) = mpsc::channel();
    let url = hostile::tcp(move |stream| {
        sender.send(stream).unwrap();
        Ok(())
    });
    let mut waiting = signer(pki, &[&url], "get-peers")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stream = connected.recv().unwrap();
    let memory = memory(waiting.id());
    drop(stream);
    waiting.wait().unwrap();
    let certificate = fs::read(pki.certificate()).unwrap();
    let key = fs::read(pki.path("ca.key")).unwrap();
    holds_none(&memory, &certificate, &key, secrets);
}

/// Some memory has the CA's certificate in it, and none of the secrets of its key.
pub(crate) fn holds_none(memory: &[u8], certificate: &[u8], key: &[u8], secrets: &[Vec<u8>]) {
    let holds = |bytes: &[u8]| memory.windows(bytes.len()).any(|at| at == bytes);
    let certificate = pem::parse(certificate).unwrap();
    assert!(
        holds(certificate.contents()),
        "the search finds nothing at all"
    );
    for (index, secret) in secrets.iter().enumerate() {
        assert!(secret.len() >= 32);
        assert!(!holds(secret), "secret {index} is in memory");
        let reversed: Vec<u8> = secret.iter().rev().copied().collect();
        assert!(!holds(&reversed), "secret {index} is in memory, reversed");
    }
    let line = key.split(|byte| *byte == b'\n').nth(1).unwrap();
    assert!(!holds(line), "the key's PEM is in memory");
}

#[test]
fn p256_ca_key_is_wiped_before_etcd_is_asked() {
    let key = KeyPair::generate().unwrap();
    let secrets = p256_secrets(&key.serialize_der());
    none_is_in_memory(&Pki::with_key(key), &secrets);
}

/// What of a P-256 key could be in memory.
pub(crate) fn p256_secrets(pkcs8: &[u8]) -> [Vec<u8>; 2] {
    // PKCS#8 of P-256: the scalar is bytes 36 to 67.
    let scalar = pkcs8[36..68].to_vec();
    // What is calculated with is the scalar times 2^256, modulo the order (Montgomery's form).
    let order = BigUint::parse_bytes(P256_ORDER, 16).unwrap();
    let shifted: BigUint = BigUint::from_bytes_be(&scalar) << 256;
    let mut montgomery = (shifted % order).to_bytes_le();
    montgomery.resize(32, 0);
    [scalar, montgomery]
}

#[test]
fn rsa_ca_key_is_wiped_before_etcd_is_asked() {
    let made = Command::new("openssl")
        .args("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048".split(' '))
        .output()
        .unwrap();
    let der = pem::parse(made.stdout).unwrap().into_contents();
    let secrets = rsa_secrets(&der);
    let key = KeyPair::try_from(der).unwrap();
    none_is_in_memory(&Pki::with_key(key), &secrets);
}

/// The same of an RSA key.
pub(crate) fn rsa_secrets(der: &[u8]) -> Vec<Vec<u8>> {
    // PKCS#8 holds version, algorithm, and PKCS#1 in an OCTET STRING.
    let pkcs8 = elements(single(der).unwrap().contents).unwrap();
    let pkcs1 = single(pkcs8[2].contents).unwrap();
    let numbers = elements(pkcs1.contents).unwrap();
    // The numbers from the private exponent on; of each, some bytes from within.
    let secrets: Vec<Vec<u8>> = numbers[3..]
        .iter()
        .map(|number| number.contents[40..72].to_vec())
        .collect();
    assert_eq!(secrets.len(), 6);
    secrets
}
