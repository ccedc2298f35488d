//! The kinds of value that a key can have: texts, numbers, durations, sizes, choices. Each reader answers with the
//! default when the key is absent, and faults whatever is not what it expects.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;
use zeroize::Zeroizing;

use super::section::{Section, Spot, describe, shown};
use super::shapes::Shape;
use super::units::{parse_duration, parse_size, show_duration, show_size};

/// The text that switches off what can be switched off.
const OFF: &str = "off";

impl Section<'_> {
    /// A text that `parse` understands. `expected` says what that is, as in "a host name such as …".
    pub fn text<T, E: Display>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.declare(key, || Shape::Text { expected: expected.to_owned() });
        let value = self.value(key)?;
        let DeValue::String(raw) = value.get_ref() else {
            self.fault(key, format!("found {}, expected {expected}", describe(value.get_ref())));
            return None;
        };
        let text = self.expanded(key, raw)?;
        parse(&text).map_err(|why| self.fault(key, refusal(raw, &text, expected, &why.to_string()))).ok()
    }

    /// Like [`Section::text`], but the key must be there.
    pub fn required<T, E: Display>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.require(key, expected);
        self.text(key, expected, parse)
    }

    /// A secret, or where it is (`file:<path>`, `credential:<name>`): no fault ever shows it, and `parse` cannot say why.
    /// Required.
    pub fn secret<T>(&mut self, key: &'static str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.hidden(key, expected, |section, raw, text| match section.resolved(text) {
            Ok(secret) => Some(parse(&secret)),
            Err(why) => {
                section.fault(key, format!("found {}, {why}", shown(raw)));
                None
            }
        })
    }

    /// Where a secret is, for whoever reads it later. A fault does not show what was found: it may be the secret itself,
    /// by mistake. Required.
    pub fn secret_place<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.hidden(key, expected, |_, _, text| Some(parse(text)))
    }

    /// `read` answers `None` when it has noted a fault of its own.
    fn hidden<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&Self, &str, &str) -> Option<Option<T>>,
    ) -> Option<T> {
        self.require(key, expected);
        self.declare(key, || Shape::Secret { expected: expected.to_owned() });
        let value = self.value(key)?;
        let parsed = match value.get_ref() {
            DeValue::String(raw) => {
                let text = Zeroizing::new(self.expanded(key, raw)?);
                read(self, raw, &text)?
            }
            _ => None,
        };
        if parsed.is_none() {
            self.fault(key, format!("found something else (it is not shown, it may be secret), expected {expected}"));
        }
        parsed
    }

    /// A list of texts that may hold secrets: no fault ever shows what was found. Absent, it is empty.
    pub fn secrets<T>(&mut self, key: &'static str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        self.hidden_list(key, expected, |_, _, _, text| Some(parse(text)))
    }

    /// A list of secrets, each itself or where it is, as [`Section::secret`] reads one. Absent, it is empty.
    pub fn secret_list<T>(&mut self, key: &'static str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        self.hidden_list(key, expected, |section, spot, raw, text| match section.resolved(text) {
            Ok(secret) => Some(parse(&secret)),
            Err(why) => {
                section.fault_at(spot, format!("found {}, {why}", shown(raw)));
                None
            }
        })
    }

    /// `read` answers `None` when it has noted a fault of its own.
    fn hidden_list<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&Self, &Spot, &str, &str) -> Option<Option<T>>,
    ) -> Vec<T> {
        self.declare(key, || Shape::Secrets { expected: expected.to_owned() });
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.fault(key, format!("found something else (it is not shown), expected a list, each {expected}"));
            return Vec::new();
        };
        let mut all = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let spot = self.spot_of_element(key, index, item);
            let parsed = match item.get_ref() {
                DeValue::String(raw) => {
                    let Some(text) = self.expanded_at(&spot, raw).map(Zeroizing::new) else { continue };
                    let Some(parsed) = read(self, &spot, raw, &text) else { continue };
                    parsed
                }
                _ => None,
            };
            match parsed {
                Some(parsed) => all.push(parsed),
                None => {
                    let found = "found something else (it is not shown, it may be secret)";
                    self.fault_at(&spot, format!("{found}, expected {expected}"));
                }
            }
        }
        all
    }

    /// A list of texts, none of them twice; absent, it is empty.
    pub fn texts<T: PartialEq, E: Display>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        self.spotted_texts(key, expected, parse).into_iter().map(|(item, _)| item).collect()
    }

    /// Like [`Section::texts`], with the place of each.
    pub fn spotted_texts<T: PartialEq, E: Display>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<(T, Spot)> {
        self.declare(key, || Shape::Texts { expected: expected.to_owned() });
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.fault(key, format!("found {}, expected a list, each {expected}", describe(value.get_ref())));
            return Vec::new();
        };
        let mut all: Vec<(T, Spot)> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let spot = self.spot_of_element(key, index, item);
            let DeValue::String(raw) = item.get_ref() else {
                self.fault_at(&spot, format!("found {}, expected {expected}", describe(item.get_ref())));
                continue;
            };
            let Some(text) = self.expanded_at(&spot, raw) else { continue };
            match parse(&text) {
                Err(why) => self.fault_at(&spot, refusal(raw, &text, expected, &why.to_string())),
                Ok(item) if all.iter().any(|(earlier, _)| *earlier == item) => {
                    self.fault_at(&spot, format!("found {} a second time, expected each once", shown(raw)));
                }
                Ok(item) => all.push((item, spot)),
            }
        }
        all
    }

    pub fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.declare(key, || Shape::Flag { default });
        match self.value(key).map(toml::Spanned::get_ref) {
            None => default,
            Some(DeValue::Boolean(flag)) => *flag,
            Some(other) => {
                self.fault(key, format!("found {}, expected true or false", describe(other)));
                default
            }
        }
    }

    /// A whole number within a range.
    pub fn number<T>(&mut self, key: &'static str, range: RangeInclusive<T>, default: T) -> T
    where
        T: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        let fixed = range.contains(&default).then(|| bound(default));
        self.declare(key, || Shape::Number { low: bound(*range.start()), high: bound(*range.end()), default: fixed });
        let Some(value) = self.value(key) else { return default };
        let number = integer(value.get_ref()).and_then(|number| T::try_from(number).ok());
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            let (low, high) = (range.start(), range.end());
            let found = describe(value.get_ref());
            self.fault(key, format!("found {found}, expected a whole number from {low} to {high}"));
            default
        })
    }

    /// A whole number within a range, or nothing.
    pub fn number_or_none(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.declare(key, || Shape::Number { low: bound(*range.start()), high: bound(*range.end()), default: None });
        let value = self.value(key)?;
        let number = integer(value.get_ref()).and_then(|number| u64::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high, found) = (range.start(), range.end(), describe(value.get_ref()));
            self.fault(key, format!("found {found}, expected a whole number from {low} to {high}"));
        }
        number
    }

    /// A whole number within a range, or `"off"`.
    pub fn number_or_off(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
        default: Option<u32>,
    ) -> Option<u32> {
        let (low, high) = (bound(*range.start()), bound(*range.end()));
        self.declare(key, || Shape::NumberOr { word: OFF, low, high, default: default.map(bound) });
        let Some(value) = self.value(key) else { return default };
        if matches!(value.get_ref(), DeValue::String(text) if text == OFF) {
            return None;
        }
        let number = integer(value.get_ref()).and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high, found) = (range.start(), range.end(), describe(value.get_ref()));
            self.fault(key, format!("found {found}, expected a whole number from {low} to {high}, or \"off\""));
        }
        number
    }

    /// A duration within a range.
    pub fn duration(&mut self, key: &'static str, range: RangeInclusive<Duration>, default: Duration) -> Duration {
        let expected = expected_duration(&range);
        self.declare(key, || duration(&expected, false, Some(default)));
        self.text(key, &expected, |text| within(parse_duration(text), &range)).unwrap_or(default)
    }

    /// A duration within a range, or nothing.
    pub fn duration_or_none(&mut self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let expected = expected_duration(&range);
        self.declare(key, || duration(&expected, false, None));
        self.text(key, &expected, |text| within(parse_duration(text), &range))
    }

    /// A duration within a range, or `"off"`.
    pub fn duration_or_off(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        default: Option<Duration>,
    ) -> Option<Duration> {
        let expected = format!("{}, or \"off\"", expected_duration(&range));
        self.declare(key, || duration(&expected, true, default));
        let parse = |text: &str| if text == OFF { Ok(None) } else { within(parse_duration(text), &range).map(Some) };
        self.text(key, &expected, parse).unwrap_or(default)
    }

    /// A size in bytes within a range.
    pub fn size(&mut self, key: &'static str, range: RangeInclusive<u64>, default: u64) -> u64 {
        let expected = expected_size(&range);
        self.declare(key, || Shape::Size { expected: expected.clone(), off: false, default: Some(show_size(default)) });
        self.text(key, &expected, |text| within(parse_size(text), &range)).unwrap_or(default)
    }

    /// A size in bytes within a range, or `"off"`.
    pub fn size_or_off(&mut self, key: &'static str, range: RangeInclusive<u64>, default: Option<u64>) -> Option<u64> {
        let expected = format!("{}, or \"off\"", expected_size(&range));
        self.declare(key, || Shape::Size { expected: expected.clone(), off: true, default: None });
        let parse = |text: &str| if text == OFF { Ok(None) } else { within(parse_size(text), &range).map(Some) };
        self.text(key, &expected, parse).unwrap_or(default)
    }

    /// One of a few words.
    pub fn choice<T: Copy + PartialEq>(&mut self, key: &'static str, choices: &[(&str, T)], default: T) -> T {
        self.choice_or_faulty(key, choices, default).unwrap_or(default)
    }

    /// The same for a key that others depend on: `None` when it is there and wrong.
    pub fn choice_or_faulty<T: Copy + PartialEq>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
        default: T,
    ) -> Option<T> {
        let word = |(word, _): &(&str, T)| (*word).to_owned();
        self.declare(key, || Shape::Choice {
            words: choices.iter().map(word).collect(),
            default: choices.iter().find(|(_, choice)| *choice == default).map(word),
        });
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let find = |text: &str| choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice).ok_or("");
        let found = self.text(key, &format!("one of {}", words.join(", ")), find);
        found.or((!self.has(key)).then_some(default))
    }
}

