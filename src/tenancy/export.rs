//! Everything that there is of one tenant, part by part: each part is a file of an archive, read when it is asked for, so
//! that a large tenant takes no more memory than a small one. No secret is in it: neither keys nor what tokens hash to.
//!
//! It is no snapshot: each part is as its kind was when it was read. The manifest comes last; without it an archive is not
//! whole.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::error::TenancyError;
use super::{Actor, Tenancy};
use crate::clock::Timestamp;
use crate::model::{ImageKind, Tenant};
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

/// What is exported: a line a kind.
const KINDS: &[Kind] = &[
    Kind { name: "profile", source: |tenancy, tenant, page| Box::pin(profile(tenancy, tenant, page)) },
    Kind { name: "pictures", source: |tenancy, tenant, _| Box::pin(pictures(tenancy, tenant)) },
    Kind { name: "listing", source: |tenancy, tenant, _| Box::pin(listing(tenancy, tenant)) },
    Kind { name: "children", source: |tenancy, tenant, page| Box::pin(children(tenancy, tenant, page)) },
    Kind { name: "domains", source: |tenancy, tenant, page| Box::pin(domains(tenancy, tenant, page)) },
    Kind { name: "certificates", source: |tenancy, tenant, page| Box::pin(certificates(tenancy, tenant, page)) },
    Kind { name: "tokens", source: |tenancy, tenant, page| Box::pin(tokens(tenancy, tenant, page)) },
    Kind { name: "events", source: |tenancy, tenant, page| Box::pin(events(tenancy, tenant, page)) },
    Kind { name: "audit", source: |tenancy, tenant, page| Box::pin(audit(tenancy, tenant, page)) },
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
        match self.stage {
            Stage::Done => return Ok(None),
            Stage::Facts => {
                self.stage = Stage::Kinds;
                return Ok(Some(Part { path: "tenant.json".into(), bytes: document(&facts(&self.tenant)) }));
            }
            Stage::Kinds => {}
        }
        loop {
            if self.reading.is_none() {
                self.reading = self.kinds.next().map(|kind| Reading { kind, after: None, files: 0, rows: 0 });
            }
            let Some(mut reading) = self.reading.take() else {
                self.stage = Stage::Done;
                return Ok(Some(Part { path: "manifest.json".into(), bytes: document(&self.manifest()) }));
            };
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

/// The page's end: a page that is not full is the last.
fn next<T>(rows: &[T], key: impl Fn(&T) -> String) -> Option<String> {
    rows.last().filter(|_| rows.len() >= ROWS as usize).map(key)
}

fn facts(tenant: &Tenant) -> Value {
    json!({
        "id": tenant.id.to_string(), "slug": tenant.slug, "name": tenant.name, "status": tenant.status,
        "plan": tenant.plan, "features": { "on": tenant.features_on, "off": tenant.features_off },
        "parent": tenant.parent.map(|id| id.to_string()), "branding": tenant.branding, "edge": tenant.edge,
        "suspend_reason": tenant.suspend_reason, "trial_ends": tenant.trial_ends,
        "cancelled": tenant.life.cancelled, "archived": tenant.life.archived,
        "created": tenant.created, "updated": tenant.updated, "revision": tenant.revision,
    })
}

async fn profile(tenancy: &Tenancy, tenant: &Tenant, _: Page) -> Rows {
    let profile = tenancy.store.profile(tenant.id).await?;
    Ok((vec![json!({ "contacts": profile.contacts, "settings": profile.settings })], None))
}

async fn pictures(tenancy: &Tenancy, tenant: &Tenant) -> Rows {
    let mut rows = Vec::new();
    for kind in ImageKind::ALL {
        let Some(image) = tenant.branding.images.get(kind) else { continue };
        if let Some(asset) = tenancy.store.asset(&image.hash).await? {
            rows.push(json!({
                "kind": kind.as_str(), "hash": image.hash, "media": asset.media, "base64": STANDARD.encode(&asset.bytes),
            }));
        }
    }
    Ok((rows, None))
}

async fn listing(tenancy: &Tenancy, tenant: &Tenant) -> Rows {
    Ok((vec![json!(tenancy.store.listing(tenant.id).await?)], None))
}

async fn children(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.child_tenants(tenant.id, &page).await?;
    let json = |child: &Tenant| json!({ "id": child.id.to_string(), "slug": child.slug, "name": child.name });
    Ok((rows.iter().map(json).collect(), next(&rows, |child| child.slug.to_string())))
}

async fn domains(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.domains(tenant.id, &page).await?;
    let json = rows.iter().map(|domain| {
        json!({ "domain": domain.name.to_string(), "state": domain.state, "token": domain.token,
            "created": domain.created, "updated": domain.updated })
    });
    Ok((json.collect(), next(&rows, |domain| domain.name.to_string())))
}

/// A row for each name that it holds and each certificate for that name; one of several names comes several times.
async fn certificates(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let names = tenancy.store.domains(tenant.id, &page).await?;
    let mut rows = Vec::new();
    for domain in names.iter().filter(|domain| domain.state.is_held()) {
        let name = domain.name.to_string();
        let all = Page { limit: Page::MOST, after: None };
        for row in tenancy.store.certificates(Some(&name), &all).await? {
            rows.push(json!({
                "name": name, "id": row.id, "names": row.names, "source": row.source, "authority": row.authority,
                "not_before": row.not_before, "not_after": row.not_after, "revoked": row.revoked, "chain": row.chain,
            }));
        }
    }
    Ok((rows, next(&names, |domain| domain.name.to_string())))
}

async fn tokens(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.tenant_tokens(tenant.id, &page).await?;
    let json = rows.iter().map(|token| {
        json!({ "name": token.name, "scopes": token.scopes, "maker": token.maker, "created": token.created,
            "expires": token.expires })
    });
    Ok((json.collect(), next(&rows, |token| token.name.clone())))
}

async fn events(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.events(Some(tenant.id), None, &page).await?;
    let json = rows.iter().map(|row| {
        let event = &row.event;
        json!({ "cursor": row.cursor(), "at": row.at, "kind": event.kind, "subject": event.subject,
            "detail": event.detail })
    });
    Ok((json.collect(), next(&rows, |row| row.cursor())))
}

/// Newest first.
async fn audit(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.audit(Some(tenant.id), &page).await?;
    let json = rows.iter().map(|(id, at, entry)| {
        json!({ "id": id, "at": at, "actor": entry.actor, "action": entry.action, "subject": entry.subject,
            "detail": entry.detail, "request_id": entry.request_id })
    });
    Ok((json.collect(), next(&rows, |(id, ..)| id.to_string())))
}
