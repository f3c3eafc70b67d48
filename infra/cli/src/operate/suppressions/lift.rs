//! `notify-me suppressions lift`: an address gets email again.

use anyhow::bail;
use domain::Address;
use domain::suppression::Lifter;
use serde_json::json;
use store::person::Lifting;

use crate::operate::input::input;
use crate::operate::place::{PersonArgs, TableArgs};
use crate::operate::show;

const MORE: &str = "\
The reasons bounce and manual are the operator's to lift. The others are the person's own word: they are lifted only with
--asked-by-person, where the person has asked for it. Subscriptions that ended stay ended.

SES has a list of its own: `aws sesv2 delete-suppressed-destination` takes an address off it.

Give `-` instead of the address to read it from standard input, so that it is in no shell history.

--json: {subscriber, lifted}: the reason that was lifted, or null where there was none.";

/// The address to let go.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The email address; `-` reads it from standard input.
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// The person has asked for it.
    #[arg(long)]
    asked_by_person: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    person: PersonArgs,
    #[command(flatten)]
    table: TableArgs,
}

/// Lifts.
///
/// # Errors
/// When it is not the operator's to lift, or the table does not answer.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let person = args.person.key(&args.table)?.person(&Address::parse(&input(&args.address)?)?);
    let store = args.table.store().await?;
    let lifter = if args.asked_by_person { Lifter::OperatorForPerson } else { Lifter::Operator };
    let lifted = match store.persons().lift_as(person, lifter).await? {
        Lifting::Nothing => None,
        Lifting::Lifted(reason) => Some(reason),
        Lifting::NotTheirs(reason) => bail!(
            "the reason is {reason}: that is the person's own word; use --asked-by-person if they have asked for it"
        ),
    };
    if args.json {
        return show::json(&json!({ "subscriber": person, "lifted": lifted }));
    }
    let said = lifted.map_or_else(|| "nothing: it is not suppressed".to_owned(), |reason| reason.to_string());
    show::facts(&[("subscriber", person.key_part()), ("lifted", said)]);
    Ok(())
}
