//! `notify-me function NAME`: this same binary as one function's bootstrap.
//! It decides only which function runs; the environment tells the function everything else.

use anyhow::Context;
use clap::ValueEnum;

/// Which function to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    name: Name,
}

/// The functions, by the names that they have everywhere.
#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Subscribe,
    Restock,
    Notify,
    Feedback,
}

/// Serves the Runtime API named by `AWS_LAMBDA_RUNTIME_API` until the host goes away.
///
/// # Errors
/// When the function cannot start, for example because its environment is not complete.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    lambda_host::exit_with_parent().context("cannot watch for the end of the host")?;
    match args.name {
        Name::Subscribe => subscribe::run().await,
        Name::Restock => restock::run().await,
        Name::Notify => notify::run().await,
        Name::Feedback => feedback::run().await,
    }
    .map_err(|error| anyhow::anyhow!(error))
}