/// The integer that a value is, if it is one.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A bound or a default; what lies beyond every integer of TOML is as good as its end.
fn bound(number: impl Display) -> i64 {
    number.to_string().parse().unwrap_or(i64::MAX)
}

fn duration(expected: &str, off: bool, default: Option<Duration>) -> Shape {
    Shape::Duration { expected: expected.to_owned(), off, default: default.map(show_duration) }
}

fn refusal(raw: &str, text: &str, expected: &str, why: &str) -> String {
    let found = shown(raw);
    // A variable's value may be a secret: only the way it is written is shown.
    let with = if raw == text { "" } else { " (with its variables put in)" };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    format!("found {found}{with}, expected {expected}{why}")
}

fn within<T: PartialOrd>(value: Option<T>, range: &RangeInclusive<T>) -> Result<T, &'static str> {
    value.filter(|value| range.contains(value)).ok_or("")
}

fn expected_duration(range: &RangeInclusive<Duration>) -> String {
    let (low, high) = (show_duration(*range.start()), show_duration(*range.end()));
    format!("a duration such as \"10s\" or \"250ms\", from {low} to {high}")
}

fn expected_size(range: &RangeInclusive<u64>) -> String {
    format!("a size such as \"64KiB\" or \"2MB\", from {} to {}", show_size(*range.start()), show_size(*range.end()))
}
