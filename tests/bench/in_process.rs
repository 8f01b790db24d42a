//! Parts of a request, measured inside a process.

use crate::ROUNDS;
use crate::statistics::{median, milliseconds};
use etcd_signer::internals::{Needs, confine, harden};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use std::process::Command;
use std::time::Instant;

pub fn raw_crypto() -> f64 {
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
pub fn confine_once() {
    let start = Instant::now();
    harden().unwrap();
    confine(Needs::OpenDescriptors, false).unwrap();
    println!("{}", start.elapsed().as_nanos());
}

pub fn confinement() -> f64 {
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
