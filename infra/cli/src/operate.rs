//! Commands for the operator: they ask a system's table and Kafka, and answer on standard output, as a table for
//! people or, with `--json`, as one document. This file only names them; each has a file of its own.

pub(crate) mod dead_letters;
mod input;
mod person_erase;
mod person_export;
mod place;
mod preview;
mod restock_release;
pub(crate) mod restock_status;
pub(crate) mod sending;
mod show;
mod suppressions;
pub(crate) mod told;
mod verdict;
mod waitlist_queries;
pub(crate) mod waitlist_show;

/// What can be asked of a restock.
#[derive(clap::Subcommand)]
pub(crate) enum Restock {
    /// Show how far a restock is, shard by shard.
    Status(restock_status::Args),
    /// Let a restock begin that waits for it, after showing whom that would tell.
    Release(restock_release::Args),
}

/// What can be asked of a waitlist.
#[derive(clap::Subcommand)]
pub(crate) enum Waitlist {
    /// Show the subscribers of a product, and how far its waitlist is delivered.
    Show(waitlist_show::Args),
}

/// What can be asked of what is kept of a person.
#[derive(clap::Subcommand)]
pub(crate) enum Person {
    /// Show everything that is kept of a person.
    Export(person_export::Args),
    /// End every subscription of a person, and erase what is kept of them.
    Erase(person_erase::Args),
}

/// What can be done with the list of those who get no email.
#[derive(clap::Subcommand)]
pub(crate) enum Suppressions {
    /// List those who get no email, by hash.
    List(suppressions::list::Args),
    /// Let an address get no email, and end its subscriptions.
    Add(suppressions::add::Args),
    /// Let an address get email again.
    Lift(suppressions::lift::Args),
    /// Take over SES's account-level suppression list, or a list in a file.
    Import(suppressions::import::Args),
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
    /// Answers, or does what is asked.
    ///
    /// # Errors
    /// When the restock is not known, or waits for no release, or the table does not answer.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        crate::console::log_to_stderr();
        match self {
            Self::Status(args) => restock_status::run(args).await,
            Self::Release(args) => restock_release::run(args).await,
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

impl Person {
    /// Does what is asked.
    ///
    /// # Errors
    /// When nothing is kept of the person, or the table does not answer.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        crate::console::log_to_stderr();
        match self {
            Self::Export(args) => person_export::run(args).await,
            Self::Erase(args) => person_erase::run(args).await,
        }
    }
}

impl Suppressions {
    /// Does what is asked.
    ///
    /// # Errors
    /// When it may not be done, or the table or SES does not answer.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        crate::console::log_to_stderr();
        match self {
            Self::List(args) => suppressions::list::run(args).await,
            Self::Add(args) => suppressions::add::run(args).await,
            Self::Lift(args) => suppressions::lift::run(args).await,
            Self::Import(args) => suppressions::import::run(args).await,
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
