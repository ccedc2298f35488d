//! The last configuration that was right, kept on disk: one file, replaced as a whole, readable by its owner alone. It
//! holds what the three files held, so secrets that were written into them are in it too.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Sources;

/// Where the last good configuration is kept.
#[derive(Clone, Debug)]
pub struct LastGood(PathBuf);

#[derive(Serialize, Deserialize)]
struct Kept {
    tenantry: String,
    routing: String,
    plans: String,
}

impl LastGood {
    /// In this directory of the process's own.
    pub fn within(state: &Path) -> Self {
        Self(state.join("last-good-config.json"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Keeps these texts; the ones before stay until these are safely written. What cannot be read is not kept.
    pub fn keep(&self, sources: &Sources) -> io::Result<()> {
        let Some([tenantry, routing, plans]) = sources.texts() else { return Ok(()) };
        let kept = Kept { tenantry: tenantry.into(), routing: routing.into(), plans: plans.into() };
        let text = serde_json::to_vec(&kept)?;
        if std::fs::read(&self.0).is_ok_and(|before| before == text) {
            return Ok(());
        }
        if let Some(dir) = self.0.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let fresh = self.0.with_extension(format!("json.{}", std::process::id()));
        let written = write(&fresh, &text).and_then(|()| std::fs::rename(&fresh, &self.0));
        if written.is_err() {
            // Nothing half-written stays; that it cannot be removed either is the lesser trouble.
            let _ = std::fs::remove_file(&fresh);
        }
        written
    }

    /// What was kept, under the names that faults in it are reported with; `None` when there is nothing usable.
    pub fn read(&self) -> Option<Sources> {
        let kept: Kept = serde_json::from_slice(&std::fs::read(&self.0).ok()?).ok()?;
        Some(Sources::new(kept.tenantry, kept.routing, kept.plans))
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_kept_comes_back_and_is_nobody_elses_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let kept = LastGood::within(&dir.path().join("state"));
        assert!(kept.read().is_none());
        for text in ["a = 1", "a = 2"] {
            kept.keep(&Sources::new(text, "b", "c")).unwrap();
            assert_eq!(kept.read().unwrap().texts(), Some([text, "b", "c"]));
        }
        let mode = std::fs::metadata(kept.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        kept.keep(&Sources::read(Path::new("/nowhere"))).unwrap();
        assert_eq!(kept.read().unwrap().texts(), Some(["a = 2", "b", "c"]), "what cannot be read is not kept");
        std::fs::write(kept.path(), "{").unwrap();
        assert!(kept.read().is_none());
    }
}
