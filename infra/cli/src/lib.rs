//! `notify-me`: the whole system on one machine, and the tools around it.
//! This file only reads the command line and hands over; each command has a file of its own. What is public here is for
//! the benchmarks, which measure with the same parts.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod coming;
pub mod console;
mod drill;
pub mod embedded;
mod functions;
mod loopback;
mod operate;
mod page;
mod poll;
pub mod report;
mod ses;
mod simulate;
mod stop;
mod topics;
mod up;

/// Back-in-stock notifications: the whole system on this machine, and the tools around it.
#[derive(Parser)]
#[command(name = "notify-me", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Without a command the system runs, so its options stand without one as well.
    #[command(flatten)]
    up: up::Args,
}

impl Cli {
    /// What it asks for.
    fn wanted(self) -> Command {
        self.command.unwrap_or(Command::Up(self.up))
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole system on this machine (the default).
    Up(up::Args),
    /// Play an inventory service and its shoppers, and check the emails.
    Simulate(simulate::Args),
    /// Poll any Kafka and invoke any Lambda endpoint, like an event source mapping.
    Poll(poll::Args),
    /// Run only the captured SES and its inbox, for programs that run elsewhere, such as containers.
    Ses(ses::Args),
    /// Kill processes, inject faults, load and pace the system, and check the emails.
    Drill(drill::Args),
    /// Show the progress of a restock.
    #[command(subcommand)]
    Restock(operate::Restock),
    /// Show the waiting subscribers.
    #[command(subcommand)]
    Waitlist(operate::Waitlist),
    /// Show whether an address was notified.
    Told(operate::told::Args),
    /// Show, pause and resume the sending of fan-outs.
    #[command(subcommand)]
    Sending(operate::Sending),
    /// Show or erase what is kept of a person.
    #[command(subcommand)]
    Person(operate::Person),
    /// List, add, lift and import suppressions: addresses that get no email.
    #[command(subcommand)]
    Suppressions(operate::Suppressions),
    /// Create the topics on any Kafka, or check which are missing.
    Topics(topics::Args),
    /// List and replay records that could not be read.
    #[command(subcommand)]
    DeadLetters(operate::DeadLetters),
    /// Run one function against the Runtime API named by the environment.
    #[command(hide = true)]
    Function(functions::command::Args),
}

/// Does what the command line asks for.
pub async fn run() -> ExitCode {
    let ended = match Cli::parse().wanted() {
        Command::Up(args) => up::run(args).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Poll(args) => poll::run(args).await,
        Command::Ses(args) => ses::run(args).await,
        Command::Drill(args) => drill::run(args).await,
        Command::Restock(command) => command.run().await,
        Command::Waitlist(command) => command.run().await,
        Command::Told(args) => operate::told::run(args).await,
        Command::Sending(command) => command.run().await,
        Command::Person(command) => command.run().await,
        Command::Suppressions(command) => command.run().await,
        Command::Topics(args) => topics::run(args).await,
        Command::DeadLetters(command) => command.run().await,
        Command::Function(args) => functions::command::run(args).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_options_of_up_stand_without_it_too() {
        Cli::command().debug_assert();
        for line in [&[][..], &["up"]] {
            let Command::Up(args) = parsed(line).unwrap() else { panic!("{line:?} is not up") };
            assert_eq!((args.port(), args.ready_file()), (3000, None), "{line:?}");
        }
        for line in
            [&["--port", "0", "--ready-file", "r.json"][..], &["up", "--ready-file", "r.json", "--port", "0"]]
        {
            let Command::Up(args) = parsed(line).unwrap() else { panic!("{line:?} is not up") };
            let file = std::path::Path::new("r.json");
            assert_eq!((args.port(), args.ready_file()), (0, Some(file)), "{line:?}");
        }
        assert!(matches!(parsed(&["simulate"]), Ok(Command::Simulate(_))));
    }

    #[test]
    fn what_nobody_knows_is_refused_by_its_name() {
        for (line, named) in [
            (&["--prot", "0"][..], "--prot"),
            (&["upp"], "upp"),
            (&["--port", "many"], "many"),
            (&["--port", "0", "simulate"], "simulate"),
        ] {
            let refusal = parsed(line).map(drop).unwrap_err().to_string();
            assert!(refusal.contains(named), "{line:?}: {refusal}");
        }
    }

    fn parsed(line: &[&str]) -> Result<Command, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"notify-me").chain(line)).map(Cli::wanted)
    }
}
