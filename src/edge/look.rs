//! How the edge's own pages look: the tenant's branding over the installation's, as one style sheet and the policy that
//! lets a browser use that and nothing else. Texts are escaped where they are put into a page, not here.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::directory::View;
use crate::model::{Brand, Branding, Colour, Image};

/// Where a tenant's pictures are served, on each of its hosts.
pub const PICTURES: &str = "/.well-known/tenantry/assets/";

/// What a page is dressed in.
#[derive(Debug)]
pub struct Look {
    /// What visitors read as the name.
    pub name: String,
    pub tagline: Option<String>,
    pub logo: Option<Logo>,
    /// The page's one style sheet. It contains no `<`.
    pub style: String,
    /// What `img-src` allows.
    pictures: String,
}

/// A logo in the header of a page.
#[derive(Debug)]
pub struct Logo {
    pub source: String,
    pub width: u32,
    pub height: u32,
    /// Instead, where the visitor likes dark grounds.
    pub dark: Option<String>,
}

impl Look {
    pub fn of(view: Option<&View>, brand: &Brand) -> Self {
        let Some(view) = view else { return Self::of_brand(brand) };
        let branding = &view.effective.branding;
        let logo = logo(branding);
        let mut allowed = Vec::new();
        if logo.is_some() || branding.custom_css.is_some() {
            allowed.push("'self'");
        }
        if branding.custom_css.is_some() {
            allowed.push("data:");
        }
        Self {
            name: branding.display_name.clone().unwrap_or_else(|| view.tenant.name.clone()),
            tagline: branding.tagline.clone(),
            logo,
            style: style(branding),
            pictures: allowed.join(" "),
        }
    }

    /// Of a page that is nobody's but the operator's.
    pub fn of_brand(brand: &Brand) -> Self {
        let style = style(&Branding::default());
        Self { name: brand.name.clone(), tagline: None, logo: None, style, pictures: String::new() }
    }

    /// The same with more style, and with pictures from there.
    pub fn with(mut self, style: &str, pictures: &str) -> Self {
        self.style.push_str(style);
        pictures.clone_into(&mut self.pictures);
        self
    }

    /// The `Content-Security-Policy` of a page with this look: its own style sheet by its hash, the tenant's pictures, and
    /// nothing else.
    pub fn policy(&self) -> String {
        let hash = STANDARD.encode(digest(&SHA256, self.style.as_bytes()));
        let pictures = match self.pictures.as_str() {
            "" => String::new(),
            from => format!(" img-src {from};"),
        };
        format!("default-src 'none'; style-src 'sha256-{hash}';{pictures} {NOTHING_ELSE}")
    }
}

/// Of an answer that is no page.
pub const BARE_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const NOTHING_ELSE: &str = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

fn logo(branding: &Branding) -> Option<Logo> {
    let (light, dark) = (branding.images.logo_light.as_ref(), branding.images.logo_dark.as_ref());
    let source = |image: &Image| format!("{PICTURES}{}", image.hash);
    let alone = |image: &Image| Logo { source: source(image), width: image.width, height: image.height, dark: None };
    match branding.header_colour {
        Some(ground) if ground.ink() == Colour::WHITE => dark.or(light).map(alone),
        Some(_) => light.or(dark).map(alone),
        // A colour of text keeps the page light.
        None if branding.text_colour.is_some() => light.or(dark).map(alone),
        None => {
            let shown = alone(light.or(dark)?);
            Some(Logo { dark: light.and(dark).map(source), ..shown })
        }
    }
}

