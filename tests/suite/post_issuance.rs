//! The post-issuance check: whatever differs from the profile is rejected, by the field's name.

use etcd_signer::internals::{
    CaCertificate, CaInitOptions, CaKey, CaKeyFile, Certificate, Csr, Grant, KeyAlgorithm,
    MasterName, MemberHost, OwnKey, Validity, init, issue, parameters, serial,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, SanType,
};
use std::time::Duration;
use time::OffsetDateTime;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct Case {
    _dir: tempfile::TempDir,
    ca: CaCertificate,
    key: CaKey,
    grant: Grant,
    now: i64,
}

impl Case {
    fn new(days: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = OffsetDateTime::now_utc();
        let made = init(
            &CaInitOptions {
                directory: dir.path().join("pki"),
                algorithm: KeyAlgorithm::P256,
                days,
                common_name: "post-issuance".to_owned(),
            },
            now,
        )
        .unwrap();
        let now = now.unix_timestamp();
        let ca = CaCertificate::load(&made.certificate, now).unwrap();
        let key = CaKeyFile::open(&made.key).unwrap().read(&ca).unwrap();
        Self {
            _dir: dir,
            ca,
            key,
            grant: grant("kubemaster-1"),
            now,
        }
    }

    fn params(&self) -> CertificateParams {
        let validity = Validity::starting(self.now, DAY, &self.ca);
        parameters(&self.grant, validity, serial().unwrap()).unwrap()
    }

    fn check(&self, der: Vec<u8>) -> Result<(), String> {
        Certificate::check(der, &self.grant, &self.ca, self.now, DAY)
            .map(|_| ())
            .map_err(|rejected| rejected.to_string())
    }

    /// What the check says of a certificate made with changed parameters.
    fn changed(&self, change: impl FnOnce(&mut CertificateParams)) -> Result<(), String> {
        let mut params = self.params();
        change(&mut params);
        let der = issue(&params, self.grant.public_key(), &self.ca, &self.key).unwrap();
        self.check(der)
    }
}

/// A grant for a key that is made here, through a request that is made here.
fn grant(name: &str) -> Grant {
    let asked = MasterName::parse(name.as_bytes()).unwrap();
    Grant::master(asked, csr(name)).unwrap()
}

/// A request for a key that is made here.
fn csr(name: &str) -> Csr {
    use base64::Engine as _;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let csr = params.serialize_request(&key).unwrap();
    let input = base64::engine::general_purpose::STANDARD.encode(csr.der());
    Csr::from_input(input.as_bytes()).unwrap()
}

fn rejects(outcome: Result<(), String>, field: &str) {
    let said = outcome.expect_err(field);
    assert!(said.contains(&format!("({field})")), "{field}: {said}");
}

#[test]
fn certificate_of_the_profile_is_accepted() {
    let case = Case::new(3650);
    assert_eq!(case.changed(|_| ()), Ok(()));
}

#[test]
fn changed_field_is_rejected_by_name() {
    let case = Case::new(3650);
    rejects(
        case.changed(|p| p.serial_number = Some(0_u64.into())),
        "serialNumber",
    );
    rejects(
        case.changed(|p| {
            p.distinguished_name
                .push(DnType::OrganizationName, "system:masters")
        }),
        "subject",
    );
    rejects(
        case.changed(|p| {
            p.distinguished_name = DistinguishedName::new();
            p.distinguished_name
                .push(DnType::CommonName, "kubemaster-2");
        }),
        "subject",
    );
    let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    rejects(
        case.changed(|p| p.not_after += time::Duration::SECOND),
        "validity",
    );
    rejects(
        case.changed(|p| p.not_before = at(case.now + 1)),
        "validity",
    );
    rejects(case.changed(|p| p.not_after = at(case.now - 1)), "validity");
    rejects(case.changed(|p| p.is_ca = IsCa::NoCa), "extensions");
    rejects(
        case.changed(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        "basicConstraints",
    );
    rejects(case.changed(|p| p.key_usages.clear()), "extensions");
    rejects(
        case.changed(|p| p.key_usages.push(KeyUsagePurpose::KeyCertSign)),
        "keyUsage",
    );
    rejects(
        case.changed(|p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement]),
        "keyUsage",
    );
    for other in [
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::Any,
        ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 1]),
    ] {
        rejects(
            case.changed(|p| p.extended_key_usages.push(other)),
            "extendedKeyUsage",
        );
    }
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    rejects(
        case.changed(|p| p.subject_alt_names.push(dns("leader"))),
        "subjectAltName",
    );
    rejects(
        case.changed(|p| p.subject_alt_names = vec![dns("kubemaster-2")]),
        "subjectAltName",
    );
    rejects(
        case.changed(|p| {
            p.subject_alt_names
                .push(SanType::IpAddress([127, 0, 0, 1].into()))
        }),
        "subjectAltName",
    );
    rejects(
        case.changed(|p| p.key_identifier_method = KeyIdMethod::PreSpecified(vec![1; 21])),
        "subjectKeyIdentifier",
    );
    rejects(
        case.changed(|p| p.use_authority_key_identifier_extension = false),
        "extensions",
    );
    rejects(
        case.changed(|p| {
            let extra = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1], vec![5, 0]);
            p.custom_extensions.push(extra);
        }),
        "extensions",
    );
}

