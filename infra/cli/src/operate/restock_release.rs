//! `notify-me restock release`: lets a restock begin that waits for it, after it has shown whom that would tell.

use anyhow::bail;
use domain::{ProductId, RestockId};
use jiff::Timestamp;
use serde::Serialize;
use store::release::{Outlook, Release, outlook, release};
use store::waitlist::Counting;

use super::place::TableArgs;
use super::show;

const MORE: &str = "\
A restock under the rule `release: manual` is held back until somebody releases it. First this shows the product, how many
wait for it and how many are told first; then it releases the restock, and the next sweep, within a minute, begins with it.
If the rules say that stock must hold a while (`settle`), it begins once it has.

--json: {restockId, productId, inStock, waiting, precision, firstWave, released, beginsAt}. `firstWave` is null where all are
told at once; `released` and `beginsAt` are false and null under --dry-run. `precision` is `exact`, or `atLeast` beyond a
million in a shard.";

/// Which restock.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The restock's id, as the answer to the stock update gives it.
    #[arg(value_name = "ID")]
    restock: String,
    /// Only show whom it would tell.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    restock_id: RestockId,
    product_id: ProductId,
    in_stock: bool,
    waiting: u64,
    precision: &'static str,
    first_wave: Option<u64>,
    released: bool,
    begins_at: Option<Timestamp>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let restock = RestockId::parse(&args.restock)?;
    let store = args.table.store().await?;
    let Some(known) = outlook(&store, &restock, Counting::Thorough, Timestamp::now()).await? else {
        bail!(unknown(&restock));
    };
    if let Some(why) = known.not_held {
        bail!("restock {restock} of product {} is not held: {why}", known.product);
    }
    if !args.json {
        tell(&known);
    }
    let mut begins_at = None;
    if !args.dry_run {
        begins_at = match release(&store, &restock, Timestamp::now()).await? {
            Release::Released { at, .. } => Some(at),
            Release::NotHeld { product, why } => {
                bail!("restock {restock} of product {product} is not held any more: {why}")
            }
            Release::Unknown => bail!(unknown(&restock)),
        };
    }
    if args.json {
        return show::json(&Document::new(known, begins_at));
    }
    crate::console::say("");
    crate::console::say(match begins_at {
        None => "Not released: this was a dry run.".to_owned(),
        Some(at) if at > Timestamp::now() => {
            format!("Released. It begins {}, once its stock has held.", show::when(at, Timestamp::now()))
        }
        Some(_) => "Released. It begins with the next sweep.".to_owned(),
    });
    Ok(())
}

fn unknown(restock: &RestockId) -> String {
    format!(
        "no restock {restock} is held or planned: no subscriber waited for it, or it is unknown, not processed yet, or a \
         sell-out"
    )
}

/// Whom it would tell.
fn tell(known: &Outlook) {
    let first = known.first_wave.map_or("everybody".to_owned(), |size| format!("up to {size}"));
    show::facts(&[
        ("restock", known.restock.to_string()),
        ("product", known.product.to_string()),
        ("waiting", show::number(known.waiting.number, known.waiting.exact)),
        ("told first", first),
    ]);
}

impl Document {
    fn new(known: Outlook, begins_at: Option<Timestamp>) -> Self {
        Self {
            restock_id: known.restock,
            product_id: known.product,
            in_stock: known.in_stock,
            waiting: known.waiting.number,
            precision: known.waiting.precision(),
            first_wave: known.first_wave,
            released: begins_at.is_some(),
            begins_at,
        }
    }
}