/// The edge's own rules, the colours, then the tenant's rules, which reach only what is beneath `.tenant-page`.
fn style(branding: &Branding) -> String {
    let mut style = String::from(RULES);
    let primary = branding.primary_colour.unwrap_or(PRIMARY);
    let button = branding.button_colour.unwrap_or(primary);
    let mut variables = vec![
        ("primary", primary),
        ("secondary", branding.secondary_colour.unwrap_or(primary)),
        ("link", branding.link_colour.unwrap_or(primary)),
        ("button", button),
        ("button-ink", button.ink()),
    ];
    if let Some(ground) = branding.header_colour {
        variables.extend([("header", ground), ("header-ink", ground.ink())]);
    }
    if let Some(text) = branding.text_colour {
        variables.extend([("text", text), ("ground", Colour::WHITE)]);
        style.push_str(":root{color-scheme:light}\n");
    }
    style.push_str(".tenant-page{");
    for (name, colour) in variables {
        style.push_str(&format!("--{name}:{colour};"));
    }
    style.push_str("}\n");
    style.push_str(branding.custom_css.as_deref().unwrap_or_default());
    // Cleaned style sheets have none; whoever writes into the store otherwise ends no element of ours.
    style.replace('<', "")
}

const PRIMARY: Colour = Colour { red: 0x3b, green: 0x5b, blue: 0xdb };

/// What is important here, a tenant's style sheet cannot change: its part of the page stays in its place, and what
/// stands below it can be seen. It is a block, because a box that there is none of contains nothing.
const RULES: &str = "\
:root{color-scheme:light dark}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:flex;flex-direction:column;font:1rem/1.5 system-ui,sans-serif}
.tenant-page{flex:1;display:block!important;position:relative!important;z-index:0!important;contain:layout paint!important;\
margin:0!important;inset:auto!important;transform:none!important;translate:none!important;scale:none!important;\
rotate:none!important;color:var(--text,CanvasText);background:var(--ground,Canvas)}
.tenant-page header{padding:1rem 2rem;border-bottom:.4rem solid var(--secondary);border-top:.4rem solid \
var(--primary);color:var(--header-ink,inherit);background:var(--header,transparent)}
.tenant-page header img{display:block;max-height:4rem;max-width:100%;width:auto;height:auto}
.tenant-page main{max-width:40rem;margin:0 auto;padding:2rem}
.tenant-page h1{margin:0 0 .5rem;font-size:1.5rem}
.tenant-page p{margin:.5rem 0}
.tenant-page a{color:var(--link)}
.tenant-page a.button{display:inline-block;padding:.5rem 1rem;border-radius:.25rem;text-decoration:none;\
color:var(--button-ink);background:var(--button)}
.edge-foot{position:relative;z-index:1;padding:1rem 2rem;border-top:1px solid;opacity:.8;background:Canvas}
.edge-foot p{margin:.25rem 0}
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Hostname, ImageKind, MediaType};

    fn image(letter: &str) -> Image {
        Image { hash: letter.repeat(64), media: MediaType::Png, width: 10, height: 5, size: 99 }
    }

    #[test]
    fn the_logo_fits_the_ground() {
        let mut both = Branding::default();
        both.images.set(ImageKind::LogoLight, Some(image("a")));
        both.images.set(ImageKind::LogoDark, Some(image("d")));
        let with = |header: Option<&str>, text: Option<&str>| {
            let colour = |text: &str| Colour::parse(text).unwrap();
            let branding =
                Branding { header_colour: header.map(colour), text_colour: text.map(colour), ..both.clone() };
            let logo = logo(&branding).unwrap();
            (logo.source.chars().last(), logo.dark.and_then(|dark| dark.chars().last()))
        };
        assert_eq!(with(None, None), (Some('a'), Some('d')));
        assert_eq!(with(None, Some("#222")), (Some('a'), None));
        assert_eq!(with(Some("#000"), None), (Some('d'), None));
        assert_eq!(with(Some("#fff"), None), (Some('a'), None));
        assert!(logo(&Branding::default()).is_none());
    }

    #[test]
    fn a_style_sheet_never_ends_its_element_and_the_policy_names_it_by_its_hash() {
        let branding = Branding { custom_css: Some("a{}</style><script>".into()), ..Branding::default() };
        assert!(!style(&branding).contains('<'));
        let look = Look::of_brand(&Brand::for_base(Hostname::parse("connect.localhost").unwrap()));
        let policy = look.policy();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
        assert!(!policy.contains("img-src"));
        assert_ne!(look.with("p{}", "https:").policy(), policy);
    }
}
