//! What comes next of a product by the rules of stock, as the operator's commands and the page show it.

use domain::product::{Awaited, Product, Wave};
use domain::rules::Rules;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// The rules in force of a product, how far they have opened its waitlist, and what comes next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Coming {
    /// The rules in force; `None`: none are.
    pub(crate) rules: Option<Rules>,
    /// Until what its restock is held back; `None`: it is not.
    pub(crate) held: Option<Awaited>,
    /// The wave up to which it is opened; `None` before the first, or where all are told at once.
    pub(crate) wave: Option<Wave>,
    /// What comes next; `None`: nothing does by itself.
    pub(crate) next: Option<Next>,
}

/// What comes next, and not before when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Next {
    pub(crate) what: Awaited,
    pub(crate) at: Timestamp,
}

impl Coming {
    /// What comes of a product's current restock.
    pub(crate) fn of(product: &Product) -> Self {
        Self {
            rules: product.rules.as_deref().cloned(),
            held: product.due.filter(|_| product.is_held()).map(|due| due.what),
            wave: product.wave.filter(|_| product.is_planned()),
            next: product.due.map(|due| Next { what: due.what, at: due.at }),
        }
    }

    /// What is known of a restock that is not the product's current one: only the rules that are in force of the product.
    pub(crate) fn of_earlier(product: &Product) -> Self {
        Self { rules: product.rules.as_deref().cloned(), ..Self::default() }
    }

    /// The rules for people: `waveSize 50, waveEvery 3600`.
    pub(crate) fn rules_text(&self) -> String {
        let rules = self.rules.as_ref().and_then(|rules| serde_json::to_value(rules).ok());
        let fields = rules.as_ref().and_then(Value::as_object).into_iter().flatten();
        let fields: Vec<String> = fields.map(|(name, value)| format!("{name} {}", plain(value))).collect();
        if fields.is_empty() { "none".to_owned() } else { fields.join(", ") }
    }

    /// The wave for people; `None` where there is none.
    pub(crate) fn wave_text(&self) -> Option<String> {
        let Wave { number, size, reach } = self.wave?;
        let bound = reach.priority.max(reach.mail);
        let size = size.map_or("all of a lane".to_owned(), |size| size.to_string());
        Some(format!("{number}, of {size}, up to {bound}"))
    }

    /// What comes next for people, given how a time is said.
    pub(crate) fn next_text(&self, when: impl Fn(Timestamp) -> String) -> Option<String> {
        let Next { what, at } = self.next?;
        Some(match what {
            Awaited::Release => "begins when it is released: notify-me restock release ID".to_owned(),
            Awaited::Plan => {
                format!("begins {}: its stock must hold, or no email may go out before", when(at))
            }
            Awaited::End => "the end of what is being delivered, which each sweep looks for".to_owned(),
            Awaited::Wave => format!("the next wave, {}", when(at)),
            Awaited::Lanes => format!("all others than those with priority, {}", when(at)),
        })
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => fields.values().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_said_field_by_field() {
        let of = |rules: Value| Coming {
            rules: Some(serde_json::from_value(rules).unwrap()),
            ..Coming::default()
        };
        let window = json!({ "from": "08:00", "to": "20:00", "zone": "Europe/Berlin" });
        let rules = of(json!({ "waveSize": 50, "release": "manual", "window": window }));
        assert_eq!(rules.rules_text(), "release manual, waveSize 50, window 08:00 20:00 Europe/Berlin");
        assert_eq!(of(json!({})).rules_text(), "none");
        assert_eq!(Coming::default().rules_text(), "none");
    }

    #[test]
    fn what_comes_next_is_said_with_its_time_where_it_has_one() {
        let of = |what| {
            let next = Some(Next { what, at: Timestamp::UNIX_EPOCH });
            Coming { next, ..Coming::default() }.next_text(|at| at.to_string()).unwrap()
        };
        for (what, timed) in
            [(Awaited::Plan, true), (Awaited::Wave, true), (Awaited::Release, false), (Awaited::End, false)]
        {
            assert_eq!(of(what).contains("1970"), timed, "{what:?}");
        }
        assert_eq!(Coming::default().next_text(|at| at.to_string()), None);
    }
}
