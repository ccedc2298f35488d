//! The public directory of the main site and its sitemap: listed tenants that are active, in the directory's order. Whether
//! somebody is served, and how they look, is looked up anew for each page.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
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
use crate::model::{Hostname, Image, Listed, Slug, Standing, Status, TenantId};

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
        let (items, next_cursor) = self.page_behind(cursor_of(query)?, config).await?;
        let mut answer = if wants_html(request) {
            page(&items, next_cursor.as_ref(), config)?
        } else {
            let next_cursor = next_cursor.map(|slug| slug.to_string());
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
        let files = self.directory.sitemap_files().await?;
        let xml = match part {
            None if files > 1 => Bytes::from(index(files, config)),
            part => {
                let number = part.unwrap_or(1).checked_sub(1).ok_or(Rejection::NotFound)?;
                let (way, expired) =
                    (origin(config.brand.base.as_str(), config), config.tenancy.suspend_expired_trials);
                let file = self.directory.sitemap(number, &way, expired, |entries| urls(entries, config)).await?;
                file.ok_or(Rejection::NotFound)?
            }
        };
        Ok(Answer::new("application/xml", CACHED, xml))
    }

    /// A page of those who are served, and the last of them who was looked at, where others come behind.
    async fn page_behind(
        &self,
        mut after: Option<Slug>,
        config: &Config,
    ) -> Result<(Vec<Entry>, Option<Slug>), Rejection> {
        let (mut items, mut looked_at) = (Vec::with_capacity(PAGE), 0);
        loop {
            let stretch = match self.directory.listed_behind(after.clone()).await? {
                Some(stretch) => stretch,
                // It was listed a moment ago.
                None if looked_at > 0 => return Ok((items, None)),
                None => return Err(Rejection::NotFound),
            };
            let mut entries = stretch.entries.iter();
            for (id, slug) in entries.by_ref() {
                items.extend(self.entry(*id, config).await?);
                (after, looked_at) = (Some(slug.clone()), looked_at + 1);
                if items.len() == PAGE || looked_at == LOOKED_AT {
                    break;
                }
            }
            let is_end = !stretch.more && entries.len() == 0;
            if is_end || items.len() == PAGE || looked_at == LOOKED_AT {
                return Ok((items, after.filter(|_| !is_end)));
            }
        }
    }

    /// Once for each page that is asked for, as with `/tenants/by-host/`.
    fn allow(&self, client: IpAddr) -> Result<(), Rejection> {
        match self.by_host.take(Network::of(client)) {
            true => Ok(()),
            false => Err(Rejection::RateLimited { retry_after: Duration::from_secs(1) }),
        }
    }

    async fn entry(&self, id: TenantId, config: &Config) -> Result<Option<Entry>, Rejection> {
        let Some(view) = self.visible(id, config).await? else { return Ok(None) };
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

fn page(entries: &[Entry], next_cursor: Option<&Slug>, config: &Config) -> Result<Answer, Rejection> {
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

/// Where a page begins: behind the tenant of this slug, which says nothing that the page before does not. What is no slug
/// leads nowhere.
fn cursor_of(query: Option<&str>) -> Result<Option<Slug>, Rejection> {
    let parameter = |pair: &str| pair.strip_prefix("cursor=").map(str::to_owned);
    match query.into_iter().flat_map(|query| query.split('&')).find_map(parameter) {
        Some(cursor) => Slug::parse(&cursor).map(Some).map_err(|_| Rejection::NotFound),
        None => Ok(None),
    }
}

const CACHED: &str = "public, max-age=60";
/// Tenants on a page.
const PAGE: usize = 50;
/// The most that are looked at for one page, served or not.
const LOOKED_AT: usize = 500;
const RULES: &str = "\
.tenant-page ul{padding:0;list-style:none}
.tenant-page li{padding:1rem 0;border-bottom:1px solid}
.tenant-page li img{max-height:3rem;max-width:12rem}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_slug_and_what_is_none_leads_nowhere() {
        assert_eq!(cursor_of(None), Ok(None));
        assert_eq!(cursor_of(Some("x=1&cursor=acme")), Ok(Slug::parse("acme").ok()));
        for bad in ["", "-", "Acme", "a%20b", "6-0011223344556677/"] {
            assert_eq!(cursor_of(Some(&format!("cursor={bad}"))), Err(Rejection::NotFound), "{bad}");
        }
    }
}
