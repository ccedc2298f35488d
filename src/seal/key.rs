//! Where the key-encryption key comes from: a file, the environment, a systemd credential. Read once, at start; a key
//! that other users could read is refused.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{SealError, Sealer};
use crate::config::KeySource;

/// The length of a key-encryption key, unencoded.
pub const KEY_BYTES: usize = 32;

/// A key file is a line of 44 characters; anything much longer is another file.
const MOST_TEXT: u64 = 1024;

impl Sealer {
    /// Reads the key from its configured source: 32 bytes in base64, blanks around them ignored.
    pub fn load(source: &KeySource) -> Result<Self, SealError> {
        Self::load_with(source, &|name| std::env::var_os(name))
    }

    /// The newest key, and those of earlier days, from their configured sources.
    pub fn load_all(newest: &KeySource, old: &[KeySource]) -> Result<Self, SealError> {
        old.iter().try_fold(Self::load(newest)?, |sealer, source| Ok(sealer.and_old(&Self::load(source)?)))
    }

    /// [`Sealer::load`] with an environment of the caller's own.
    pub fn load_with(source: &KeySource, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, SealError> {
        match source {
            KeySource::File(path) => decode(&format!("the file {}", path.display()), &read(path, Exposure::Refused)?),
            KeySource::Environment(name) => {
                let from = format!("the environment variable {name}");
                let value = environment(name)
                    .ok_or_else(|| SealError::Unreadable { from: from.clone(), why: "it is not set".into() })?;
                decode(&from, &Zeroizing::new(value.into_encoded_bytes()))
            }
            KeySource::Credential(name) => {
                let directory = environment("CREDENTIALS_DIRECTORY").ok_or_else(|| SealError::Unreadable {
                    from: format!("the systemd credential {name}"),
                    why: "$CREDENTIALS_DIRECTORY is not set; the unit needs LoadCredential= or \
                          LoadCredentialEncrypted= with that name"
                        .into(),
                })?;
                // systemd keeps the directory to the service; with an access list the mode shows more than it grants.
                let path = PathBuf::from(directory).join(name);
                decode(&format!("the systemd credential {name}"), &read(&path, Exposure::Allowed)?)
            }
        }
    }
}

/// Key files as `tenantry dev` and the installation's set-up make them.
pub struct KeyFile;

impl KeyFile {
    /// Writes a fresh random key to `path`, mode 0600, on disk when this returns. Never overwrites: an existing file
    /// is [`SealError::Exists`].
    pub fn create(path: &Path) -> Result<(), SealError> {
        let unwritable = |why: &dyn std::fmt::Display| SealError::Unwritable {
            path: path.display().to_string(),
            why: why.to_string(),
        };
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(&mut *key).map_err(|_| SealError::Library("make random bytes"))?;
        let text = Zeroizing::new(STANDARD.encode(*key) + "\n");
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(SealError::Exists { path: path.display().to_string() });
            }
            Err(error) => return Err(unwritable(&error)),
        };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| unwritable(&error))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Exposure {
    Refused,
    Allowed,
}

fn read(path: &Path, exposure: Exposure) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let from = || format!("the file {}", path.display());
    let unreadable = |error: io::Error| SealError::Unreadable { from: from(), why: error.to_string() };
    let file = File::open(path).map_err(unreadable)?;
    // Of the open file, not of the path: nobody can swap it in between.
    let metadata = file.metadata().map_err(unreadable)?;
    if exposure == Exposure::Refused && metadata.mode() & 0o077 != 0 {
        return Err(SealError::Exposed { path: path.display().to_string(), mode: metadata.mode() & 0o7777 });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(MOST_TEXT as usize + 1));
    file.take(MOST_TEXT + 1).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

fn decode(from: &str, text: &[u8]) -> Result<Sealer, SealError> {
    let malformed = |found: &str| SealError::Malformed { from: from.to_owned(), found: found.to_owned() };
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(malformed("empty"));
    }
    if text.len() as u64 > MOST_TEXT {
        return Err(malformed("far too long"));
    }
    let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| malformed("not base64"))?);
    let key: &[u8; KEY_BYTES] =
        bytes.as_slice().try_into().map_err(|_| malformed(&format!("{} bytes long", bytes.len())))?;
    Sealer::from_key_bytes(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn nothing(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn a_key_file_is_made_once_and_read_by_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.key");
        KeyFile::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let source = KeySource::File(path.clone());
        let first = Sealer::load(&source).unwrap();
        assert_eq!(KeyFile::create(&path), Err(SealError::Exists { path: path.display().to_string() }));
        assert_eq!(Sealer::load(&source).unwrap().key_id(), first.key_id());
        for mode in [0o640, 0o604, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = Sealer::load(&source).unwrap_err();
            assert_eq!(error, SealError::Exposed { path: path.display().to_string(), mode });
            assert!(error.to_string().ends_with(&format!("run: chmod 600 {}", path.display())), "{error}");
        }
    }

    #[test]
    fn the_environment_and_a_credential_give_the_same_key() {
        let directory = tempfile::tempdir().unwrap();
        let text = STANDARD.encode([9; KEY_BYTES]);
        fs::write(directory.path().join("kek"), format!("  {text}\n")).unwrap();
        let environment = |name: &str| match name {
            "KEK" => Some(OsString::from(&text)),
            "CREDENTIALS_DIRECTORY" => Some(directory.path().into()),
            _ => None,
        };
        let one = Sealer::load_with(&KeySource::Environment("KEK".into()), &environment).unwrap();
        let two = Sealer::load_with(&KeySource::Credential("kek".into()), &environment).unwrap();
        assert_eq!(one.key_id(), two.key_id());
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_source_and_what_would_be_right() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.key");
        for (text, found) in [
            ("", "empty"),
            ("\n", "empty"),
            ("not base64!", "not base64"),
            ("AAAA", "3 bytes long"),
            (&"A".repeat(4096), "far too long"),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let error = Sealer::load(&KeySource::File(path.clone())).unwrap_err().to_string();
            assert!(
                error.contains(found) && error.contains("store.key") && error.contains("32 random bytes"),
                "{error}"
            );
        }
        for (source, part) in [
            (KeySource::File(directory.path().join("missing")), "missing"),
            (KeySource::Environment("KEK".into()), "environment variable KEK: it is not set"),
            (KeySource::Credential("kek".into()), "LoadCredential"),
        ] {
            let error = Sealer::load_with(&source, &nothing).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
