//! What was seen of a claim's records, in words that its tenant can act on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::dns::{Look, Outcome, RecordKind};
use crate::model::DomainState;

/// Everything that one look at a claim has shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Diagnosis {
    /// As in the records: IDNA A-labels; a wildcard begins with `*.`.
    pub domain: String,
    /// The same as people write it, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unicode: Option<String>,
    /// The state that the claim is in after this look.
    pub state: DomainState,
    #[schema(value_type = String, format = DateTime)]
    pub checked_at: Timestamp,
    /// The proof of ownership was seen; `null`: nobody could be asked, or what they say is not signed as it should be.
    pub proven: Option<bool>,
    /// Visitors are led here; `null` as above.
    pub points_here: Option<bool>,
    /// What it comes to, in one sentence.
    pub summary: String,
    /// A line for each record.
    pub findings: Vec<Finding>,
    /// The next look that is made without being asked for; `null`: none.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_check: Option<Timestamp>,
}

/// One record: what was expected, what was seen, and what to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The record's type.
    #[serde(rename = "type")]
    pub kind: RecordKind,
    pub name: String,
    /// Empty: that it is absent, or leaves us free.
    pub expected: Vec<String>,
    pub seen: Vec<String>,
    /// Who was asked, with the port; `null` when nobody answered.
    pub server: Option<String>,
    /// The server is the zone's own: what it says is not out of a cache.
    pub authoritative: bool,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub verdict: Verdict,
    /// What to do, in one sentence; empty where there is nothing to do.
    pub advice: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// There is none.
    Missing,
    /// There is another one.
    Wrong,
    /// Left over from elsewhere; does no harm yet.
    Stale,
    /// There are records, but their DNSSEC signatures do not hold: nobody who checks them is shown one.
    Bogus,
    /// Nobody could be asked, which is no answer.
    Unknown,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Wrong => "wrong",
            Self::Stale => "stale",
            Self::Bogus => "bogus",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the record is there as it should be; `None`: that is not known.
    pub fn holds(self) -> Option<bool> {
        match self {
            Self::Ok | Self::Stale => Some(true),
            Self::Missing | Self::Wrong => Some(false),
            Self::Bogus | Self::Unknown => None,
        }
    }
}

impl Finding {
    /// A finding about one look.
    pub fn of(look: &Look, expected: Vec<String>, verdict: Verdict, advice: String) -> Self {
        Self {
            kind: look.kind,
            name: look.name.clone(),
            expected,
            seen: look.records().to_vec(),
            server: look.server.map(|server| server.to_string()),
            authoritative: look.authoritative,
            at: look.at,
            verdict,
            advice,
        }
    }

    /// A finding about a look that is no answer: nobody could be asked, or the answer's signatures do not hold.
    pub fn without_answer(look: &Look, expected: Vec<String>) -> Option<Self> {
        let (verdict, advice) = match &look.outcome {
            Outcome::DnssecFailed => (
                Verdict::Bogus,
                format!(
                    "The DNSSEC signatures of {} do not hold, so resolvers refuse to show it: sign the zone again, or remove \
                     its DS record at the registrar.",
                    look.name
                ),
            ),
            Outcome::Failed(why) => {
                (Verdict::Unknown, format!("Nobody could be asked for {} ({why}); we will ask again.", look.name))
            }
            Outcome::Records(_) | Outcome::NoRecords | Outcome::NoName => return None,
        };
        Some(Self::of(look, expected, verdict, advice))
    }
}
