//! `notify-me person erase`: the end of what is kept of a person.

use domain::UserId;
use serde::Serialize;
use store::{erase, people};

use super::person_export::named;
use super::place::{PersonArgs, TableArgs};
use super::show;

const MORE: &str = "\
Every subscription ends, pending ones too, and the address is gone from the table. Kept by hash are the consents, as a proof,
until their own time is over, and a suppression, so that it is kept. To erase twice does no harm, and a command that was
interrupted is repeated for the rest.

Give `-` instead of the address to read it from standard input, so that it is in no shell history.

--json: {subscribers, subscriptions, consentsKept, suppressionsKept}, each a number.";

/// The person to erase.
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

/// What was done.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Erased {
    subscribers: usize,
    subscriptions: usize,
    consents_kept: usize,
    suppressions_kept: usize,
}

/// Erases.
///
/// # Errors
/// When the table does not answer: a part may be done then, and the same again does the rest.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let (text, key) = (named(&args.address)?, args.person.key(&args.table)?);
    let store = args.table.store().await?;
    let user = UserId::parse(&text).ok();
    let mut done = Erased::default();
    for person in people::named(&store, &key, &text).await? {
        let erased = erase::erase(&store, person, user.as_ref()).await?;
        done.subscribers += 1;
        done.subscriptions += erased.subscriptions;
        done.consents_kept += erased.consents_kept;
        done.suppressions_kept += usize::from(erased.suppression_kept);
    }
    if args.json {
        return show::json(&done);
    }
    show::facts(&[
        ("subscriptions ended", done.subscriptions.to_string()),
        ("consents kept, by hash", done.consents_kept.to_string()),
        ("suppressions kept, by hash", done.suppressions_kept.to_string()),
    ]);
    Ok(())
}
