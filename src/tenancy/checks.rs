//! The rules for single fields: what a name, a reason, a plan may be. Pure; each answers with the value in its model
//! type, or with the fault and what would be right.

use std::collections::BTreeSet;

use super::error::{Fault, Faults};
use crate::model::{Brand, Catalogue, Feature, PlanName, Slug, Tenant};

/// The longest display name, in characters.
pub const NAME_MAX: usize = 120;
/// The longest reason for a suspension, in characters.
pub const REASON_MAX: usize = 500;
/// The most days that one call adds to a trial, or that a new trial lasts.
pub const TRIAL_DAYS_MAX: u32 = 365;

pub(super) fn slug(pointer: &str, text: &str, brand: &Brand) -> Result<Slug, Fault> {
    let slug = Slug::parse(text).map_err(|e| Fault::new(pointer, "invalid-slug", format!("{text:?}: {e}")))?;
    if brand.is_reserved(&slug) {
        return Err(Fault::new(
            pointer,
            "reserved",
            format!("the slug {text:?} is reserved for the operator's own use"),
        ));
    }
    // The API takes an id or a slug in the same place.
    if uuid::Uuid::try_parse(text).is_ok() {
        return Err(Fault::new(pointer, "invalid-slug", "a slug that looks like a tenant's id would be taken for one"));
    }
    if brand.tenant_host(&slug).is_err() {
        return Err(Fault::new(pointer, "too-long", format!("{text}.{} is too long for a host name", brand.base)));
    }
    Ok(slug)
}

/// A display name: 1–120 characters with no control characters, and with something to see at both ends.
pub(super) fn name(pointer: &str, text: &str) -> Result<String, Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new(pointer, "required", format!("a name has 1 to {NAME_MAX} characters")));
    }
    line(pointer, text, NAME_MAX)?;
    Ok(text.trim().to_owned())
}

/// The same for what has to say something: 1 to `max` characters, blanks at the ends not counted.
pub(super) fn text(pointer: &str, text: &str, max: usize) -> Result<String, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Fault::new(pointer, "required", format!("this takes 1 to {max} characters")));
    }
    line(pointer, text, max)
}

/// Text without control characters (line breaks are), of at most `max` characters.
pub(super) fn line(pointer: &str, text: &str, max: usize) -> Result<String, Fault> {
    let length = text.chars().count();
    if length > max {
        return Err(Fault::new(pointer, "too-long", format!("at most {max} characters, and this has {length}")));
    }
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        return Err(Fault::new(pointer, "control-character", format!("the character {bad:?} is not allowed here")));
    }
    Ok(text.to_owned())
}

pub(super) fn plan(pointer: &str, text: &str, catalogue: &Catalogue) -> Result<PlanName, Fault> {
    catalogue
        .require_plan(text)
        .map(|plan| plan.name.clone())
        .map_err(|e| Fault::new(pointer, "unknown-plan", e.to_string()))
}

pub(super) fn days(pointer: &str, days: u32) -> Result<u32, Fault> {
    match days {
        1..=TRIAL_DAYS_MAX => Ok(days),
        _ => Err(Fault::new(pointer, "out-of-range", format!("1 to {TRIAL_DAYS_MAX} days, and this is {days}"))),
    }
}

/// Two sets of features to switch on and off, each with the pointer to its list: each known, none in both, and none switched
/// on that the licence withholds. What `held` has so already is not switched: it was before, and the catalogue or the licence
/// may have shrunk since.
pub(super) fn features(
    [(on_at, on), (off_at, off)]: [(&str, &[String]); 2],
    held: &Tenant,
    catalogue: &Catalogue,
    faults: &mut Faults,
) -> (BTreeSet<Feature>, BTreeSet<Feature>) {
    let mut known = |list: &[String], at: &str, held: &BTreeSet<Feature>| -> BTreeSet<Feature> {
        let check = |(i, text): (usize, &String)| {
            let held = held.get(text.as_str()).cloned();
            let found = held.map_or_else(|| catalogue.require_feature(text), Ok);
            faults.take(found.map_err(|e| Fault::new(format!("{at}/{i}"), "unknown-feature", e.to_string())))
        };
        list.iter().enumerate().filter_map(check).collect()
    };
    let (on_set, off_set) = (known(on, on_at, &held.features_on), known(off, off_at, &held.features_off));
    for (i, text) in off.iter().enumerate() {
        if on_set.iter().any(|feature| feature.as_str() == text) {
            faults.add(format!("{off_at}/{i}"), "contradiction", format!("{text} is both on and off; name it once"));
        }
    }
    for feature in on_set.iter().filter(|feature| !held.features_on.contains(*feature) && !catalogue.licensed(feature))
    {
        let at = on.iter().position(|text| text == feature.as_str()).unwrap_or_default();
        let licence: Vec<_> = catalogue.licence.iter().flatten().map(Feature::as_str).collect();
        let detail = format!("the licence does not cover {feature}; it covers {}", listed(&licence));
        faults.add(format!("{on_at}/{at}"), "not-licensed", detail);
    }
    (on_set, off_set)
}

fn listed(words: &[&str]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(name("/name", " Acme ").unwrap(), "Acme");
        for (text, code) in
            [("", "required"), ("   ", "required"), ("a\u{7}b", "control-character"), ("a\nb", "control-character")]
        {
            assert_eq!(name("/name", text).unwrap_err().code, code, "{text:?}");
        }
        assert!(name("/name", &"ü".repeat(120)).is_ok());
        assert_eq!(name("/name", &"ü".repeat(121)).unwrap_err().code, "too-long");
    }

    #[test]
    fn days_have_bounds() {
        assert!(days("/days", 1).is_ok() && days("/days", 365).is_ok());
        assert!(days("/days", 0).is_err() && days("/days", 366).is_err());
    }
}
