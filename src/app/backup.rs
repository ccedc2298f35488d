//! Backups of the store to a file, and back, and copies from one store to another: the same lines on different ways.
//! Nobody who serves has to stop for any of it.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::sync::mpsc;

use super::AppError;
use crate::audit::events;
use crate::clock::Clock;
use crate::config::Config;
use crate::seal::Sealer;
use crate::store::{self, Restored, StoreError};

/// Lines on their way at the same time.
const UNDER_WAY: usize = 1_024;

/// Writes all of the store, as it is at one moment, into a file for its owner's eyes only. A file of that name is replaced
/// when the new one is whole. Returns the number of rows. The key of the store is not needed, and not in the file. The ledger
/// says that it was made, but not where it is.
pub async fn backup(config: &Config, clock: &Clock, file: &Path) -> Result<u64, AppError> {
    let (sender, lines) = mpsc::channel(UNDER_WAY);
    let target = file.to_owned();
    let writing = tokio::task::spawn_blocking(move || write(&target, lines));
    let dumped = store::dump(&config.store.url, sender).await;
    let written = writing.await.map_err(io::Error::other).flatten();
    let part = part(file);
    let done = match (dumped, written) {
        // A disk that is full: the reader heard only that nobody takes the lines.
        (_, Err(source)) => Err(AppError::Backup { path: part.display().to_string(), source }),
        (Err(error), Ok(())) => Err(error.into()),
        (Ok(rows), Ok(())) => {
            std::fs::rename(&part, file)
                .and_then(|()| std::fs::File::open(parent(file))?.sync_all())
                .map_err(|source| AppError::Backup { path: file.display().to_string(), source })?;
            Ok(rows)
        }
    };
    if done.is_err() {
        // What is not whole is of no use; that it cannot be removed is the lesser trouble.
        let _ = std::fs::remove_file(&part);
    }
    let rows = done?;
    store::tell(&config.store.url, clock.now(), events::STORE_BACKUP, json!({ "rows": rows })).await?;
    Ok(rows)
}

/// Puts a backup in place of all that is in the store, which must be empty unless `replace`.
pub async fn restore(config: &Config, clock: &Clock, file: &Path, replace: bool) -> Result<Restored, AppError> {
    let fault = |source| AppError::Backup { path: file.display().to_string(), source };
    let opened = std::fs::File::open(file).map_err(fault)?;
    let (sender, lines) = mpsc::channel(UNDER_WAY);
    let reading = tokio::task::spawn_blocking(move || read(opened, &sender));
    let restored = into_store(config, &config.store.url, clock, lines, replace).await;
    reading.await.map_err(io::Error::other).flatten().map_err(fault)?;
    restored
}

/// Puts all of the configuration's store in place of all that is in another one, which must be empty unless `replace`.
pub async fn copy(config: &Config, clock: &Clock, to: &str, replace: bool) -> Result<Restored, AppError> {
    if to == config.store.url {
        return Err(StoreError::Url("it is the store itself; name another".into()).into());
    }
    let (sender, lines) = mpsc::channel(UNDER_WAY);
    let url = config.store.url.clone();
    let reading = tokio::spawn(async move { store::dump(&url, sender).await });
    let restored = into_store(config, to, clock, lines, replace).await;
    let read = reading.await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    match (restored, read) {
        // A reader that failed says what is wrong; the writer only saw that the lines break off.
        (Err(AppError::Store(StoreError::Backup(_))), Err(error)) => Err(error.into()),
        (Ok(restored), _) => {
            let detail = json!({ "rows": restored.rows });
            store::tell(&config.store.url, clock.now(), events::STORE_COPY, detail).await?;
            Ok(restored)
        }
        (restored, _) => restored,
    }
}

async fn into_store(
    config: &Config,
    url: &str,
    clock: &Clock,
    lines: mpsc::Receiver<String>,
    replace: bool,
) -> Result<Restored, AppError> {
    let sealer = Sealer::load_all(&config.store.key, &config.store.old_keys)?;
    Ok(store::restore(url, &sealer, clock.now(), lines, replace).await?)
}

fn write(file: &Path, mut lines: mpsc::Receiver<String>) -> io::Result<()> {
    let path = part(file);
    // What an earlier run left there, or somebody else has put there, is not written to: it may be a link, or readable.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    let mut out = BufWriter::new(options.write(true).create_new(true).mode(0o600).open(&path)?);
    while let Some(line) = lines.blocking_recv() {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    out.get_ref().sync_all()
}

fn read(file: std::fs::File, lines: &mpsc::Sender<String>) -> io::Result<()> {
    for line in BufReader::new(file).lines() {
        // Whoever takes no more has said why.
        if lines.blocking_send(line?).is_err() {
            break;
        }
    }
    Ok(())
}

/// Where the file is while it is not whole.
fn part(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn parent(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_lies_in_the_way_is_neither_followed_nor_kept() {
        let dir = tempfile::TempDir::new().unwrap();
        let (file, elsewhere) = (dir.path().join("backup"), dir.path().join("elsewhere"));
        std::fs::write(&elsewhere, "mine").unwrap();
        let written = || {
            let (sender, lines) = mpsc::channel(1);
            sender.try_send("a line".to_owned()).unwrap();
            drop(sender);
            write(&file, lines).unwrap();
            let mode = std::fs::symlink_metadata(part(&file)).unwrap().permissions().mode() & 0o777;
            assert_eq!((std::fs::read_to_string(part(&file)).unwrap().as_str(), mode), ("a line\n", 0o600));
        };
        std::os::unix::fs::symlink(&elsewhere, part(&file)).unwrap();
        written();
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "mine");
        // What another process left, for all to read.
        std::fs::set_permissions(part(&file), std::fs::Permissions::from_mode(0o644)).unwrap();
        written();
    }
}
