//! How a tenant looks: its texts, colours and style sheet, and the pictures that it uploads. What tenants bring is cleaned
//! before it is stored, and what was left out is told. How a page is made of it is not known here.

use serde_json::{Value, json};

use super::edge::patched;
use super::error::{Fault, Faults, Kind, TenancyError};
use super::tenants::current;
use super::{Actor, Done, Expect, Tenancy, TenantState, checks, shown};
pub use crate::branding::Dropped;
use crate::branding::{BYTES_MAX, Picture, PictureError, picture, stylesheet};
use crate::model::{Asset, Branding, Colour, Image, ImageKind};

/// The longest tagline, in characters.
pub const TAGLINE_MAX: usize = 200;
/// The longest blurb, in characters.
pub const BLURB_MAX: usize = 300;
/// How many pictures are judged at a time.
pub(super) const JUDGES: usize = 2;
/// The longest style sheet, in characters.
pub const CSS_MAX: usize = 10_000;

/// A branding as it is now, with what there is to say about it.
#[derive(Clone, Debug)]
pub struct Branded {
    pub state: TenantState,
    pub advice: Vec<Advice>,
    /// What of the style sheet that was sent was left out.
    pub dropped: Vec<Dropped>,
    /// What of the drawing that was sent was left out, by its names.
    pub dropped_names: Vec<String>,
}

/// What is allowed, but hard to read (WCAG 2.2, 1.4.3 and 1.4.11).
#[derive(Clone, PartialEq, Debug)]
pub struct Advice {
    /// Where, as a JSON pointer into the branding.
    pub pointer: &'static str,
    pub code: &'static str,
    pub detail: String,
    /// 1 to 21.
    pub ratio: f64,
    pub wanted: f64,
}

/// A picture to be stored, as it came.
#[derive(Clone, Debug)]
pub struct Upload {
    pub kind: ImageKind,
    /// Its `Content-Type`, without parameters.
    pub declared: String,
    pub bytes: Vec<u8>,
}

impl Tenancy {
    pub async fn branding(&self, key: &str) -> Result<Branded, TenancyError> {
        Ok(branded(self.show(key).await?))
    }

    /// Replaces all but the pictures.
    pub async fn set_branding(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        branding: Branding,
    ) -> Result<Done<Branded>, TenancyError> {
        let (checked, dropped) = check(branding, &self.find(key).await?.branding)?;
        let done =
            self.change(actor, key, expect, "tenant.branding", |tenant| replace(&mut tenant.branding, checked)).await?;
        Ok(with(done, dropped))
    }

    /// Changes what a JSON merge patch (RFC 7396) names: `null` takes a field back, so that the parent's word counts.
    pub async fn patch_branding(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        patch: &Value,
    ) -> Result<Done<Branded>, TenancyError> {
        if !patch.is_object() {
            let detail = "a merge patch is a JSON object";
            return Err(TenancyError::Invalid(vec![Fault::new("", "wrong-type", detail)]));
        }
        let before = self.find(key).await?.branding;
        let (_, dropped) = check(patched(&before, patch)?, &before)?;
        let edit = |tenant: &mut crate::model::Tenant| {
            // Read again: somebody may have written since.
            let (checked, _) = check(patched(&tenant.branding, patch)?, &tenant.branding)?;
            replace(&mut tenant.branding, checked)
        };
        Ok(with(self.change(actor, key, expect, "tenant.branding", edit).await?, dropped))
    }

    /// A picture that the tenant itself has uploaded.
    pub async fn picture(&self, key: &str, kind: ImageKind) -> Result<(Image, Asset), TenancyError> {
        let none = || TenancyError::NotFound(Kind::Picture, kind.as_str().to_owned());
        let mut tenant = self.find(key).await?;
        let image = tenant.branding.images.set(kind, None).ok_or_else(none)?;
        let asset = self.store.asset(&image.hash).await?.ok_or_else(none)?;
        Ok((image, asset))
    }

