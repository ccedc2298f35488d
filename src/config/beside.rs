//! Files beside the configuration: read, or looked at, where they are named, so that what is wrong with one is a fault at its
//! key, found by whoever checks the configuration and not by whoever uses the file. Secrets are `secrets`' business.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::section::{Section, shown};

/// Certificates in PEM, with where they were read from. Two of them are the same when they hold the same.
#[derive(Clone, PartialEq, Eq)]
pub struct PemFile {
    pub path: PathBuf,
    pub bytes: Arc<[u8]>,
}

impl fmt::Debug for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PemFile({:?})", self.path)
    }
}

/// The longest file of certificates that is read: all authorities of the web are a quarter of this.
const LONGEST: u64 = 1 << 20;

/// Reads a file of certificates, each of them whole.
pub(super) fn certificates(section: &Section<'_>, key: &str, path: PathBuf) -> Option<PemFile> {
    let read = read(&path).and_then(|bytes| {
        let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| format!("holds what is no certificate in PEM: {error}"))?;
        if certificates.is_empty() {
            return Err("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".into());
        }
        for certificate in &certificates {
            let damaged = |error| format!("holds a damaged certificate: {error}");
            x509_parser::parse_x509_certificate(certificate).map_err(damaged)?;
        }
        Ok(bytes)
    });
    match read {
        Ok(bytes) => Some(PemFile { path, bytes: bytes.as_slice().into() }),
        Err(why) => {
            section.fault(key, format!("found {}, which {why}", shown(&path.display().to_string())));
            None
        }
    }
}

/// Looks whether a file holds a private key. It is not kept.
pub(super) fn private_key(section: &Section<'_>, key: &str, path: &Path) {
    let read = read(path).and_then(|bytes| {
        let parsed = PrivateKeyDer::from_pem_slice(&bytes).map(drop);
        parsed.map_err(|_| "holds no private key in PEM (-----BEGIN PRIVATE KEY-----)".into())
    });
    if let Err(why) = read {
        section.fault(key, format!("found {}, which {why}", shown(&path.display().to_string())));
    }
}

/// Looks whether a file can be appended to. It is not made.
pub(super) fn appendable(section: &Section<'_>, key: &str, path: &Path) {
    let why = match fs::metadata(path) {
        Ok(about) if about.is_dir() => Some("is a directory; expected a file".to_owned()),
        // To open a pipe can take for ever.
        Ok(about) if !about.is_file() => None,
        Ok(_) => OpenOptions::new().append(true).open(path).err().map(|error| format!("cannot be written to: {error}")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| parent.is_dir());
            parent.is_none().then(|| "is in no directory that there is; expected that it is made first".to_owned())
        }
        Err(error) => Some(format!("cannot be looked at: {error}")),
    };
    if let Some(why) = why {
        section.fault(key, format!("found {}, which {why}", shown(&path.display().to_string())));
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    // Before it is opened: to open a pipe can take for ever.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is no regular file".into());
    }
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path).map_err(unreadable)?.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST { Err("is longer than 1 MiB".into()) } else { Ok(bytes) }
}
