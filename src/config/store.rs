//! `[store]`: the system of record, and the key that seals its secrets. Neither a password nor a key ever shows in a
//! fault or in `Debug`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::secrets::is_credential;
use super::section::Section;
use super::variables::is_name;

const URL: &str = "\"sqlite:<path of a file>\" or \"postgres://<user>:<password>@<host>/<database>\", or where it is: \
                   \"file:<path>\" or \"credential:<name>\"";
const KEY: &str = "where the key is: \"file:<path>\", \"env:<VARIABLE>\" or \"credential:<name>\"";

/// `[store]`
#[derive(Clone, PartialEq, Eq)]
pub struct Store {
    /// `sqlite:<path>` or `postgres://…`; may hold a password, see [`Store::shown_url`].
    pub url: String,
    /// The key-encryption key: 32 bytes, base64.
    pub key: KeySource,
    /// Keys of earlier days, which still open what they sealed and seal nothing. Default: none.
    pub old_keys: Vec<KeySource>,
    /// How often a follower asks for changes when nothing wakes it sooner. Default 500 ms.
    pub poll_interval: Duration,
    /// Connections to the store, of one node. Default 8.
    pub max_connections: u32,
}

/// Where the key-encryption key is read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySource {
    File(PathBuf),
    Environment(String),
    /// A systemd credential, by name, under `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl Store {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let url = section.secret("url", URL, url);
        let newest = section.secret_place("key", KEY, key);
        let old_keys = section.secrets("old_keys", KEY, key);
        let poll_interval = section.duration(
            "poll_interval",
            Duration::from_millis(50)..=Duration::from_secs(60),
            Duration::from_millis(500),
        );
        let max_connections = section.number("max_connections", 2..=1_000, 8);
        Some(Self { url: url?, key: newest?, old_keys, poll_interval, max_connections })
    }

    /// The URL without user, password and parameters, for logs.
    pub fn shown_url(&self) -> String {
        let plain = self.url.split_once(['?', '#']).map_or(self.url.as_str(), |(plain, _)| plain);
        match plain.split_once("://") {
            Some((scheme, rest)) => {
                // A password may hold an `@` of its own: what counts is the last one.
                let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
                format!("{scheme}://{host}")
            }
            None => plain.to_owned(),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("url", &self.shown_url())
            .field("key", &self.key)
            .field("old_keys", &self.old_keys)
            .field("poll_interval", &self.poll_interval)
            .field("max_connections", &self.max_connections)
            .finish()
    }
}

fn url(text: &str) -> Option<String> {
    let file = text.strip_prefix("sqlite:").is_some_and(|path| !path.is_empty() && !path.contains(":memory:"));
    let server = ["postgres://", "postgresql://"].iter().any(|scheme| {
        // A Unix socket is `postgres:///database?host=/run/postgresql`.
        text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
    });
    (file || server).then(|| text.to_owned())
}

fn key(text: &str) -> Option<KeySource> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "file" if !rest.is_empty() => Some(KeySource::File(rest.into())),
        "env" if is_name(rest) => Some(KeySource::Environment(rest.to_owned())),
        "credential" if is_credential(rest) => Some(KeySource::Credential(rest.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_never_given() {
        assert_eq!(key("file:.dev/store.key"), Some(KeySource::File(".dev/store.key".into())));
        assert_eq!(key("env:STORE_KEY"), Some(KeySource::Environment("STORE_KEY".into())));
        assert_eq!(key("credential:store-key"), Some(KeySource::Credential("store-key".into())));
        for text in ["", "file:", "env:", "env:A B", "credential:../x", "c2VjcmV0", "File:x", "credential:.."] {
            assert_eq!(key(text), None, "{text}");
        }
    }

    #[test]
    fn urls_name_an_engine() {
        for text in ["sqlite:/var/lib/t.db", "postgres://u:p@h/db", "postgresql:///db?host=/run/postgresql"] {
            assert!(url(text).is_some(), "{text}");
        }
        for text in ["", "sqlite:", "sqlite::memory:", "mysql://h/db", "postgres://", "/var/lib/t.db"] {
            assert!(url(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            (
                "postgres://edge:hunter2@db.internal:5432/tenantry?sslmode=require",
                "postgres://db.internal:5432/tenantry",
            ),
            ("postgres://edge:hun@ter2@db/tenantry", "postgres://db/tenantry"),
            ("postgres://db/tenantry?password=hunter2", "postgres://db/tenantry"),
            ("sqlite:/var/lib/t.db", "sqlite:/var/lib/t.db"),
        ] {
            let poll_interval = Duration::from_secs(1);
            let key = KeySource::File("k".into());
            let old_keys = Vec::new();
            let store = Store { url: url.into(), key, old_keys, poll_interval, max_connections: 2 };
            assert_eq!(store.shown_url(), shown);
            assert!(!format!("{store:?}").contains("ter2"));
        }
    }
}