    /// Stores a picture in the place of the one before.
    pub async fn put_picture(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        upload: Upload,
    ) -> Result<Done<Branded>, TenancyError> {
        let id = self.find(key).await?.id;
        let Upload { kind, declared, bytes } = upload;
        let judge = self.judges.clone().acquire_owned().await;
        // A drawing of two megabytes is work, and others wait for this thread.
        let judging = tokio::task::spawn_blocking(move || {
            let _judge = judge;
            picture(kind, &declared, bytes)
        });
        let judged = judging
            .await
            .map_err(|_| TenancyError::Invalid(vec![Fault::new("", "damaged", "the picture cannot be read")]))?;
        let Picture { image, asset, dropped } =
            judged.map_err(|error| TenancyError::Invalid(vec![Fault::new("", code(&error), error.to_string())]))?;
        let mut write = self.store.write().await?;
        let mut tenant = current(&mut write, id, key).await?;
        expect.check(tenant.revision)?;
        let before = shown::tenant(&tenant);
        write.put_asset(id, kind, &image.hash, &asset).await?;
        tenant.branding.images.set(kind, Some(image));
        tenant.updated = self.clock.now();
        tenant.revision = write.revision();
        write.update_tenant(&tenant).await?;
        let entry = actor.entry("tenant.picture", Some(id), &tenant.slug, json!({ "kind": kind.as_str() }));
        let entry = entry.changed(before, shown::tenant(&tenant));
        let state = self.state_in(&mut write, tenant).await?;
        let done = self.finish(write, entry, state).await?;
        Ok(Done {
            value: Branded { dropped_names: dropped, ..branded(done.value) },
            revision: done.revision,
            applied: done.applied,
        })
    }

    /// Takes a picture away: the parent's counts again.
    pub async fn delete_picture(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        kind: ImageKind,
    ) -> Result<Done<Branded>, TenancyError> {
        let id = self.find(key).await?.id;
        let mut write = self.store.write().await?;
        let mut tenant = current(&mut write, id, key).await?;
        expect.check(tenant.revision)?;
        let before = shown::tenant(&tenant);
        let was = tenant.branding.images.set(kind, None);
        if was.is_none() {
            return Err(TenancyError::NotFound(Kind::Picture, kind.as_str().to_owned()));
        }
        write.delete_asset(id, kind).await?;
        tenant.updated = self.clock.now();
        tenant.revision = write.revision();
        write.update_tenant(&tenant).await?;
        let entry = actor.entry("tenant.picture", Some(id), &tenant.slug, json!({ "kind": kind.as_str() }));
        let entry = entry.changed(before, shown::tenant(&tenant));
        let state = self.state_in(&mut write, tenant).await?;
        Ok(with(self.finish(write, entry, state).await?, Vec::new()))
    }
}

fn branded(state: TenantState) -> Branded {
    let advice = advice(&state.effective.branding);
    Branded { state, advice, dropped: Vec::new(), dropped_names: Vec::new() }
}

fn with(done: Done<TenantState>, dropped: Vec<Dropped>) -> Done<Branded> {
    let Done { value, revision, applied } = done;
    Done { value: Branded { dropped, ..branded(value) }, revision, applied }
}

/// The branding with its texts in order and its style sheet cleaned, and what was left out of that. The style sheet that
/// is there already, cleaned and scoped, may be longer than one that is sent.
fn check(mut branding: Branding, before: &Branding) -> Result<(Branding, Vec<Dropped>), TenancyError> {
    let mut faults = Faults::default();
    if let Some(text) = &branding.display_name {
        branding.display_name = faults.take(checks::name("/display_name", text));
    }
    let lines = [("/tagline", &branding.tagline, TAGLINE_MAX), ("/blurb", &branding.blurb, BLURB_MAX)];
    for (pointer, text, max) in lines {
        if let Some(text) = text {
            faults.take(checks::line(pointer, text, max));
        }
    }
    let mut dropped = Vec::new();
    if branding.custom_css != before.custom_css
        && let Some(css) = branding.custom_css.take()
    {
        let length = css.chars().count();
        if length > CSS_MAX {
            let detail = format!("at most {CSS_MAX} characters, and this has {length}");
            faults.add("/custom_css", "too-long", detail);
        } else {
            let clean = stylesheet(&css);
            dropped = clean.dropped;
            branding.custom_css = Some(clean.css).filter(|css| !css.is_empty());
        }
    }
    faults.or(Some((branding, dropped)))
}

/// Puts `next` in the place of `own`, but for the pictures; says what changed.
fn replace(own: &mut Branding, mut next: Branding) -> Result<Value, TenancyError> {
    if !next.images.is_empty() && next.images != own.images {
        let detail = "pictures are uploaded: PUT …/branding/logo-light, …/logo-dark or …/social";
        return Err(TenancyError::Invalid(vec![Fault::new("/images", "read-only", detail)]));
    }
    next.images = own.images.clone();
    *own = next;
    Ok(json!({}))
}

