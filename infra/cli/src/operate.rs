//! Commands for the operator: they ask a system's table and Kafka, and answer on standard output, as a table for
//! people or, with `--json`, as one document. This file only names them; each has a file of its own.

pub(crate) mod dead_letters;
mod place;
mod preview;
pub(crate) mod restock_status;
pub(crate) mod sending;
mod show;
pub(crate) mod told;
mod verdict;
mod waitlist_queries;
pub(crate) mod waitlist_show;

/// What can be asked of a restock.
#[derive(clap::Subcommand)]
pub(crate) enum Restock {
    /// Show how far a restock is, shard by shard.
    Status(restock_status::Args),
}

/// What can be asked of a waitlist.
#[derive(clap::Subcommand)]
pub(crate) enum Waitlist {
    /// Show the subscribers of a product, and how far its waitlist is delivered.
    Show(waitlist_show::Args),
}

/// What can be done about the emails of fan-outs.
#[derive(clap::Subcommand)]
pub(crate) enum Sending {
    /// Show whether fan-outs pause, and what came of their emails.
    Status(sending::Args),
    /// Pause all fan-outs; subscriptions go on.
    Pause(sending::PauseArgs),
    /// Let fan-outs go on where they stopped.
    Resume(sending::Args),
}

/// What can be done with records that could not be read.
#[derive(clap::Subcommand)]
pub(crate) enum DeadLetters {
    /// List dead letters; changes nothing.
    List(dead_letters::ListArgs),
    /// Write dead letters back to the topics they came from.
    Replay(dead_letters::ReplayArgs),
}

impl Restock {
    /// Answers.
    ///
    /// # Errors
    /// When the restock is not known, or the table does not answer.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        crate::console::log_to_stderr();
        match self {
            Self::Status(args) => restock_status::run(args).await,
        }
    }
}

impl Waitlist {
    /// Answers.
    ///
    /// # Errors
    /// When the product is not known, or the table does not answer.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        crate::console::log_to_stderr();
        match self {
            Self::Show(args) => waitlist_show::run(args).await,
        }
    }
}

impl Sending {
    /// Does what is asked.
    ///
    /// # Errors
    /// When the sender is not known, or the table does not answer.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        crate::console::log_to_stderr();
        match self {
            Self::Status(args) => sending::status(args).await,
            Self::Pause(args) => sending::pause(args).await,
            Self::Resume(args) => sending::resume(args).await,
        }
    }
}

impl DeadLetters {
    /// Does what is asked.
    ///
    /// # Errors
    /// When a topic or a record is not there, or Kafka does not answer.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        crate::console::log_to_stderr();
        match self {
            Self::List(args) => dead_letters::list(args).await,
            Self::Replay(args) => dead_letters::replay(args).await,
        }
    }
}
