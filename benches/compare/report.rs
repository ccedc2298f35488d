//! What has been measured, as a table and as JSON. Nothing is in it that was not measured in this run.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::loads::{Load, Sample};

/// A figure with what it is of. Of several measurements the median, and the least and the most beside it.
#[derive(Clone)]
pub struct Fact {
    pub what: String,
    pub who: String,
    pub value: f64,
    pub spread: Option<(f64, f64)>,
    pub unit: &'static str,
}

impl Fact {
    pub fn number(what: &str, who: &str, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), who: who.into(), value, spread: None, unit }
    }

    /// At least one.
    pub fn millis(what: &str, who: &str, took: &[Duration]) -> Self {
        let took: Vec<f64> = took.iter().map(|took| took.as_secs_f64() * 1e3).collect();
        Self { spread: (took.len() > 1).then(|| ends(&took)), ..Self::number(what, who, median(&took), "ms") }
    }
}

/// All samples of one server under one load, a round each; `None`: that round has no figure.
pub struct Series {
    pub load: Load,
    pub server: usize,
    pub rounds: Vec<Option<Sample>>,
    /// Why a round has none.
    pub without: Option<String>,
}

impl Series {
    fn each(&self, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.rounds.iter().flatten().map(of).collect()
    }

    pub fn cpu(&self) -> Option<f64> {
        let all = self.each(|sample| sample.cpu_us);
        (!all.is_empty()).then(|| median(&all))
    }
}

pub struct Report {
    pub taken: Value,
    pub machine: Value,
    pub quick: bool,
    /// Their names and versions, in the order of the table.
    pub servers: Vec<(String, String)>,
    pub series: Vec<Series>,
    pub facts: Vec<Fact>,
}

/// What others are compared with, by the names of the servers.
pub const REFERENCES: [&str; 2] = ["bare pingora", "nginx"];

impl Report {
    pub fn of(&self, load: Load) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(move |series| series.load == load)
    }

    /// How many times the reference's CPU a server takes under the same load: the median of the rounds, the least, the most.
    /// Each round is compared with itself, for the machine may be another in the next.
    fn ratio(&self, series: &Series, reference: &str) -> Option<(f64, f64, f64)> {
        let other = self.of(series.load).find(|other| self.servers[other.server].0 == reference)?;
        let both = series.rounds.iter().zip(&other.rounds);
        let ratios: Vec<f64> =
            both.filter_map(|(one, other)| Some(one.as_ref()?.cpu_us / other.as_ref()?.cpu_us)).collect();
        (!ratios.is_empty() && other.server != series.server).then(|| {
            let (least, most) = ends(&ratios);
            (median(&ratios), least, most)
        })
    }

    pub fn table(&self) -> String {
        let mut text = String::new();
        let machine = |key: &str| self.machine[key].to_string().replace('"', "");
        let versions: Vec<String> =
            self.servers.iter().map(|(name, version)| format!("{name} {version}").trim().to_owned()).collect();
        let _ = writeln!(
            text,
            "{} x {}, {} GiB, Linux {}, {}; {}",
            machine("cores"),
            machine("cpu"),
            machine("memory_gib"),
            machine("kernel"),
            machine("system"),
            self.taken.to_string().replace('"', "")
        );
        let _ = writeln!(text, "{}", versions.join("; "));
        if self.quick {
            text.push_str("A QUICK RUN, to see that it works: the figures mean nothing.\n");
        }
        for load in Load::ALL {
            self.tell_load(&mut text, load);
        }
        text.push('\n');
        let mut what = "";
        for fact in &self.facts {
            if fact.what != what {
                what = &fact.what;
                let _ = writeln!(text, "{what}");
            }
            let spread = fact.spread.map(|(least, most)| format!("({} to {})", short(least), short(most)));
            let value = short(fact.value);
            let _ = writeln!(text, "  {:<44}{value:>10} {:<6}{}", fact.who, fact.unit, spread.unwrap_or_default());
        }
        text
    }

    fn tell_load(&self, text: &mut String, load: Load) {
        let _ = writeln!(text, "\n{}", load.name());
        let _ = writeln!(
            text,
            "  {:<44}{:>8} {:>15}{:>6}{:>9}{:>9}{:>10}  {:<22}x nginx",
            "", "CPU us", "(least-most)", "busy", "p50 us", "p99 us", "a second", "x bare pingora"
        );
        for series in self.of(load) {
            let name = &self.servers[series.server].0;
            let Some(cpu) = series.cpu() else {
                let _ = writeln!(text, "  {name:<44}not measured: {}", series.without.as_deref().unwrap_or_default());
                continue;
            };
            let (least, most) = ends(&series.each(|sample| sample.cpu_us));
            let of = |of: fn(&Sample) -> f64| median(&series.each(of));
            let [bare, nginx] = REFERENCES.map(|reference| {
                let told = |(median, least, most)| format!("{median:.2} ({least:.2}-{most:.2})");
                self.ratio(series, reference).map(told).unwrap_or_default()
            });
            let _ = writeln!(
                text,
                "  {name:<44}{cpu:>8.1} {:>15}{:>5.0}%{:>9.0}{:>9.0}{:>10.0}  {bare:<22}{nginx}",
                format!("({least:.1}-{most:.1})"),
                // Of its core: less than all of it where the load or the backend has no more to give.
                of(|sample| sample.cpu_us * sample.per_second / 1e4),
                of(|sample| f64::from(sample.p50_us)),
                of(|sample| f64::from(sample.p99_us)),
                of(|sample| sample.per_second),
            );
        }
    }

    pub fn json(&self) -> Value {
        let series: Vec<Value> = self.series.iter().map(|series| self.tell_series(series)).collect();
        let servers: Vec<Value> =
            self.servers.iter().map(|(name, version)| json!({ "name": name, "version": version })).collect();
        let facts: Vec<Value> = self
            .facts
            .iter()
            .map(|fact| {
                let Fact { what, who, value, spread, unit } = fact;
                json!({ "what": what, "who": who, "value": value, "least_most": spread, "unit": unit })
            })
            .collect();
        json!({
            "taken": self.taken, "machine": self.machine, "quick": self.quick,
            "servers": servers, "loads": series, "facts": facts,
        })
    }

    fn tell_series(&self, series: &Series) -> Value {
        let ratios: serde_json::Map<String, Value> = REFERENCES
            .iter()
            .filter_map(|reference| {
                let (median, least, most) = self.ratio(series, reference)?;
                Some(((*reference).to_owned(), json!({ "median": median, "least": least, "most": most })))
            })
            .collect();
        json!({
            "load": series.load.key(),
            "server": self.servers[series.server].0,
            "cpu_us": series.each(|sample| sample.cpu_us),
            "p50_us": series.each(|sample| f64::from(sample.p50_us)),
            "p99_us": series.each(|sample| f64::from(sample.p99_us)),
            "per_second": series.each(|sample| sample.per_second),
            "requests": series.rounds.iter().flatten().map(|sample| sample.done).sum::<u64>(),
            "cpu_ratio": ratios,
            "not_measured": series.without,
        })
    }
}

/// Of at least one.
pub fn median(all: &[f64]) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] }
}

/// The least and the most.
pub fn ends(all: &[f64]) -> (f64, f64) {
    (all.iter().copied().fold(f64::INFINITY, f64::min), all.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

/// With commas.
pub fn count(n: impl TryInto<u64>) -> String {
    let digits = n.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn short(value: f64) -> String {
    match value {
        value if value == value.round() || value >= 1000.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
