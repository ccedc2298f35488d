//! How a tenant looks to its visitors, and where it is listed: what is set, and what follows over the parents.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Colour, Hostname, Slug, Tenant, TenantId};
use crate::clock::Timestamp;

/// How the edge's own pages look for this tenant. A field that is missing is the parent's, then the installation's.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Branding {
    /// What visitors read as the name; missing: the tenant's own name, never a parent's. 1–120 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// At most 200 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tagline: Option<String>,
    /// `#rgb` or `#rrggbb`, as all colours here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub primary_colour: Option<Colour>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub secondary_colour: Option<Colour>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub header_colour: Option<Colour>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub text_colour: Option<Colour>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub link_colour: Option<Colour>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub button_colour: Option<Colour>,
    /// What the directory says of it. At most 300 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blurb: Option<String>,
    /// Of the edge's own pages, sanitised and scoped beneath `.tenant-page`. At most 10,000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_css: Option<String>,
    /// What was uploaded; changed by uploads alone.
    #[serde(skip_serializing_if = "Images::is_empty")]
    #[schema(read_only)]
    pub images: Images,
}

/// The pictures of a branding.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Images {
    /// For light grounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_light: Option<Image>,
    /// For dark grounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_dark: Option<Image>,
    /// What is shown where somebody shares a link: 1200×630.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub social: Option<Image>,
}

/// A picture that was uploaded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// SHA-256 of its bytes in hexadecimal; visitors get it at `/.well-known/tenantry/assets/<hash>`.
    pub hash: String,
    #[schema(value_type = String, example = "image/png")]
    pub media: MediaType,
    /// In pixels.
    pub width: u32,
    pub height: u32,
    /// In bytes.
    pub size: u64,
}

/// Which picture of a branding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ImageKind {
    LogoLight,
    LogoDark,
    Social,
}

/// What a picture is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum MediaType {
    #[serde(rename = "image/png")]
    Png,
    #[serde(rename = "image/jpeg")]
    Jpeg,
    #[serde(rename = "image/gif")]
    Gif,
    #[serde(rename = "image/webp")]
    Webp,
    #[serde(rename = "image/svg+xml")]
    Svg,
}

/// A picture with its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Asset {
    pub media: MediaType,
    pub bytes: Vec<u8>,
}

/// Whether and where a tenant stands in the public directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantListing)]
pub struct Listing {
    /// Whether it is shown while it is active.
    pub listed: bool,
    /// Higher comes first, -1000 to 1000.
    #[serde(default)]
    pub priority: i32,
}

/// A stretch of the public directory's order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectoryStretch {
    pub entries: Vec<(TenantId, Slug)>,
    /// Others come behind it.
    pub more: bool,
}

/// A tenant as the sitemap knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    pub id: TenantId,
    pub slug: Slug,
    /// The custom domain that it is visited at, where it has chosen one and holds it.
    pub primary_domain: Option<Hostname>,
    /// From then on its domains redirect to its slug host.
    pub domains_until: Option<Timestamp>,
    pub updated: Timestamp,
    pub parent: Option<TenantId>,
}

impl Branding {
    /// What holds over a chain that begins with the tenant itself: of each field the nearest word, but for the name. That is
    /// the tenant's own, or nobody could tell the merchants of one holding from each other.
    pub fn inherited(chain: &[&Tenant]) -> Self {
        macro_rules! nearest {
            ($($field:ident).+) => { chain.iter().find_map(|tenant| tenant.branding.$($field).+.clone()) };
        }
        Self {
            display_name: chain.first().and_then(|tenant| tenant.branding.display_name.clone()),
            tagline: nearest!(tagline),
            primary_colour: nearest!(primary_colour),
            secondary_colour: nearest!(secondary_colour),
            header_colour: nearest!(header_colour),
            text_colour: nearest!(text_colour),
            link_colour: nearest!(link_colour),
            button_colour: nearest!(button_colour),
            blurb: nearest!(blurb),
            custom_css: nearest!(custom_css),
            images: Images {
                logo_light: nearest!(images.logo_light),
                logo_dark: nearest!(images.logo_dark),
                social: nearest!(images.social),
            },
        }
    }
}

impl Images {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn get(&self, kind: ImageKind) -> Option<&Image> {
        match kind {
            ImageKind::LogoLight => self.logo_light.as_ref(),
            ImageKind::LogoDark => self.logo_dark.as_ref(),
            ImageKind::Social => self.social.as_ref(),
        }
    }

    pub fn set(&mut self, kind: ImageKind, image: Option<Image>) -> Option<Image> {
        let place = match kind {
            ImageKind::LogoLight => &mut self.logo_light,
            ImageKind::LogoDark => &mut self.logo_dark,
            ImageKind::Social => &mut self.social,
        };
        std::mem::replace(place, image)
    }

    /// The picture with these bytes.
    pub fn by_hash(&self, hash: &str) -> Option<&Image> {
        ImageKind::ALL.into_iter().filter_map(|kind| self.get(kind)).find(|image| image.hash == hash)
    }
}

impl ImageKind {
    pub const ALL: [Self; 3] = [Self::LogoLight, Self::LogoDark, Self::Social];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::LogoLight => "logo-light",
            Self::LogoDark => "logo-dark",
            Self::Social => "social",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl MediaType {
    pub const ALL: [Self; 5] = [Self::Png, Self::Jpeg, Self::Gif, Self::Webp, Self::Svg];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Svg => "image/svg+xml",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|media| media.as_str() == text)
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.media, self.bytes.len())
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
