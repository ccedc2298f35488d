//! Secrets that a configuration only points at: `file:<path>`, and `credential:<name>` of systemd, in the place of the
//! secret itself. No secret is ever part of an error, of a fault or of `Debug`.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::variables::Lookup;

/// More than any key or URL has; what is longer is another file.
const LONGEST: u64 = 64 << 10;
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// A secret of the configuration. It is wiped when dropped, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Why what was pointed at could not be had; each text goes on after "found …, ".
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    #[error("which cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("which is no regular file")]
    NoFile,
    #[error(
        "which every user of the machine can read or write (mode {0:04o}); take that from them: chmod o= <the file>"
    )]
    Exposed(u32),
    #[error("which is longer than 64 KiB: no secret is")]
    TooLong,
    #[error("which holds no UTF-8 text")]
    NoText,
    #[error("but {DIRECTORY} is not set; the unit needs LoadCredential= or LoadCredentialEncrypted= with that name")]
    NoCredentials,
    #[error("expected the name of a credential: the name of a file, without a directory")]
    Name,
}

impl Secret {
    /// The secret itself, for whoever needs it now. Copies are the caller's to wipe.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What `text` points at, without the newline at its end; `text` itself when it points at nothing.
pub(super) fn resolve(text: &str, lookup: &Lookup<'_>) -> Result<Zeroizing<String>, SecretError> {
    if let Some(path) = text.strip_prefix("file:") {
        return read(Path::new(path), true);
    }
    let Some(name) = text.strip_prefix("credential:") else { return Ok(Zeroizing::new(text.to_owned())) };
    if !is_credential(name) {
        return Err(SecretError::Name);
    }
    let directory = lookup(DIRECTORY).ok_or(SecretError::NoCredentials)?;
    // systemd keeps the directory to the service; with an access list the mode shows more than it grants.
    read(&PathBuf::from(directory).join(name), false)
}

/// A credential is a file name under a directory of systemd's, and never leads out of it.
pub(super) fn is_credential(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != ".."
}

fn read(path: &Path, private: bool) -> Result<Zeroizing<String>, SecretError> {
    // Before it is opened: to open a pipe can take for ever.
    if !fs::metadata(path).map_err(SecretError::Unreadable)?.is_file() {
        return Err(SecretError::NoFile);
    }
    let file = File::open(path).map_err(SecretError::Unreadable)?;
    // Of the open file, not of the path: nobody can swap it in between.
    let metadata = file.metadata().map_err(SecretError::Unreadable)?;
    if private && metadata.mode() & 0o007 != 0 {
        return Err(SecretError::Exposed(metadata.mode() & 0o7777));
    }
    // As long as it can get, so that growing leaves no copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(SecretError::Unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(SecretError::TooLong);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::NoText)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Zeroizing::new(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(dir: &Path, name: &str, text: &[u8], mode: u32) -> String {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        format!("file:{}", path.display())
    }

    #[test]
    fn a_secret_is_read_without_its_last_newline() {
        let dir = tempfile::tempdir().unwrap();
        for (text, expected) in [("a\n", "a"), ("a\r\n", "a"), ("a", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("", "")] {
            let found = resolve(&file(dir.path(), "s", text.as_bytes(), 0o640), &|_| None).unwrap();
            assert_eq!(found.as_str(), expected, "{text:?}");
        }
        assert_eq!(resolve("postgres://db/t", &|_| None).unwrap().as_str(), "postgres://db/t");
        // A credential's directory is the service's own, whatever the modes say.
        file(dir.path(), "eab", b"key\n", 0o444);
        let directory = dir.path().display().to_string();
        let lookup = |name: &str| (name == DIRECTORY).then(|| directory.clone());
        assert_eq!(resolve("credential:eab", &lookup).unwrap().as_str(), "key");
    }

    #[test]
    fn what_is_no_secret_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        let missing = format!("file:{}", dir.path().join("missing").display());
        for (text, why) in [
            (missing, "cannot be read"),
            (format!("file:{}", dir.path().display()), "no regular file"),
            (file(dir.path(), "open", b"hunter2", 0o644), "mode 0644"),
            (file(dir.path(), "written", b"hunter2", 0o602), "mode 0602"),
            (file(dir.path(), "long", &[b'a'; 65_537], 0o600), "longer than 64 KiB"),
            (file(dir.path(), "binary", b"\xff\xfe", 0o600), "no UTF-8"),
            ("credential:eab".into(), "LoadCredential="),
            ("credential:../eab".into(), "without a directory"),
            ("file:".into(), "cannot be read"),
        ] {
            let error = resolve(&text, &|_| None).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::from(b"hunter2".to_vec())), "Secret(…)");
    }
}
