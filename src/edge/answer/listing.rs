//! The public directory of the main site and its sitemap: listed tenants that are active, in the directory's order. Whether
//! somebody is served, and how they look, is looked up anew for each page.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;

use super::Answer;
use crate::config::Config;
use crate::directory::{Network, View};
use crate::edge::look::{Look, PICTURES};
use crate::edge::page::wants_html;
use crate::edge::pipeline::Edge;
use crate::edge::rejection::Rejection;
use crate::model::{Hostname, Image, Listed, Standing, Status, TenantId};

/// One tenant of the directory, as visitors see it.
#[derive(Serialize)]
struct Entry {
    slug: String,
    name: String,
    url: String,
    tagline: Option<String>,
    blurb: Option<String>,
    /// URLs.
    logo_light: Option<String>,
    logo_dark: Option<String>,
    social: Option<String>,
    primary_colour: Option<String>,
}

#[derive(Serialize)]
struct Listing {
    items: Vec<Entry>,
    next_cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "edge/directory.html")]
struct Page<'a> {
    look: &'a Look,
    entries: &'a [Entry],
    next: Option<&'a str>,
    main_site: &'a str,
}

impl Edge {
    /// `/directory`: a page for browsers, JSON for everybody else.
    pub(in crate::edge) async fn answer_directory(
        &self,
        query: Option<&str>,
        request: &HeaderMap,
        config: &Config,
        client: IpAddr,
    ) -> Result<Answer, Rejection> {
        self.allow(client)?;
        let order = self.directory.order(config.tenancy.suspend_expired_trials).await?;
        let (from, behind) = match cursor_of(query)? {
            Some(cursor) => cursor.rest(order.entries()),
            None => (0, order.entries()),
        };
        let (mut items, mut last) = (Vec::with_capacity(PAGE), None);
        let mut looked_at = 0;
        for listed in behind.iter().take(LOOKED_AT) {
            if items.len() == PAGE {
                break;
            }
            items.extend(self.entry(listed, config).await?);
            (last, looked_at) = (Some(listed), looked_at + 1);
        }
        let more = last.filter(|_| looked_at < behind.len());
        let next_cursor = more.map(|listed| Cursor::behind(from + looked_at - 1, listed).to_string());
        let mut answer = if wants_html(request) {
            page(&items, next_cursor.as_deref(), config)?
        } else {
            let listing = serde_json::to_string(&Listing { items, next_cursor }).map_err(|_| Rejection::Internal)?;
            let mut answer = Answer::new("application/json", CACHED, listing);
            answer.headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")));
            answer
        };
        answer.headers.push((header::VARY, HeaderValue::from_static("accept")));
        answer.headers.push((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
        Ok(answer)
    }

    /// `/sitemap.xml` and `/sitemap-<n>.xml` (<https://www.sitemaps.org/protocol.html>): all listed tenants, or an index
    /// where they are more than one file may hold. `part` counts from 1. Search engines take the URLs of other hosts from it
    /// only where the `robots.txt` of those hosts names it (the protocol's "Sitemaps & Cross Submits").
    pub(in crate::edge) async fn answer_sitemap(
        &self,
        part: Option<usize>,
        config: &Config,
        client: IpAddr,
    ) -> Result<Answer, Rejection> {
        self.allow(client)?;
        let order = self.directory.order(config.tenancy.suspend_expired_trials).await?;
        let number = order.entries().len();
        let parts = number.div_ceil(MOST_URLS).max(1);
        let xml = match part {
            None if parts > 1 => Bytes::from(index(parts, config)),
            Some(part) if !(1..=parts).contains(&part) => return Err(Rejection::NotFound),
            part => {
                let from = part.map_or(0, |part| (part - 1) * MOST_URLS);
                let until = number.min(from + MOST_URLS);
                // Some megabytes, and each crawler asks for them.
                let way = origin(config.brand.base.as_str(), config);
                order.rendered(&way, from, |entries| urls(&entries[from..until], config))
            }
        };
        Ok(Answer::new("application/xml", CACHED, xml))
    }

    /// Once for each page that is asked for, as with `/tenants/by-host/`.
    fn allow(&self, client: IpAddr) -> Result<(), Rejection> {
        match self.by_host.take(Network::of(client)) {
            true => Ok(()),
            false => Err(Rejection::RateLimited { retry_after: Duration::from_secs(1) }),
        }
    }

    async fn entry(&self, listed: &Listed, config: &Config) -> Result<Option<Entry>, Rejection> {
        let Some(view) = self.visible(listed.id, config).await? else { return Ok(None) };
        // Where it is visited; a domain that it has lost, or that sends visitors back, is not where.
        let primary = match &view.effective.edge.primary_domain {
            Some(domain) if !view.effective.domains_lapsed && self.is_served(domain, &view, config).await => {
                Some(domain)
            }
            _ => None,
        };
        Ok(Entry::of(&view, primary, config))
    }

    /// The tenant, if it is active and served.
    async fn visible(&self, id: TenantId, config: &Config) -> Result<Option<Arc<View>>, Rejection> {
        let suspend_expired = config.tenancy.suspend_expired_trials;
        let view = self.directory.tenant(id, &config.catalogue, suspend_expired).await?;
        let is_visible =
            |view: &Arc<View>| view.effective.standing == Standing::Served && view.effective.status == Status::Active;
        Ok(view.filter(is_visible))
    }
}

impl Entry {
    fn of(view: &View, primary: Option<&Hostname>, config: &Config) -> Option<Self> {
        let branding = &view.effective.branding;
        // Pictures are asked for at the slug host, which is always there.
        let home = origin(config.brand.tenant_host(&view.tenant.slug).ok()?.as_str(), config);
        let at = |image: &Option<Image>| image.as_ref().map(|image| format!("{home}{PICTURES}{}", image.hash));
        let url = match primary {
            Some(domain) => origin(domain.as_str(), config),
            None => home.clone(),
        };
        Some(Self {
            slug: view.tenant.slug.to_string(),
            name: branding.display_name.clone().unwrap_or_else(|| view.tenant.name.clone()),
            url: format!("{url}/"),
            tagline: branding.tagline.clone(),
            blurb: branding.blurb.clone(),
            logo_light: at(&branding.images.logo_light),
            logo_dark: at(&branding.images.logo_dark),
            social: at(&branding.images.social),
            primary_colour: branding.primary_colour.map(|colour| colour.to_string()),
        })
    }
}

fn page(entries: &[Entry], next_cursor: Option<&str>, config: &Config) -> Result<Answer, Rejection> {
    // Logos are the tenants' own, at their hosts beneath the base domain.
    let port = port(config);
    let look = Look::of_brand(&config.brand).with(RULES, &format!("https://*.{}{port}", config.brand.base));
    let policy = HeaderValue::try_from(look.policy()).map_err(|_| Rejection::Internal)?;
    let next = next_cursor.map(|cursor| format!("/directory?cursor={cursor}"));
    let page = Page { look: &look, entries, next: next.as_deref(), main_site: &config.brand.main_site };
    let text = page.render().map_err(|_| Rejection::Internal)?;
    let mut answer = Answer::new("text/html; charset=utf-8", CACHED, text);
    answer.headers.push((header::CONTENT_SECURITY_POLICY, policy));
    answer.headers.push((HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")));
    Ok(answer)
}

fn urls(entries: &[Listed], config: &Config) -> String {
    let mut xml = String::from(concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n"
    ));
    // Hosts have no character that XML would have escaped.
    for listed in entries {
        if let Some(url) = address(listed, config) {
            xml.push_str(&format!("<url><loc>{url}</loc><lastmod>{}</lastmod></url>\n", listed.updated));
        }
    }
    xml.push_str("</urlset>\n");
    xml
}

fn index(parts: usize, config: &Config) -> String {
    let mut xml = String::from(concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n"
    ));
    let home = origin(config.brand.base.as_str(), config);
    for part in 1..=parts {
        xml.push_str(&format!("<sitemap><loc>{home}/sitemap-{part}.xml</loc></sitemap>\n"));
    }
    xml.push_str("</sitemapindex>\n");
    xml
}

/// Where a listed tenant is visited.
fn address(listed: &Listed, config: &Config) -> Option<String> {
    let host = match &listed.primary_domain {
        Some(domain) => domain.clone(),
        None => config.brand.tenant_host(&listed.slug).ok()?,
    };
    Some(format!("{}/", origin(host.as_str(), config)))
}

fn origin(host: &str, config: &Config) -> String {
    format!("https://{host}{}", port(config))
}

/// With its colon, where it is not the scheme's own.
fn port(config: &Config) -> String {
    match config.https_port() {
        None | Some(443) => String::new(),
        Some(port) => format!(":{port}"),
    }
}

/// Where a page begins: after so many of the order, the last of which has this mark. It says how far somebody has read, and
/// nothing of whom they have read about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cursor {
    at: usize,
    mark: [u8; MARK],
}

impl Cursor {
    /// Behind the entry at `index`.
    fn behind(index: usize, listed: &Listed) -> Self {
        Self { at: index + 1, mark: mark(listed.id) }
    }