#[test]
fn other_key_other_ca_and_altered_bytes_are_rejected() {
    let case = Case::new(3650);
    let params = case.params();
    let other = grant("kubemaster-1");
    let der = issue(&params, other.public_key(), &case.ca, &case.key).unwrap();
    rejects(case.check(der), "subjectPublicKeyInfo");

    let elsewhere = Case::new(3650);
    let der = issue(
        &params,
        case.grant.public_key(),
        &elsewhere.ca,
        &elsewhere.key,
    )
    .unwrap();
    rejects(case.check(der), "its signature does not verify");

    let der = issue(&params, case.grant.public_key(), &case.ca, &case.key).unwrap();
    assert_eq!(case.check(der.clone()), Ok(()));
    for at in 0..der.len() {
        let mut altered = der.clone();
        altered[at] ^= 1;
        assert!(
            case.check(altered.clone()).is_err(),
            "byte {at} {:02x?}",
            &altered[at - 12..at + 8]
        );
    }
    rejects(case.check([der, vec![0]].concat()), "it is not strict DER");
}

#[test]
fn certificate_ends_with_its_ca_at_the_latest() {
    let case = Case::new(1);
    assert_eq!(case.changed(|_| ()), Ok(()));
    rejects(
        case.changed(|p| p.not_after += time::Duration::SECOND),
        "validity",
    );
}

/// The signer's own certificate is for one name and at most five minutes, and is never taken for
/// a master's.
#[test]
fn signers_own_certificate_differs_from_a_masters() {
    let case = Case::new(3650);
    let own = OwnKey::generate().unwrap();
    let own_grant = Grant::signer(own.public_key().clone());
    let issue_own = |total, change: fn(&mut CertificateParams)| {
        let validity = Validity::starting(case.now, total, &case.ca);
        let mut params = parameters(&own_grant, validity, serial().unwrap()).unwrap();
        change(&mut params);
        issue(&params, own.public_key(), &case.ca, &case.key).unwrap()
    };
    let check_own = |der| {
        Certificate::check(der, &own_grant, &case.ca, case.now, DAY)
            .map(|_| ())
            .map_err(|rejected| rejected.to_string())
    };
    let five_minutes = Duration::from_secs(300);
    assert_eq!(check_own(issue_own(five_minutes, |_| ())), Ok(()));
    let longer = five_minutes + Duration::from_secs(1);
    rejects(check_own(issue_own(longer, |_| ())), "validity");
    rejects(
        check_own(issue_own(five_minutes, |p| {
            p.distinguished_name = DistinguishedName::new();
            p.distinguished_name.push(DnType::CommonName, "root");
        })),
        "subject",
    );
    rejects(
        check_own(issue_own(five_minutes, |p| {
            p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })),
        "extendedKeyUsage",
    );

    let validity = Validity::starting(case.now, five_minutes, &case.ca);
    let serial = serial().unwrap();
    let for_master = parameters(&case.grant, validity, serial).unwrap();
    let der = issue(&for_master, own.public_key(), &case.ca, &case.key).unwrap();
    rejects(check_own(der), "subject");
    let for_signer = parameters(&own_grant, validity, serial).unwrap();
    let der = issue(&for_signer, case.grant.public_key(), &case.ca, &case.key).unwrap();
    rejects(case.check(der), "subject");
}

