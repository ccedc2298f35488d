//! The public directory of the main site and its sitemap: listed tenants that are active, in the directory's order. Whether
//! somebody is served, and how they look, is looked up anew for each page.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;

use super::Answer;
use crate::config::Config;
use crate::directory::{Network, Order, Rank, View};
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
        let behind = match cursor_of(query)? {
            Some(rank) => order.behind(&rank),
            None => order.entries(),
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
        let next_cursor = last.filter(|_| looked_at < behind.len()).map(|listed| encode(&Order::rank(listed)));
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
    /// where they are more than one file may hold. `part` counts from 1.
    pub(in crate::edge) async fn answer_sitemap(
        &self,
        part: Option<usize>,
        config: &Config,
        client: IpAddr,
    ) -> Result<Answer, Rejection> {
        self.allow(client)?;
        let order = self.directory.order(config.tenancy.suspend_expired_trials).await?;
        let entries = order.entries();
        let xml = match part {
            None if entries.len() > MOST_URLS => index(entries.len().div_ceil(MOST_URLS), config),
            None => urls(entries, config),
            Some(part) => {
                let all: Vec<&[Listed]> = entries.chunks(MOST_URLS).collect();
                let of = part.checked_sub(1).and_then(|at| all.get(at)).ok_or(Rejection::NotFound)?;
                urls(of, config)
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

/// The rank that a page begins behind. What is no cursor of ours leads nowhere.
fn cursor_of(query: Option<&str>) -> Result<Option<Rank>, Rejection> {
    let parameter = |pair: &str| pair.strip_prefix("cursor=").map(str::to_owned);
    match query.into_iter().flat_map(|query| query.split('&')).find_map(parameter) {
        Some(cursor) => decode(&cursor).map(Some).ok_or(Rejection::NotFound),
        None => Ok(None),
    }
}

fn encode((priority, members, created, id): &Rank) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}.{}.{}.{id}", priority.0, members.0, created.0))
}

fn decode(cursor: &str) -> Option<Rank> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let parts: Vec<&str> = text.split('.').collect();
    let [priority, members, created, id] = parts.as_slice() else { return None };
    Some((
        Reverse(priority.parse().ok()?),
        Reverse(members.parse().ok()?),
        Reverse(created.parse().ok()?),
        TenantId::parse(id)?,
    ))
}

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

    #[test]
    fn cursors_come_back_and_strangers_do_not() {
        let rank = (Reverse(-3), Reverse(7), Reverse(1_700_000_000_000), TenantId::new());
        let query = format!("x=1&cursor={}", encode(&rank));
        assert_eq!(cursor_of(Some(&query)), Ok(Some(rank)));
        assert_eq!(cursor_of(None), Ok(None));
        for bad in ["", "???", "MS4yLjM", "MS4yLjMuNA"] {
            assert_eq!(cursor_of(Some(&format!("cursor={bad}"))), Err(Rejection::NotFound), "{bad}");
        }
    }
}