    /// What of the order is behind it: behind the tenant that it marks, where that has moved but little; else behind as many as
    /// were before it.
    fn rest(self, entries: &[Listed]) -> (usize, &[Listed]) {
        let is_it = |at: &usize| entries.get(*at).is_some_and(|listed| mark(listed.id) == self.mark);
        let last = self.at.saturating_sub(1);
        let near = last.saturating_sub(NEAR)..last.saturating_add(NEAR).min(entries.len());
        let found = Some(last).filter(is_it).or_else(|| near.into_iter().find(is_it));
        let from = found.map_or(self.at, |at| at + 1).min(entries.len());
        (from, &entries[from..])
    }

    fn parse(text: &str) -> Option<Self> {
        let (at, mark) = text.split_once('-')?;
        let mark = <[u8; MARK]>::try_from(hex::decode(mark).ok()?).ok()?;
        let number: usize = at.parse().ok()?;
        (number.to_string() == at).then_some(Self { at: number, mark })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at, hex::encode(self.mark))
    }
}

/// Of ids that are random; nobody finds the id that belongs to it.
fn mark(id: TenantId) -> [u8; MARK] {
    let mut mark = [0; MARK];
    mark.copy_from_slice(&digest(&SHA256, id.to_string().as_bytes()).as_ref()[..MARK]);
    mark
}

