//! A CA, and certificates with any fields, sound or not.

use etcd_signer::internals::{encode, encode_certificate};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

/// A CA in a folder of its own.
pub(super) struct Pki {
    dir: TempDir,
    params: CertificateParams,
    key: KeyPair,
}

/// A certificate and its key, on disk and in memory.
pub(super) struct Issued {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) certificate_der: Vec<u8>,
    pub(super) key_der: Vec<u8>,
}

impl Pki {
    pub(super) fn new() -> Self {
        Self::with_key(KeyPair::generate().unwrap())
    }

    pub(super) fn with_key(key: KeyPair) -> Self {
        let dir = tempfile::Builder::new().prefix("peers-").tempdir().unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "etcd-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = OffsetDateTime::now_utc() - Duration::days(9);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(9);
        let certificate = params.self_signed(&key).unwrap();
        let pki = Self { dir, params, key };
        fs::write(pki.certificate(), encode_certificate(certificate.der())).unwrap();
        write_key(&pki.path("ca.key"), &pki.key.serialize_der());
        pki
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// A server's certificate for an address, as it should be.
    pub(super) fn server(&self, address: Ipv4Addr) -> Issued {
        self.server_with(address, |_| {})
    }

    /// A server's certificate that differs.
    pub(super) fn server_with(
        &self,
        address: Ipv4Addr,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        self.issue(&format!("server-{address}"), |params| {
            params.subject_alt_names = vec![
                SanType::IpAddress(address.into()),
                SanType::DnsName("localhost".try_into().unwrap()),
            ];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            change(params);
        })
    }

    /// A client's certificate, for etcdctl.
    pub(super) fn client(&self, name: &str) -> Issued {
        self.issue(name, |params| {
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    fn issue(&self, file: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.not_before = OffsetDateTime::now_utc() - Duration::minutes(5);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(1);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let issued = Issued {
            certificate: self.path(&format!("{file}.crt")),
            key: self.path(&format!("{file}.key")),
            certificate_der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
        };
        fs::write(&issued.certificate, encode_certificate(certificate.der())).unwrap();
        write_key(&issued.key, &issued.key_der);
        issued
    }
}

fn write_key(path: &Path, der: &[u8]) {
    fs::write(path, encode("PRIVATE KEY", der)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
