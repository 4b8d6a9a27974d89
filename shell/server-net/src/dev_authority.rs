//! A certificate authority for development: makes what a real operator buys or gets from ACME.
//!
//! Owns a folder with `authority.pem` (what clients are told to trust), `server.pem`, their keys (mode 0600), and
//! `server.txt` (until when, for which names). Does not know who listens.
//!
//! - What is in the folder is used again at the next start; the server's certificate is made anew when it has less than
//!   [`RENEWAL_DAYS`] to live or is asked for other names. The authority stays, so clients go on trusting it.
//! - Keys never leave the folder.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

use crate::tls::{Identity, TlsError};

/// Days that a server certificate lives: browsers accept at most 398.
const SERVER_DAYS: u32 = 397;
/// Days that the authority lives: longer than any development folder.
const AUTHORITY_DAYS: u32 = 3650;
/// A certificate with fewer days left is made anew at the next start.
const RENEWAL_DAYS: u32 = 60;
/// Clocks of clients may be behind by this much.
const BACKDATING: Duration = Duration::from_secs(86_400);
const DAY: Duration = Duration::from_secs(86_400);

/// Why the development authority could not be made or read. Nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The folder or a file in it cannot be written or read.
    #[error("development authority: {path}: {source}", path = path.display())]
    Folder {
        /// Which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A name is not a host name or address, or a kept key is damaged.
    #[error("development authority in {path}: {source}; remove the folder to have it made anew", path = path.display())]
    Certificate {
        /// The folder.
        path: PathBuf,
        /// What the certificate library said.
        source: rcgen::Error,
    },
    /// What was made does not load.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Returns the server identity of a folder for these names, making whatever is missing or about to expire.
///
/// # Errors
/// [`AuthorityError`]
pub fn load_or_make(folder: &Path, names: &[String], now: SystemTime) -> Result<Identity, AuthorityError> {
    let made = |source| AuthorityError::Certificate { path: folder.to_owned(), source };
    let unusable = |source| AuthorityError::Folder { path: folder.to_owned(), source };
    fs::create_dir_all(folder).and_then(|()| folder.parent().map_or(Ok(()), sync_folder)).map_err(unusable)?;
    let authority_key = load_or_make_authority(folder, now)?;
    let (chain, key) = (folder.join("server.pem"), folder.join("server.key"));
    if !is_current(folder, names, now) {
        let server_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(made)?;
        let until = now + days(SERVER_DAYS);
        let params = server_params(names, now, until).map_err(made)?;
        let authority = authority_params(now);
        let certificate = params.signed_by(&server_key, &Issuer::new(authority, authority_key)).map_err(made)?;
        write(&key, server_key.serialize_pem().as_bytes(), Mode::Secret)?;
        write(&chain, certificate.pem().as_bytes(), Mode::Public)?;
        write(&folder.join("server.txt"), note(names, until).as_bytes(), Mode::Public)?;
    }
    Ok(Identity::from_files(&chain, &key)?)
}

fn load_or_make_authority(folder: &Path, now: SystemTime) -> Result<KeyPair, AuthorityError> {
    let made = |source| AuthorityError::Certificate { path: folder.to_owned(), source };
    let path = folder.join("authority.key");
    match fs::read_to_string(&path) {
        Ok(pem) if folder.join("authority.pem").exists() => KeyPair::from_pem(&pem).map_err(made),
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(AuthorityError::Folder { path, source }),
        _ => {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(made)?;
            let certificate = authority_params(now).self_signed(&key).map_err(made)?;
            write(&path, key.serialize_pem().as_bytes(), Mode::Secret)?;
            write(&folder.join("authority.pem"), certificate.pem().as_bytes(), Mode::Public)?;
            // A certificate of the authority before this one would not verify any more.
            let _ = fs::remove_file(folder.join("server.txt"));
            Ok(key)
        }
    }
}

/// The name is always the same, so that an issuer rebuilt from the key matches the certificate on disk.
fn authority_params(now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, "Halcyon development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(now - BACKDATING);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(now + days(AUTHORITY_DAYS));
    params
}

fn server_params(names: &[String], now: SystemTime, until: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, "Halcyon server");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(now - BACKDATING);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(until);
    Ok(params)
}

fn note(names: &[String], until: SystemTime) -> String {
    format!("{}\n{}\n", seconds(until), names.join("\n"))
}

fn is_current(folder: &Path, names: &[String], now: SystemTime) -> bool {
    let Ok(text) = fs::read_to_string(folder.join("server.txt")) else { return false };
    let Some((until, kept)) = text.split_once('\n') else { return false };
    let lives = until.parse::<u64>().is_ok_and(|until| until > seconds(now + days(RENEWAL_DAYS)));
    lives && kept.lines().eq(names.iter().map(String::as_str))
}

fn seconds(time: SystemTime) -> u64 {
    since_epoch(time).as_secs()
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn days(count: u32) -> Duration {
    DAY * count
}

#[derive(Clone, Copy)]
enum Mode {
    Secret,
    Public,
}

/// Writes beside, renames and syncs, so that a crash leaves the old file or the new one, and nobody is told to trust an authority that
/// is gone after the next.
fn write(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), AuthorityError> {
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |source| AuthorityError::Folder { path: path.to_owned(), source };
    let beside = path.with_extension("new");
    let bits = match mode {
        Mode::Secret => 0o600,
        Mode::Public => 0o644,
    };
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(bits).open(&beside).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).and_then(|()| path.parent().map_or(Ok(()), sync_folder)).map_err(failed)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn read(folder: &Path, name: &str) -> Vec<u8> {
        fs::read(folder.join(name)).unwrap()
    }

    #[test]
    fn a_second_start_finds_the_same_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned()];
        let now = SystemTime::now();
        load_or_make(folder.path(), &names, now).unwrap();
        let first = (read(folder.path(), "authority.pem"), read(folder.path(), "server.pem"));
        load_or_make(folder.path(), &names, now + DAY).unwrap();
        assert_eq!((read(folder.path(), "authority.pem"), read(folder.path(), "server.pem")), first);
        for key in ["authority.key", "server.key"] {
            assert_eq!(fs::metadata(folder.path().join(key)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    /// The authority that clients trust survives the renewal of the server's certificate.
    #[test]
    fn an_old_certificate_is_made_anew_under_the_same_authority() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned()];
        let now = SystemTime::now();
        load_or_make(folder.path(), &names, now).unwrap();
        let first = (read(folder.path(), "authority.pem"), read(folder.path(), "server.pem"));
        load_or_make(folder.path(), &names, now + days(SERVER_DAYS - RENEWAL_DAYS)).unwrap();
        assert_eq!(read(folder.path(), "authority.pem"), first.0);
        assert_ne!(read(folder.path(), "server.pem"), first.1);
    }

    #[test]
    fn a_damaged_key_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned()];
        load_or_make(folder.path(), &names, SystemTime::now()).unwrap();
        fs::write(folder.path().join("authority.key"), "gone").unwrap();
        let error = load_or_make(folder.path(), &names, SystemTime::now()).unwrap_err();
        assert!(error.to_string().contains("remove the folder"), "{error}");
    }
}
