//! `notify-me suppressions add`: an address gets no email from now on.

use anyhow::Context as _;
use domain::Address;
use domain::suppression::Reason;
use jiff::Timestamp;
use serde_json::json;
use store::erase;

use crate::operate::input::input;
use crate::operate::place::{PersonArgs, TableArgs};
use crate::operate::show;

const MORE: &str = "\
The subscriptions of the address end. A reason that stands already stays where it is at least as strong: manual, bounce,
optedOut, complaint, abuse, from the weakest to the strongest.

Give `-` instead of the address to read it from standard input, so that it is in no shell history.

--json: {subscriber, reason, since, isNew}: the suppression as it stands now.";

/// The address to suppress.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The email address; `-` reads it from standard input.
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Why: manual, bounce, optedOut, complaint or abuse.
    #[arg(long, value_name = "REASON", default_value_t = Reason::Manual)]
    reason: Reason,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    person: PersonArgs,
    #[command(flatten)]
    table: TableArgs,
}

/// Suppresses.
///
/// # Errors
/// When it is no address, or the table does not answer.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let person = args.person.key(&args.table)?.person(&Address::parse(&input(&args.address)?)?);
    let store = args.table.store().await?;
    let added = erase::suppress(&store, person, args.reason, Timestamp::now()).await?.is_applied();
    let stands = store.persons().read(person).await?.suppressed;
    let stands = stands.context("it was lifted at the same moment")?;
    if args.json {
        return show::json(&json!({
            "subscriber": person,
            "reason": stands.reason,
            "since": stands.since,
            "isNew": added,
        }));
    }
    show::facts(&[
        ("subscriber", person.key_part()),
        ("reason", stands.reason.to_string()),
        ("since", show::when(stands.since, Timestamp::now())),
    ]);
    Ok(())
}
