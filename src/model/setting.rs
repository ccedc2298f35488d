//! Settings that tenants can have: a catalogue that comes from configuration, and what holds for a tenant of each. What a
//! setting means is the application's affair; here it has a type, a default and somebody who may set it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A setting of the catalogue.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    /// 1–64 lowercase letters, digits, dashes and underscores; starts with a letter.
    pub name: String,
    /// As shown to people.
    pub title: String,
    pub kind: SettingKind,
    /// What holds where neither the tenant nor one above it says anything. Of `kind`.
    pub default: Value,
    /// Only operators may set it.
    pub operators_only: bool,
}

/// What a value of a setting can be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SettingKind {
    /// A text without control characters, of at most so many characters.
    Text {
        max_length: u32,
    },
    Boolean,
    Integer {
        min: i64,
        max: i64,
    },
    /// One of these words.
    Choice {
        choices: Vec<String>,
    },
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The tenant's own word.
    Own,
    /// One above it; which one is said beside it.
    Parent,
    /// The plan that holds for it.
    Plan,
    /// The licence of the installation took it away.
    Licence,
    /// The configuration of the installation.
    Config,
    /// Nobody has said anything.
    Default,
}

impl Setting {
    /// Whether it is a value of this setting; if not, what would be.
    pub fn accepts(&self, value: &Value) -> Result<(), String> {
        match (&self.kind, value) {
            (SettingKind::Text { max_length }, Value::String(text)) => {
                let length = text.chars().count();
                if length > *max_length as usize {
                    return Err(format!("at most {max_length} characters, and this has {length}"));
                }
                match text.chars().find(|c| c.is_control()) {
                    Some(bad) => Err(format!("the character {bad:?} is not allowed here")),
                    None => Ok(()),
                }
            }
            (SettingKind::Boolean, Value::Bool(_)) => Ok(()),
            (SettingKind::Integer { min, max }, Value::Number(number)) => match number.as_i64() {
                Some(number) if (*min..=*max).contains(&number) => Ok(()),
                _ => Err(format!("a whole number from {min} to {max}, not {number}")),
            },
            (SettingKind::Choice { choices }, Value::String(word)) if choices.contains(word) => Ok(()),
            (kind, _) => Err(format!("expected {}", kind.expected())),
        }
    }
}

impl SettingKind {
    /// The word that the configuration and the API have for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Boolean => "boolean",
            Self::Integer { .. } => "integer",
            Self::Choice { .. } => "choice",
        }
    }

    /// What a value is to be, for people.
    pub fn expected(&self) -> String {
        match self {
            Self::Text { max_length } => format!("a text of at most {max_length} characters"),
            Self::Boolean => "true or false".into(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Choice { choices } => format!("one of {}", choices.join(", ")),
        }
    }
}

/// What holds of a setting, and at which place of the line it was said: 0 is the tenant itself. `line`: the values of the
/// tenant, then of those above it, nearest first. `None`: nobody's, the default. A value that the catalogue does not take
/// any more is as if it had not been said.
pub fn holding<'a>(setting: &'a Setting, line: &[&'a BTreeMap<String, Value>]) -> (&'a Value, Option<usize>) {
    let said = line.iter().enumerate().filter_map(|(at, own)| Some((at, own.get(&setting.name)?)));
    let mut taken = said.filter(|(_, value)| setting.accepts(value).is_ok());
    taken.next().map_or((&setting.default, None), |(at, value)| (value, Some(at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn setting(kind: SettingKind, default: Value) -> Setting {
        Setting { name: "seats".into(), title: "Seats".into(), kind, default, operators_only: false }
    }

    #[test]
    fn values_are_of_their_kind() {
        let choice = SettingKind::Choice { choices: vec!["en".into(), "de".into()] };
        for (kind, value, good) in [
            (SettingKind::Text { max_length: 3 }, json!("äöü"), true),
            (SettingKind::Text { max_length: 3 }, json!("abcd"), false),
            (SettingKind::Text { max_length: 3 }, json!("a\nb"), false),
            (SettingKind::Text { max_length: 3 }, json!(1), false),
            (SettingKind::Boolean, json!(false), true),
            (SettingKind::Boolean, json!("false"), false),
            (SettingKind::Integer { min: 1, max: 9 }, json!(9), true),
            (SettingKind::Integer { min: 1, max: 9 }, json!(10), false),
            (SettingKind::Integer { min: 1, max: 9 }, json!(1.5), false),
            (choice.clone(), json!("de"), true),
            (choice.clone(), json!("fr"), false),
            (choice, json!(null), false),
        ] {
            assert_eq!(setting(kind.clone(), json!(0)).accepts(&value).is_ok(), good, "{kind:?} {value}");
        }
    }

    proptest! {
        #[test]
        fn the_nearest_good_word_holds(said in proptest::collection::vec(proptest::option::of(0_i64..20), 0..6)) {
            let seats = setting(SettingKind::Integer { min: 0, max: 9 }, json!(5));
            let line: Vec<BTreeMap<String, Value>> =
                said.iter().map(|said| said.iter().map(|n| ("seats".to_owned(), json!(n))).collect()).collect();
            // Naively: from the top down, each good word takes the place of the one before.
            let mut expected = (json!(5), None);
            for (at, word) in said.iter().enumerate().rev() {
                if let Some(number @ 0..=9) = word {
                    expected = (json!(number), Some(at));
                }
            }
            let line: Vec<_> = line.iter().collect();
            let (value, at) = holding(&seats, &line);
            prop_assert_eq!((value.clone(), at), expected);
        }
    }
}