/// What etcd's peer port is tried with is a client's, for addresses, and for five minutes.
#[test]
fn certificate_for_the_peer_port_is_for_these_addresses() {
    let case = Case::new(3650);
    let own = OwnKey::generate().unwrap();
    let addresses = ["127.0.0.1", "fd00::2"].map(|address| address.parse().unwrap());
    let grant = Grant::peer_probe(own.public_key().clone(), &addresses);
    let check = |total, change: Change| {
        let validity = Validity::starting(case.now, total, &case.ca);
        let mut params = parameters(&grant, validity, serial().unwrap()).unwrap();
        change(&mut params);
        let der = issue(&params, own.public_key(), &case.ca, &case.key).unwrap();
        Certificate::check(der, &grant, &case.ca, case.now, DAY)
            .map(|_| ())
            .map_err(|rejected| rejected.to_string())
    };
    let five_minutes = Duration::from_secs(300);
    assert_eq!(check(five_minutes, |_| ()), Ok(()));
    let longer = five_minutes + Duration::from_secs(1);
    rejects(check(longer, |_| ()), "validity");
    let changes: [(&str, Change); 4] = [
        ("subject", |p| {
            p.distinguished_name = DistinguishedName::new();
            p.distinguished_name.push(DnType::CommonName, "etcd-member");
        }),
        ("extendedKeyUsage", |p| {
            p.extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }),
        ("subjectAltName", |p| drop(p.subject_alt_names.pop())),
        ("subjectAltName", |p| {
            p.subject_alt_names[0] = SanType::IpAddress([10, 0, 0, 3].into());
        }),
    ];
    for (field, change) in changes {
        rejects(check(five_minutes, change), field);
    }
}

type Change = fn(&mut CertificateParams);

/// A member's certificate is a case of its own too: for the hosts that were named, in their
/// order, for both uses, and is never taken for a master's.
#[test]
fn members_certificate_differs_from_a_masters() {
    let case = Case::new(3650);
    let hosts = || {
        ["10.0.0.2", "fd00::2", "etcd-2"]
            .map(|host| MemberHost::parse(host).unwrap())
            .to_vec()
    };
    let member = Grant::member(hosts(), csr("etcd-member")).unwrap();
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let issue_member = |total, change: Change| {
        let validity = Validity::starting(case.now, total, &case.ca);
        let mut params = parameters(&member, validity, serial().unwrap()).unwrap();
        change(&mut params);
        issue(&params, member.public_key(), &case.ca, &case.key).unwrap()
    };
    let check = |der, longest| {
        Certificate::check(der, &member, &case.ca, case.now, longest)
            .map(|_| ())
            .map_err(|rejected| rejected.to_string())
    };
    assert_eq!(check(issue_member(year, |_| ()), year), Ok(()));
    let longer = year + Duration::from_secs(1);
    rejects(check(issue_member(longer, |_| ()), year), "validity");
    let years = year * 3;
    rejects(check(issue_member(years, |_| ()), years), "validity");
    let changes: [(&str, Change); 8] = [
        ("subject", |p| {
            p.distinguished_name = DistinguishedName::new();
            p.distinguished_name
                .push(DnType::CommonName, "kubemaster-1");
        }),
        ("extendedKeyUsage", |p| {
            drop(p.extended_key_usages.remove(0))
        }),
        ("extendedKeyUsage", |p| {
            drop(p.extended_key_usages.remove(1))
        }),
        ("extendedKeyUsage", |p| {
            p.extended_key_usages.push(ExtendedKeyUsagePurpose::Any);
        }),
        ("subjectAltName", |p| drop(p.subject_alt_names.pop())),
        ("subjectAltName", |p| p.subject_alt_names.swap(0, 1)),
        ("subjectAltName", |p| {
            p.subject_alt_names[0] = SanType::IpAddress([10, 0, 0, 3].into());
        }),
        ("basicConstraints", |p| {
            p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }),
    ];
    for (field, change) in changes {
        rejects(check(issue_member(year, change), year), field);
    }
    rejects(case.check(issue_member(year, |_| ())), "subject");
    let of_a_master = issue(&case.params(), member.public_key(), &case.ca, &case.key).unwrap();
    rejects(check(of_a_master, year), "subject");
}
