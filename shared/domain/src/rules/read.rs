//! Reading rules: a sender's, which are refused where they cannot be kept, and stored ones, of which that counts which is
//! understood.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use super::window::{self, Window};
use super::{PerUnit, Rules};
use crate::fields::{Fields, Invalid, kind, without_mark};
use crate::stock::MAX_QUANTITY;

/// What every field of rules is called in an update.
const PREFIX: &str = "rules.";
const ACCEPTED: &str = "an object with any of minStock, reserve, perUnit, waveSize, waveEvery, settle, cooldown, headStart, \
                        sellable, again, window, release";
const FIELDS: [&str; 12] = [
    "minStock",
    "reserve",
    "perUnit",
    "waveSize",
    "waveEvery",
    "settle",
    "cooldown",
    "headStart",
    "sellable",
    "again",
    "window",
    "release",
];
const ONE_OR_MORE: &str = "a whole number from 1 to 9007199254740991";
const ANY_UNITS: &str = "a whole number from 0 to 9007199254740991";
const SECONDS: &str = "a whole number of seconds from 0 to 604800";
const SECONDS_BETWEEN: &str = "a whole number of seconds from 1 to 604800";
/// What is to come, and is refused until it is kept.
const NO_COOLDOWN: &str = "0: no cooldown is kept yet";
const ONCE: &str = "1: no more than once is kept yet";
/// A week.
const MOST_SECONDS: u64 = 604_800;

impl Rules {
    /// Reads the field `rules` of what a sender wrote. A field of it that is `null` counts as absent.
    ///
    /// # Errors
    /// The first field that is not known, or cannot be kept as it is: `rules.minStock` for one.
    pub fn read(value: &Value) -> Result<Self, Invalid> {
        let (rules, problems) = read(value);
        problems.into_iter().next().map_or(Ok(rules), Err)
    }

    /// Reads rules that stand by themselves, such as a request's body.
    ///
    /// # Errors
    /// As of [`Rules::read`], with fields named as they stand here: `minStock`; the whole is `body`.
    pub fn from_json(text: &[u8]) -> Result<Self, Invalid> {
        let refuse = |problem: &str| Invalid::new("body", problem, ACCEPTED);
        let text = std::str::from_utf8(without_mark(text)).map_err(|_| refuse("is not UTF-8"))?;
        if text.trim().is_empty() {
            return Err(refuse("is missing"));
        }
        // serde_json's own message could repeat a part of the text.
        let value: Value = serde_json::from_str(text).map_err(|_| refuse("is not JSON"))?;
        Self::read(&value).map_err(|invalid| Invalid {
            field: invalid.field.strip_prefix(PREFIX).unwrap_or("body"),
            ..invalid
        })
    }
}

/// As a setting has them.
impl FromStr for Rules {
    type Err = Unusable;

    fn from_str(text: &str) -> Result<Self, Unusable> {
        Self::from_json(text.as_bytes()).map_err(Unusable)
    }
}

/// Why a setting holds no rules. It says what is accepted, and first of which field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Unusable(Invalid);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Invalid { field: "body", problem, accepted } => write!(f, "it {problem}; accepted: {accepted}"),
            invalid => invalid.fmt(f),
        }
    }
}

/// What was stored: a field that cannot be read counts as absent.
impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(read(&Value::deserialize(deserializer)?).0)
    }
}

/// The rules in a value as far as they are understood, and what is not.
fn read(value: &Value) -> (Rules, Vec<Invalid>) {
    let fields = match Fields::of(value, "rules") {
        Ok(fields) => fields,
        Err(invalid) => return (Rules::default(), vec![Invalid { accepted: ACCEPTED, ..invalid }]),
    };
    let mut reader = Reader { fields, problems: Vec::new() };
    if value.as_object().is_some_and(|object| object.keys().any(|name| !FIELDS.contains(&name.as_str()))) {
        reader.problems.push(Invalid::new("rules", "has a field that is not known", ACCEPTED));
    }
    let rules = Rules {
        min_stock: reader.whole("rules.minStock", 1..=MAX_QUANTITY, ONE_OR_MORE),
        reserve: reader.whole("rules.reserve", 0..=MAX_QUANTITY, ANY_UNITS),
        per_unit: reader.field("rules.perUnit", per_unit),
        wave_size: reader.whole("rules.waveSize", 1..=MAX_QUANTITY, ONE_OR_MORE),
        wave_every: reader.whole("rules.waveEvery", 1..=MOST_SECONDS, SECONDS_BETWEEN),
        settle: reader.whole("rules.settle", 0..=MOST_SECONDS, SECONDS),
        cooldown: reader.whole("rules.cooldown", 0..=0, NO_COOLDOWN),
        head_start: reader.whole("rules.headStart", 0..=MOST_SECONDS, SECONDS),
        sellable: reader.word("rules.sellable", "stock or backorder"),
        again: reader.whole("rules.again", 1..=1, ONCE).and_then(|times| u8::try_from(times).ok()),
        window: reader.window(),
        release: reader.word("rules.release", "auto or manual"),
    };
    (rules, reader.problems)
}

struct Reader<'a> {
    fields: Fields<'a>,
    problems: Vec<Invalid>,
}

impl Reader<'_> {
    fn field<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&Value) -> Result<T, Invalid>,
    ) -> Option<T> {
        let name = field.strip_prefix(PREFIX).unwrap_or(field);
        let value = self.fields.raw(name).filter(|value| !value.is_null())?;
        read(value).map_err(|problem| self.problems.push(problem)).ok()
    }

    fn whole(
        &mut self,
        field: &'static str,
        range: RangeInclusive<u64>,
        accepted: &'static str,
    ) -> Option<u64> {
        self.field(field, |value| {
            let refuse = |problem: &str| Invalid::new(field, problem, accepted);
            let Value::Number(number) = value else { return Err(refuse(&format!("is {}", kind(value)))) };
            let whole = whole(number).ok_or_else(|| refuse("is not a whole number of 0 or more"))?;
            range.contains(&whole).then_some(whole).ok_or_else(|| refuse("is out of range"))
        })
    }

    fn word<T: DeserializeOwned>(&mut self, field: &'static str, accepted: &'static str) -> Option<T> {
        self.field(field, |value| {
            let Value::String(_) = value else {
                return Err(Invalid::new(field, format!("is {}", kind(value)), accepted));
            };
            T::deserialize(value).map_err(|_| Invalid::new(field, "is not known", accepted))
        })
    }

    fn window(&mut self) -> Option<Window> {
        self.field("rules.window", window::read)
    }
}

fn per_unit(value: &Value) -> Result<PerUnit, Invalid> {
    let refuse = |problem: String| Invalid::new("rules.perUnit", problem, PerUnit::ACCEPTED);
    let number = value.as_f64().ok_or_else(|| refuse(format!("is {}", kind(value))))?;
    PerUnit::try_from(number).map_err(|_| refuse("is out of range".to_owned()))
}

/// A whole number, also one that was written with a point: 5.0 is 5.
fn whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
        format!("{float:.0}").parse().ok()
    })
}
