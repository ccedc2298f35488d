//! `[[setting]]` of `plans.toml`: what tenants can be set to beyond what Tenantry itself knows.

use serde_json::Value;
use toml::de::DeValue;

use super::parsers::{self, TITLE};
use super::section::{Section, describe};
use super::shapes::Shape;
use super::values::integer;
use crate::model::{PlanName, Setting, SettingKind};

const NAME: &str = "the name of a setting, such as \"language\"";
const CHOICE: &str = "a word to choose";
/// The longest text, in characters.
const LONGEST: u32 = 2_000;

pub(super) fn read(root: &mut Section<'_>) -> Vec<Setting> {
    let read = root.sections("setting", |section| (setting(section), section.spot("name")));
    let mut settings: Vec<Setting> = Vec::with_capacity(read.len());
    for (setting, spot) in read {
        let Some(setting) = setting else { continue };
        match settings.iter().any(|earlier| earlier.name == setting.name) {
            true => root.fault_at(&spot, format!("a second setting of the name \"{}\"", setting.name)),
            false => settings.push(setting),
        }
    }
    settings
}

/// What a `type` is, before what belongs to it is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Boolean,
    Integer,
    Choice,
}

fn setting(section: &mut Section<'_>) -> Option<Setting> {
    // By the same rule as plans and features.
    let name = section.required("name", NAME, |text| PlanName::parse(text).map(|name| name.to_string()));
    let title = section.required("title", TITLE, parsers::title);
    let types =
        [("text", Type::Text), ("boolean", Type::Boolean), ("integer", Type::Integer), ("choice", Type::Choice)];
    let kind = section.choice_or_faulty("type", &types, Type::Text);
    if kind.is_none() {
        section.forgive_unknown();
    }
    let max_length = section.when(kind == Some(Type::Text), |section| section.number("max_length", 1..=LONGEST, 200));
    let bounds = section.when(kind == Some(Type::Integer), |section| {
        (section.number("min", i64::MIN..=i64::MAX, 0), section.number("max", i64::MIN..=i64::MAX, i64::MAX))
    });
    let choices = section.when(kind == Some(Type::Choice), |section| {
        section.require("choices", "a list of words to choose from");
        section.texts("choices", CHOICE, |text| match text.is_empty() || text.chars().any(char::is_control) {
            true => Err(""),
            false => Ok(text.to_owned()),
        })
    });
    let kind = match kind? {
        Type::Text => SettingKind::Text { max_length: max_length? },
        Type::Boolean => SettingKind::Boolean,
        Type::Integer => SettingKind::Integer { min: bounds?.0, max: bounds?.1 },
        Type::Choice => SettingKind::Choice { choices: choices? },
    };
    let default = default(section, &kind);
    let operators_only = section.flag("operators_only", false);
    let setting = Setting { name: name?, title: title.unwrap_or_default(), kind, default: default?, operators_only };
    // A list of choices that is not right has been told of; nothing could be among them.
    let can_judge = !matches!(&setting.kind, SettingKind::Choice { choices } if choices.is_empty());
    if let Some(why) = setting.accepts(&setting.default).err().filter(|_| can_judge) {
        section.fault("default", format!("it is no value of this setting: {why}"));
    }
    Some(setting)
}

/// It must be there: whoever reads the setting gets a value in any case.
fn default(section: &mut Section<'_>, kind: &SettingKind) -> Option<Value> {
    section.require("default", &kind.expected());
    section.declare("default", || Shape::Any);
    let value = section.value("default")?.get_ref();
    let json = match value {
        DeValue::String(text) => section.expanded("default", text).map(Value::from),
        DeValue::Boolean(flag) => Some(Value::from(*flag)),
        number => integer(number).map(Value::from),
    };
    if json.is_none() {
        section.fault("default", format!("found {}, expected {}", describe(value), kind.expected()));
    }
    json
}
