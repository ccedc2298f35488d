//! The pictures of tenants' branding, by the hash of their bytes. What is found under a hash never changes, so nothing is
//! ever forgotten here but for want of room; whose a picture is, the tenant's own facts say.

use std::sync::Arc;

use bytes::Bytes;
use tracing::warn;

use super::resolve::Trouble;
use super::source::Source;
use crate::metrics::Metrics;
use crate::model::MediaType;
use crate::store::StoreError;

/// A picture, ready to be sent.
#[derive(Clone, Debug)]
pub struct Picture {
    pub media: MediaType,
    pub bytes: Bytes,
}

/// A bounded cache of pictures, read once for all who ask at the same time.
pub(super) struct Pictures {
    cache: moka::future::Cache<String, Picture>,
    source: Arc<dyn Source>,
    metrics: Arc<Metrics>,
}

impl Pictures {
    pub fn new(source: Arc<dyn Source>, metrics: Arc<Metrics>) -> Self {
        let weight = |hash: &String, picture: &Picture| {
            u32::try_from(hash.len() + picture.bytes.len() + OVERHEAD).unwrap_or(u32::MAX)
        };
        let cache = moka::future::Cache::builder().max_capacity(MOST_BYTES).weigher(weight).build();
        Self { cache, source, metrics }
    }

    /// `None` when there is no such picture: it was replaced a moment ago.
    pub async fn get(&self, hash: &str) -> Result<Option<Picture>, Trouble> {
        let mut outcome = "hit";
        let load = async {
            outcome = "miss";
            let asset = self.source.asset(hash).await.map_err(NotLoaded::Failed)?.ok_or(NotLoaded::Absent)?;
            Ok(Picture { media: asset.media, bytes: asset.bytes.into() })
        };
        let found = self.cache.try_get_with_by_ref(hash, load).await;
        self.metrics.lookups.with_label_values(&["pictures", outcome]).inc();
        match found.as_ref().map_err(Arc::as_ref) {
            Ok(picture) => Ok(Some(picture.clone())),
            Err(NotLoaded::Absent) => Ok(None),
            Err(NotLoaded::Failed(error)) => {
                warn!(%error, what = "picture", "directory.load_failed");
                Err(Trouble::Unavailable)
            }
        }
    }
}

enum NotLoaded {
    Absent,
    Failed(StoreError),
}

/// Of all pictures together: those of a hundred tenants that use all that they may, or of thousands with usual logos.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// What an entry takes besides its bytes.
const OVERHEAD: usize = 128;
