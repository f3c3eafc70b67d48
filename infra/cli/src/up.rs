//! `notify-me up`: runs the whole system until it is told to stop.
//! This file speaks with the operator; `up/system.rs` starts and stops the parts.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use crate::console::{log_to_stderr, say};
use crate::stop::Stop;

mod data;
pub(crate) mod feedback;
mod login;
mod parts;
mod ready;
mod schedule;
mod system;

pub(crate) use ready::Addresses;
pub(crate) use system::{MAPPINGS, Options, REGION, System, TABLE, Target, aws, mapping};

/// The port that `sam local start-api` uses as well.
const PORT: u16 = 3000;

// No `///` here: it would take the place of the program's own description.
// The system's settings.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port of the API and the page on 127.0.0.1; 0 picks a free one.
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Keep the table and the inbox in this directory over restarts.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Write the addresses of all parts to this file as JSON, once everything accepts work.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Use this Kafka instead of the embedded one; missing topics are created. The login is that of
    /// the functions: KAFKA_SECURITY (plaintext, tls, plain, scram-256, scram or mtls; msk-iam works
    /// on AWS only) with KAFKA_USERNAME, KAFKA_PASSWORD, KAFKA_CLIENT_CERTIFICATE, KAFKA_CLIENT_KEY
    /// and KAFKA_CA_CERTIFICATE (PEM texts).
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Use this DynamoDB instead of the embedded one; a missing table is created.
    #[arg(long, value_name = "URL|aws")]
    dynamodb: Option<Target>,
    /// Seconds from one sweep to the next, 1 to 3600: what is due by the rules of stock comes as precisely as that.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    sweep: u64,
    /// Send emails to this SES v2 endpoint instead of the inbox. With `aws`, they really go out.
    #[arg(long, value_name = "URL|aws")]
    ses: Option<Target>,
}

#[cfg(test)]
impl Args {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn ready_file(&self) -> Option<&std::path::Path> {
        self.ready_file.as_deref()
    }
}

/// Runs the system until Ctrl-C or SIGTERM.
///
/// # Errors
/// When a part cannot be started; the message says which and what to do about it.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    log_to_stderr();
    let options = Options {
        port: args.port,
        data: args.data,
        kafka: args.kafka,
        dynamodb: args.dynamodb,
        ses: args.ses,
        sweep: Some(Duration::from_secs(args.sweep)),
        ..Options::default()
    };
    let mut stop = Stop::listen().context("cannot listen for Ctrl-C")?;
    let system = tokio::select! {
        system = System::start(options) => system?,
        () = stop.asked() => return Ok(()),
    };
    if let Some(file) = &args.ready_file
        && let Err(error) = system.addresses().write(file)
    {
        system.stop().await;
        return Err(error).with_context(|| format!("cannot write {}", file.display()));
    }
    introduce(system.addresses());

    stop.asked().await;
    if let Some(file) = &args.ready_file {
        system.addresses().remove(file);
    }
    say("Finishing what is in flight. Ctrl-C again ends at once.");
    tokio::select! {
        () = system.stop() => say("Stopped."),
        // The functions' processes end with this one.
        () = stop.asked() => std::process::exit(130),
    }
    Ok(())
}

fn introduce(addresses: &Addresses) {
    let api = &addresses.api;
    let json = "-H 'content-type: application/json'";
    say(format_args!("Notify Me runs on {api}"));
    if let Some(inbox) = &addresses.inbox {
        // The page belongs to the inbox of this machine.
        if inbox.starts_with(api) {
            say(format_args!("The shop and the inbox: {api}/"));
        }
        say(format_args!("The inbox as JSON:      {inbox}"));
    }
    say("");
    say("Try it: subscribe, put the product in stock, look into the inbox.");
    say("");
    say(format_args!(
        "  curl -X POST {api}/products/iphone15/subscriptions {json} -d '{{\"email\":\"user1@example.com\"}}'"
    ));
    say(format_args!("  curl -X PUT {api}/products/iphone15/stock {json} -d '{{\"quantity\":5}}'"));
    if let Some(inbox) = &addresses.inbox {
        say(format_args!("  curl '{inbox}?to=user1@example.com'"));
    }
    say("");
    say(format_args!("Kafka {}, DynamoDB {}, SES {}", addresses.kafka, addresses.dynamodb, addresses.ses));
    say("Ctrl-C stops everything.");
}
