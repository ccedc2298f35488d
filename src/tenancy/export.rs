//! Everything that there is of one tenant, part by part: each part is a file of an archive, read when it is asked for, so
//! that a large tenant takes no more memory than a small one. No secret is in it: neither keys nor what tokens hash to.
//!
//! It is no snapshot: each part is as its kind was when it was read. The manifest comes last; without it an archive is not
//! whole.

mod rows;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::error::TenancyError;
use super::{Actor, Tenancy};
use crate::clock::Timestamp;
use crate::model::{Image, Tenant};
use crate::store::Page;

/// A file of the archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// `tenant.json`, `domains/00001.jsonl`, …
    pub path: String,
    pub bytes: Vec<u8>,
}

/// An export under way.
pub struct Export {
    tenancy: Tenancy,
    tenant: Tenant,
    /// When it began.
    pub at: Timestamp,
    revision: i64,
    kinds: std::slice::Iter<'static, Kind>,
    reading: Option<Reading>,
    /// What has been read, by kind.
    read: Map<String, Value>,
    /// The pictures of its branding that are still to come.
    pictures: Vec<(&'static str, Image)>,
    stage: Stage,
}

/// Some rows of one kind, and where the next ones begin.
type Rows = Result<(Vec<Value>, Option<String>), TenancyError>;
type Source = for<'a> fn(&'a Tenancy, &'a Tenant, Page) -> BoxFuture<'a, Rows>;

/// A kind of row: the name of its directory, and where it is read.
struct Kind {
    name: &'static str,
    source: Source,
}

/// Names a kind after the function that reads it.
macro_rules! kinds {
    ($($name:ident),+ $(,)?) => {
        &[$(Kind {
            name: stringify!($name),
            source: |tenancy, tenant, page| Box::pin(rows::$name(tenancy, tenant, page)),
        }),+]
    };
}

/// What is exported: a word a kind.
const KINDS: &[Kind] = kinds![
    profile,
    listing,
    children,
    domains,
    certificates,
    orders,
    members,
    invitations,
    roles,
    units,
    tokens,
    events,
    audit,
];

/// The kind that is being read.
struct Reading {
    kind: &'static Kind,
    after: Option<String>,
    files: u32,
    rows: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Facts,
    Kinds,
    Pictures,
    Done,
}

/// Rows of one part.
const ROWS: u32 = 500;
/// What reads an archive can tell its shape by.
const FORMAT: &str = "tenantry-export-1";

impl Tenancy {
    /// Begins an export; the ledger says who wanted it.
    pub async fn export(&self, actor: &Actor, key: &str) -> Result<Export, TenancyError> {
        let tenant = self.find(key).await?;
        let write = self.store.write().await?;
        let entry = actor.entry("tenant.export", Some(tenant.id), &tenant.slug, json!({}));
        let revision = self.finish(write, entry, ()).await?.revision;
        Ok(Export {
            tenancy: self.clone(),
            pictures: pictures(&tenant),
            tenant,
            at: self.clock.now(),
            revision,
            kinds: KINDS.iter(),
            reading: None,
            read: Map::new(),
            stage: Stage::Facts,
        })
    }
}

impl Export {
    pub fn slug(&self) -> &str {
        self.tenant.slug.as_str()
    }

    /// The next file; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Part>, TenancyError> {
        if self.stage == Stage::Facts {
            self.stage = Stage::Kinds;
            return Ok(Some(Part { path: "tenant.json".into(), bytes: document(&facts(&self.tenant)) }));
        }
        if self.stage == Stage::Kinds {
            if let Some(part) = self.next_rows().await? {
                return Ok(Some(part));
            }
            self.stage = Stage::Pictures;
        }
        while let Some((name, image)) = self.pictures.pop() {
            // One that was replaced a moment ago is not what the facts say: it is left out.
            if let Some(asset) = self.tenancy.store.asset(&image.hash).await? {
                return Ok(Some(Part { path: format!("pictures/{name}.{}", ending(&image)), bytes: asset.bytes }));
            }
        }
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Done => Ok(None),
            _ => Ok(Some(Part { path: "manifest.json".into(), bytes: document(&self.manifest()) })),
        }
    }

    /// The next file of rows; `None` after the last of the last kind.
    async fn next_rows(&mut self) -> Result<Option<Part>, TenancyError> {
        loop {
            if self.reading.is_none() {
                self.reading = self.kinds.next().map(|kind| Reading { kind, after: None, files: 0, rows: 0 });
            }
            let Some(mut reading) = self.reading.take() else { return Ok(None) };
            let page = Page { limit: ROWS, after: reading.after.take() };
            let (rows, next) = (reading.kind.source)(&self.tenancy, &self.tenant, page).await?;
            reading.rows += rows.len() as u64;
            let part = (!rows.is_empty()).then(|| {
                reading.files += 1;
                Part { path: format!("{}/{:05}.jsonl", reading.kind.name, reading.files), bytes: lines(&rows) }
            });
            match next {
                Some(next) => self.reading = Some(Reading { after: Some(next), ..reading }),
                None => {
                    let read = json!({ "rows": reading.rows, "files": reading.files });
                    self.read.insert(reading.kind.name.to_owned(), read);
                }
            }
            if part.is_some() {
                return Ok(part);
            }
        }
    }

    fn manifest(&self) -> Value {
        json!({
            "format": FORMAT, "tenant": self.tenant.id.to_string(), "slug": self.tenant.slug, "began": self.at,
            "revision": self.revision, "kinds": self.read,
        })
    }
}

fn document(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// JSON lines (<https://jsonlines.org>).
fn lines(rows: &[Value]) -> Vec<u8> {
    rows.iter().flat_map(|row| format!("{row}\n").into_bytes()).collect()
}

fn facts(tenant: &Tenant) -> Value {
    let next = tenant.subscription.next.as_ref();
    json!({
        "id": tenant.id.to_string(), "slug": tenant.slug, "name": tenant.name, "status": tenant.status,
        "plan": tenant.plan, "plan_change": next.map(|next| json!({ "plan": next.plan, "at": next.at })),
        "period_end": tenant.subscription.period_end, "billing_ref": tenant.subscription.billing_ref,
        "features": { "on": tenant.features_on, "off": tenant.features_off },
        "parent": tenant.parent.map(|id| id.to_string()), "branding": tenant.branding, "edge": tenant.edge,
        "period_start": tenant.subscription.period_start, "caps": tenant.subscription.caps,
        "status_by": tenant.subscription.status_by,
        "suspend_reason": tenant.suspend_reason, "reason_public": tenant.reason_public,
        "trial_ends": tenant.trial_ends, "cancelled": tenant.life.cancelled, "archived": tenant.life.archived,
        "status_before": tenant.life.before, "phase_ends": tenant.life.phase_ends,
        "domains_until": tenant.life.domains_until,
        "created": tenant.created, "updated": tenant.updated, "revision": tenant.revision,
    })
}

/// The pictures of its own.
fn pictures(tenant: &Tenant) -> Vec<(&'static str, Image)> {
    let images = &tenant.branding.images;
    let all = [("logo_light", &images.logo_light), ("logo_dark", &images.logo_dark), ("social", &images.social)];
    all.into_iter().filter_map(|(name, image)| Some((name, image.clone()?))).collect()
}

/// `png` of `image/png`, `svg` of `image/svg+xml`.
fn ending(image: &Image) -> &'static str {
    let subtype = image.media.as_str().rsplit('/').next().unwrap_or_default();
    subtype.split('+').next().unwrap_or_default()
}
