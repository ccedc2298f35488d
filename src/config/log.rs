//! `[log]`: what is written, and how.

use super::section::Section;

const FILTER: &str =
    "a level (off, error, warn, info, debug, trace), or targets with levels as in \"info,tenantry::edge=debug\"";

/// `[log]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a tracing filter. Default `info`.
    pub filter: String,
    /// Default JSON.
    pub format: LogFormat,
    /// One line for each request. Default true.
    pub access: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    Text,
    Json,
}

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            filter: section.text("filter", FILTER, filter).unwrap_or_else(|| "info".to_owned()),
            format: section.choice("format", &[("json", LogFormat::Json), ("text", LogFormat::Text)], LogFormat::Json),
            access: section.flag("access", true),
        }
    }
}

/// A filter that tracing understands as it was meant: it would take a misspelt level for the name of a target.
fn filter(text: &str) -> Result<String, &'static str> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    if text.split(',').any(|part| !part.contains(['=', '[', ']', '{', '}']) && !LEVELS.contains(&part)) {
        return Err("a word alone must be a level");
    }
    tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|_| "tracing cannot read it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_targets() {
        for text in ["info", "off", "warn,tenantry::edge=debug", "info,tenantry[request{host=a}]=trace"] {
            assert!(filter(text).is_ok(), "{text}: {:?}", filter(text));
        }
        for text in ["", "debgu", "info,", "tenantry=loud", "INFO WARN"] {
            assert!(filter(text).is_err(), "{text}");
        }
    }
}
