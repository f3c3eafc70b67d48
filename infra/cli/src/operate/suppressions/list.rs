//! `notify-me suppressions list`: those who get no email, and why.

use domain::PersonId;
use domain::suppression::Reason;
use jiff::Timestamp;
use serde::Serialize;

use crate::operate::place::TableArgs;
use crate::operate::show;

const MORE: &str = "\
A subscriber is known here by a hash: the address itself is kept nowhere. `notify-me person export ADDRESS` says whether a
certain address is suppressed.

--json: {suppressions: [{subscriber, reason, since}], unreadable}.";

/// Which table.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableArgs,
}

#[derive(Default, Serialize)]
struct List {
    suppressions: Vec<Row>,
    unreadable: usize,
}

#[derive(Serialize)]
struct Row {
    subscriber: PersonId,
    reason: Reason,
    since: Timestamp,
}

/// Lists.
///
/// # Errors
/// When the table does not answer.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let store = args.table.store().await?;
    let (mut parts, mut list) = (store.suppressed(), List::default());
    while let Some(part) = parts.next().await? {
        let rows = part.found.into_iter();
        list.suppressions.extend(rows.map(|(subscriber, found)| Row {
            subscriber,
            reason: found.reason,
            since: found.since,
        }));
        list.unreadable += part.unreadable;
    }
    list.suppressions.sort_by_key(|row| row.since);
    if args.json {
        return show::json(&list);
    }
    let now = Timestamp::now();
    let rows = list
        .suppressions
        .iter()
        .map(|row| vec![row.subscriber.key_part(), row.reason.to_string(), show::when(row.since, now)]);
    show::table(3, &["subscriber", "reason", "since"], rows);
    if list.unreadable > 0 {
        show::facts(&[("unreadable", list.unreadable.to_string())]);
    }
    Ok(())
}