fn advice(branding: &Branding) -> Vec<Advice> {
    // The pages' ground is white where a tenant sets a colour of text; black or white ink is chosen for grounds that are set.
    let asked = [
        ("/text_colour", branding.text_colour, 4.5, "text"),
        ("/link_colour", branding.link_colour, 4.5, "links"),
        ("/primary_colour", branding.primary_colour, 3.0, "lines and controls"),
        ("/button_colour", branding.button_colour, 3.0, "buttons"),
    ];
    let hard = |(pointer, colour, wanted, what): (&'static str, Option<Colour>, f64, &str)| {
        let ratio = colour?.contrast(Colour::WHITE);
        let detail = format!("{what} in this colour are hard to see on white: {ratio:.2}:1, and {wanted}:1 is wanted");
        (ratio < wanted).then_some(Advice { pointer, code: "low-contrast", detail, ratio, wanted })
    };
    asked.into_iter().filter_map(hard).collect()
}

fn code(error: &PictureError) -> &'static str {
    match error {
        PictureError::TooLarge(_) | PictureError::TooLargeCleaned(_) => "too-large",
        PictureError::UnknownType => "unknown-type",
        PictureError::OtherType { .. } => "type-mismatch",
        PictureError::Damaged => "damaged",
        PictureError::WrongSide(..) => "out-of-range",
        PictureError::NotSocial(..) => "wrong-size",
        PictureError::DrawnSocial => "wrong-type",
        PictureError::Svg(_) => "invalid-svg",
    }
}

/// The most bytes of an upload.
pub const PICTURE_MAX: usize = BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(text: &str) -> Option<Colour> {
        Colour::parse(text).ok()
    }

    #[test]
    fn every_fault_is_named_and_a_style_sheet_comes_back_as_it_is_kept() {
        let branding = Branding {
            display_name: Some(" ".into()),
            tagline: Some("x".repeat(TAGLINE_MAX + 1)),
            blurb: Some("a\nb".into()),
            custom_css: Some("a".repeat(CSS_MAX + 1)),
            ..Branding::default()
        };
        let Err(TenancyError::Invalid(faults)) = check(branding, &Branding::default()) else {
            panic!("it is full of faults")
        };
        let named: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
        let expected = [
            ("/display_name", "required"),
            ("/tagline", "too-long"),
            ("/blurb", "control-character"),
            ("/custom_css", "too-long"),
        ];
        assert_eq!(named, expected);

        let css = "a{color:red}".repeat(CSS_MAX / 12);
        let sent = Branding { custom_css: Some(css), ..Branding::default() };
        let (kept, dropped) = check(sent, &Branding::default()).unwrap();
        assert!(dropped.is_empty());
        assert_eq!(check(kept.clone(), &kept).unwrap().0, kept, "what was read can be sent back");
    }

    #[test]
    fn colours_that_are_hard_to_read_are_told_and_allowed() {
        let branding = Branding {
            text_colour: colour("#999"),
            link_colour: colour("#0000ee"),
            primary_colour: colour("#ffff00"),
            ..Branding::default()
        };
        let told: Vec<_> = advice(&branding).into_iter().map(|advice| advice.pointer).collect();
        assert_eq!(told, ["/text_colour", "/primary_colour"]);
    }

    #[test]
    fn pictures_stay_when_the_rest_is_replaced() {
        let image = Image { hash: "ab".repeat(32), media: crate::model::MediaType::Png, width: 1, height: 1, size: 1 };
        let mut own = Branding { tagline: Some("old".into()), ..Branding::default() };
        own.images.set(ImageKind::Social, Some(image));
        let before = own.clone();
        replace(&mut own, Branding { tagline: Some("new".into()), ..Branding::default() }).unwrap();
        assert_eq!(own.tagline.as_deref(), Some("new"));
        assert_eq!(own.images, before.images);
        let mut other = before.clone();
        other.images.set(ImageKind::LogoDark, before.images.social.clone());
        assert!(replace(&mut own, other).is_err());
        assert!(replace(&mut own, before).is_ok(), "what was read can be sent back");
    }
}