/// Where a page begins. What is no cursor of ours leads nowhere.
fn cursor_of(query: Option<&str>) -> Result<Option<Cursor>, Rejection> {
    let parameter = |pair: &str| pair.strip_prefix("cursor=").map(str::to_owned);
    match query.into_iter().flat_map(|query| query.split('&')).find_map(parameter) {
        Some(cursor) => Cursor::parse(&cursor).map(Some).ok_or(Rejection::NotFound),
        None => Ok(None),
    }
}

const MARK: usize = 8;
/// How far around its place a tenant is sought that has moved.
const NEAR: usize = 1_000;
const CACHED: &str = "public, max-age=60";
/// Tenants on a page.
const PAGE: usize = 50;
/// The most that are looked at for one page, served or not.
const LOOKED_AT: usize = 500;
/// The most URLs of one file of a sitemap.
const MOST_URLS: usize = 50_000;
const RULES: &str = "\
.tenant-page ul{padding:0;list-style:none}
.tenant-page li{padding:1rem 0;border-bottom:1px solid}
.tenant-page li img{max-height:3rem;max-width:12rem}
";

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str) -> Listed {
        Listed {
            id: TenantId::new(),
            slug: crate::model::Slug::parse(name).unwrap(),
            primary_domain: None,
            domains_until: None,
            priority: -777,
            members: 4_242,
            created: crate::clock::Timestamp(1_700_000_000_000),
            updated: crate::clock::Timestamp(0),
            parent: None,
        }
    }

    #[test]
    fn cursors_come_back_and_tell_nothing_of_a_tenant() {
        let entry = listed("secret");
        let cursor = Cursor::behind(6, &entry);
        let text = cursor.to_string();
        assert_eq!(cursor_of(Some(&format!("x=1&cursor={text}"))), Ok(Some(cursor)));
        assert_eq!(cursor_of(None), Ok(None));
        for inner in ["secret", "777", "4242", "1700000000000", &entry.id.to_string()] {
            assert!(!text.contains(inner), "{inner} in {text}");
        }
        for bad in ["", "7", "7-", "-00", "7-0011", "+7-0011223344556677", "x-0011223344556677", "7-0011223344556677-1"]
        {
            assert_eq!(cursor_of(Some(&format!("cursor={bad}"))), Err(Rejection::NotFound), "{bad}");
        }
    }

    #[test]
    fn a_page_goes_on_behind_the_same_tenant_even_when_the_order_has_moved() {
        let mut entries: Vec<Listed> = (0..10).map(|n| listed(&format!("t{n}"))).collect();
        let cursor = Cursor::behind(4, &entries[4]);
        assert_eq!(cursor.rest(&entries).0, 5);
        entries.insert(0, listed("new"));
        assert_eq!(cursor.rest(&entries).0, 6);
        entries.drain(..3);
        assert_eq!(cursor.rest(&entries).0, 3);
        entries.remove(2);
        assert_eq!(cursor.rest(&entries).0, 5, "it is gone: as many as were before it");
        assert_eq!(cursor.rest(&[]), (0, [].as_slice()));
        assert_eq!(Cursor { at: usize::MAX, mark: [0; MARK] }.rest(&entries).0, entries.len());
    }
}
