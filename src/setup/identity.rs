//! This member's own key, request and certificate.

use super::error::{SetupError, refuse};
use super::paths::{CA_CERTIFICATE, DRY_WORK, ETC, MEMBER_CERTIFICATE, MEMBER_KEY, PKI, WORK};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::member_certificate::MemberCertificate;
use crate::pki::member_host::{MEMBER, MemberHost};
use crate::pki::private_key::{KeyAlgorithm, PrivateKey, generate};
use crate::pki::{pem, request};
use crate::system::new_file::{self, NewFileError};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Who this member is, for the others.
#[derive(Clone, Debug)]
pub(super) struct MemberIdentity {
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
}

impl MemberIdentity {
    /// The options of `etcd-signer member sign`: all that peers and clients connect to.
    pub(super) fn sign_options(&self) -> Vec<String> {
        self.addresses
            .iter()
            .map(ToString::to_string)
            .chain([
                self.name.clone(),
                "127.0.0.1".to_owned(),
                "localhost".to_owned(),
            ])
            .flat_map(|host| ["--host".to_owned(), host])
            .collect()
    }
}

/// The folder in memory where keys and certificates are until they are installed. It is removed
/// with this value.
pub(super) struct WorkFolder(PathBuf);

impl WorkFolder {
    /// Makes it, for root alone. What a killed run left in it is removed.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn create(dry_run: bool) -> Result<Self, SetupError> {
        use std::os::unix::fs::DirBuilderExt as _;
        // A dry run takes no lock: the folder of a run that is at work is not its own.
        let path = PathBuf::from(if dry_run { DRY_WORK } else { WORK });
        let _ = fs::remove_dir_all(&path);
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(new_file::FileSystemError::new(
                "creating the directory",
                &path,
            ))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A new file, whole or not at all. What has the name already stays.
pub(super) fn install(
    path: &Path,
    contents: &[u8],
    mode: u32,
    owner: Option<(u32, u32)>,
) -> Result<(), NewFileError> {
    let file = new_file::prepare(path, contents, mode, owner)?;
    new_file::create(file, path)?;
    Ok(new_file::sync_directory_of(path)?)
}

/// Makes this member's key, and returns it with its file's contents: PEM.
///
/// # Errors
/// No random numbers.
pub(super) fn new_key() -> Result<(PrivateKey, Zeroizing<String>), String> {
    let der = generate(KeyAlgorithm::P256).map_err(|error| error.to_string())?;
    let text = Zeroizing::new(pem::encode("PRIVATE KEY", &der));
    let key = PrivateKey::from_pem(text.as_bytes(), None).map_err(|error| error.to_string())?;
    Ok((key, text))
}

/// The request for this member's certificate, PEM.
///
/// # Errors
/// It cannot be encoded.
pub(super) fn request(key: &PrivateKey) -> Result<String, String> {
    let der = request::der(key, MEMBER).map_err(|error| error.to_string())?;
    Ok(pem::encode("CERTIFICATE REQUEST", &der))
}

/// Whether a certificate is one that this member can use: of this CA, for this key, in force, for
/// its addresses. What a usable CA is, is decided as etcd decides it.
///
/// # Errors
/// Why it is not, and what to do about it.
pub(super) fn check_certificate(
    certificate: &[u8],
    key: &PrivateKey,
    ca: &CaCertificate,
    identity: &MemberIdentity,
    now: i64,
) -> Result<(), String> {
    let sign = format!(
        "sign it with etcd-signer member sign {}",
        identity.sign_options().join(" ")
    );
    let Some(found) = MemberCertificate::parse(certificate, Some(ca)) else {
        return Err(
            "the certificate cannot be parsed: it must be PEM, and may be truncated".to_owned(),
        );
    };
    if found.public_key.as_ref() != Some(key.public_key()) {
        return Err(
            "the certificate is for a different key: it was signed for another request".to_owned(),
        );
    }
    if !found.is_the_cas {
        return Err(
            "the certificate is not signed by this CA: sign it on a signer of this cluster"
                .to_owned(),
        );
    }
    if now < found.not_before || now > found.not_after {
        return Err(
            "the certificate is expired or not yet valid: check this host's clock".to_owned(),
        );
    }
    if found.common_name != MEMBER || found.is_ca || !found.is_for_server_and_client {
        return Err(format!("the certificate is not a member's: {sign}"));
    }
    for address in identity
        .addresses
        .iter()
        .chain([&IpAddr::V4(Ipv4Addr::LOCALHOST)])
    {
        if !found.hosts.contains(&MemberHost::Address(*address)) {
            return Err(format!("the certificate is not for {address}: {sign}"));
        }
    }
    Ok(())
}

/// Installs the CA's certificate, unless it is in place, this member's certificate and its key.
///
/// # Errors
/// The file system's.
pub(super) fn install_pki(
    ca: Option<&str>,
    certificate: &str,
    key: &str,
) -> Result<(), SetupError> {
    let owner = etcd_account()?;
    new_file::create_directory(Path::new(ETC))?;
    new_file::create_directory(Path::new(PKI))?;
    if let Some(ca) = ca {
        install(Path::new(CA_CERTIFICATE), ca.as_bytes(), 0o444, None)?;
    }
    install(Path::new(MEMBER_KEY), key.as_bytes(), 0o400, Some(owner))?;
    install(
        Path::new(MEMBER_CERTIFICATE),
        certificate.as_bytes(),
        0o444,
        None,
    )?;
    Ok(())
}

/// The user and the group that etcd runs as.
///
/// # Errors
/// There is no such user.
pub(super) fn etcd_account() -> Result<(u32, u32), SetupError> {
    match crate::system::account::named("etcd") {
        Some(account) => Ok((account.uid, account.gid)),
        None => refuse!("user etcd does not exist: install etcd-server"),
    }
}

#[cfg(test)]
mod tests {
    use super::{MemberIdentity, check_certificate, new_key, request};
    use crate::pki::ca::certificate::CaCertificate;
    use crate::pki::private_key::PrivateKey;
    use crate::setup::clock::now;
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    /// A folder with a CA, made by openssl as others make theirs.
    struct Ca(PathBuf);

