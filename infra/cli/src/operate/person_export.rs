//! `notify-me person export`: everything that is kept of a person.

use anyhow::{Context as _, bail};
use domain::{Address, UserId};
use jiff::Timestamp;
use serde_json::Value;
use store::people;

use super::input::input;
use super::place::{PersonArgs, TableArgs};
use super::show;

const MORE: &str = "\
Give `-` instead of the address to read it from standard input, so that it is in no shell history.

--json is what the person is owed: {exportedAt, subscribers: [{subscriber, confirmedAt, suppression: {reason, since} or null,
bounces, subscriptions: [{productId, productName, state, askedAt, confirmedAt, channel, locale, userId, email, name,
keptUntil}], consents: [{productId, askedAt, confirmedAt, source, page, locale, words, keptUntil}], unreadable}]}.
`subscriber` is the hash that the table has in place of the address; `unreadable` counts items that cannot be read. Only the
JSON shows addresses and names.";

/// The person to ask about.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The email address, or the shop's id of a shopper; `-` reads it from standard input.
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    person: PersonArgs,
    #[command(flatten)]
    table: TableArgs,
}

/// The argument, or what standard input says for `-`, where it can name a person.
///
/// # Errors
/// When it is neither an address nor a user id.
pub(super) fn named(argument: &str) -> anyhow::Result<String> {
    let text = input(argument)?;
    if Address::parse(&text).is_err() && UserId::parse(&text).is_err() {
        bail!("this is neither an email address nor a user id");
    }
    Ok(text)
}

/// Answers.
///
/// # Errors
/// When nothing is kept of the person, or the table does not answer.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let (text, key) = (named(&args.address)?, args.person.key(&args.table)?);
    let store = args.table.store().await?;
    let persons = people::named(&store, &key, &text).await?;
    let export = people::export(&store, &persons, Timestamp::now()).await?;
    if export.is_empty() {
        bail!("nothing is kept of this person");
    }
    if args.json {
        return show::json(&export);
    }
    tell(&serde_json::to_value(&export).context("an export is JSON")?);
    Ok(())
}

/// Says it to people, without addresses and names.
fn tell(export: &Value) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    for one in list(&export["subscribers"]) {
        let suppressed = match &one["suppression"] {
            Value::Null => "no".to_owned(),
            found => format!("{}, since {}", word(&found["reason"]), word(&found["since"])),
        };
        show::facts(&[
            ("subscriber", word(&one["subscriber"])),
            ("confirmed", word(&one["confirmedAt"])),
            ("suppressed", suppressed),
            ("consents", list(&one["consents"]).len().to_string()),
            ("unreadable", one["unreadable"].to_string()),
        ]);
        let rows = list(&one["subscriptions"])
            .into_iter()
            .map(|found| vec![word(&found["productId"]), word(&found["state"]), word(&found["askedAt"])]);
        show::table(3, &["product", "state", "asked"], rows);
    }
}
