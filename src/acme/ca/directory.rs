//! An authority's directory (RFC 8555 §7.1.1): where to ask for what. Read once, and again when it has grown old.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;

/// What of a directory is of use here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Directory {
    pub new_nonce: String,
    pub new_account: String,
    // Not read here, but no directory is one without it.
    #[serde(rename = "newOrder")]
    _new_order: String,
    /// RFC 9773
    pub renewal_info: Option<String>,
    #[serde(default)]
    pub meta: Meta,
    /// As it came, for the library.
    #[serde(skip)]
    pub raw: Bytes,
}

#[derive(Clone, Default, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    #[serde(default)]
    pub profiles: BTreeMap<String, String>,
    #[serde(default)]
    pub external_account_required: bool,
}

impl Directory {
    pub fn parse(raw: Bytes) -> Result<Self, serde_json::Error> {
        let directory: Self = serde_json::from_slice(&raw)?;
        Ok(Self { raw, ..directory })
    }
}