    impl Ca {
        fn new(name: &str, extensions: &str) -> Self {
            let path = std::env::temp_dir().join(format!("setup-ca-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            let ca = Self(path);
            fs::write(
                ca.0.join("conf"),
                format!("[req]\ndistinguished_name=dn\n[dn]\n[x]\n{extensions}\n"),
            )
            .unwrap();
            ca.openssl(
                "req -x509 -config conf -extensions x -newkey ec -pkeyopt \
                 ec_paramgen_curve:P-256 -nodes -subj /CN=ours -days 99 -keyout ca.key -out ca.crt",
            );
            ca
        }

        fn openssl(&self, line: &str) -> bool {
            let output = Command::new("openssl")
                .args(line.split_whitespace())
                .current_dir(&self.0)
                .output()
                .unwrap();
            output.status.success()
        }

        fn certificate(&self) -> CaCertificate {
            CaCertificate::from_pem(&fs::read(self.0.join("ca.crt")).unwrap(), now()).unwrap()
        }

        /// A certificate for a request, with these extensions.
        fn sign(&self, key: &PrivateKey, extensions: &str, validity: &str) -> Vec<u8> {
            fs::write(self.0.join("csr"), request(key).unwrap()).unwrap();
            fs::write(self.0.join("ext"), extensions).unwrap();
            let _ = fs::remove_file(self.0.join("index"));
            fs::write(self.0.join("index"), "").unwrap();
            fs::write(
                self.0.join("ca.conf"),
                "[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\ndatabase=index\npolicy=p\n\
                 default_md=sha256\nrand_serial=yes\nunique_subject=no\n[p]\ncommonName=supplied\n",
            )
            .unwrap();
            let _ = fs::remove_file(self.0.join("crt"));
            self.openssl(&format!(
                "ca -batch -config ca.conf -cert ca.crt -keyfile ca.key -in csr -extfile ext \
                 -notext {validity} -out crt"
            ));
            fs::read(self.0.join("crt")).unwrap()
        }
    }

    impl Drop for Ca {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const MEMBERS: &str = "subjectAltName=IP:10.0.0.2,DNS:n2,IP:127.0.0.1,DNS:localhost\n\
                           extendedKeyUsage=serverAuth,clientAuth\n";
    const IN_FORCE: &str = "-days 9";

    fn identity() -> MemberIdentity {
        MemberIdentity {
            name: "n2".to_owned(),
            addresses: vec!["10.0.0.2".parse().unwrap()],
        }
    }

    #[test]
    fn ca_that_etcd_takes_is_taken_whatever_openssl_says_of_it() {
        let (key, _) = new_key().unwrap();
        let mut refused = 0;
        for (name, extensions) in [
            (
                "easy-rsa",
                "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always,issuer:always\n\
                 basicConstraints=CA:TRUE\nkeyUsage=cRLSign,keyCertSign",
            ),
            ("old-openssl", "basicConstraints=CA:true"),
            (
                "old-kubeadm",
                "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign\n\
                 basicConstraints=critical,CA:true",
            ),
        ] {
            let ca = Ca::new(name, extensions);
            let certificate = ca.sign(&key, MEMBERS, IN_FORCE);
            check_certificate(&certificate, &key, &ca.certificate(), &identity(), now())
                .unwrap_or_else(|why| panic!("{name}: {why}"));
            refused += u32::from(!ca.openssl("verify -x509_strict -CAfile ca.crt crt"));
        }
        assert!(refused > 0, "openssl has become as lenient as etcd");
    }

    #[test]
    fn certificate_that_the_member_cannot_use_is_refused() {
        let (key, _) = new_key().unwrap();
        let (other_key, _) = new_key().unwrap();
        let ca = Ca::new("ours", "basicConstraints=critical,CA:true");
        let other_ca = Ca::new("theirs", "basicConstraints=critical,CA:true");
        let refusal = |certificate: &[u8], key: &PrivateKey| {
            check_certificate(certificate, key, &ca.certificate(), &identity(), now()).unwrap_err()
        };
        let good = ca.sign(&key, MEMBERS, IN_FORCE);
        assert!(refusal(&good, &other_key).contains("different key"));
        assert!(refusal(&good[..good.len() / 2], &key).contains("cannot be parsed"));
        let signed = other_ca.sign(&key, MEMBERS, IN_FORCE);
        assert!(refusal(&signed, &key).contains("not signed by this CA"));
        let expired = "-startdate 20200101000000Z -enddate 20200201000000Z";
        let signed = ca.sign(&key, MEMBERS, expired);
        assert!(refusal(&signed, &key).contains("not yet valid"));
        for (extensions, words) in [
            ("extendedKeyUsage=serverAuth,clientAuth", "not for 10.0.0.2"),
            (
                "subjectAltName=IP:10.0.0.2\nextendedKeyUsage=serverAuth,clientAuth",
                "not for 127.0.0.1",
            ),
            (
                "subjectAltName=IP:10.0.0.2,IP:127.0.0.1\nextendedKeyUsage=serverAuth",
                "not a member's",
            ),
            (
                "subjectAltName=IP:10.0.0.2,IP:127.0.0.1\nbasicConstraints=CA:TRUE\n\
                 extendedKeyUsage=serverAuth,clientAuth",
                "not a member's",
            ),
        ] {
            let signed = ca.sign(&key, extensions, IN_FORCE);
            let why = refusal(&signed, &key);
            assert!(why.contains(words), "{extensions}: {why}");
        }
    }
}
