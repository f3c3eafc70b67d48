//! `notify-me ses`: the captured SES and its inbox alone, where its callers can reach it.
//! Only reads the command line; the server is the one of `notify-me up`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use ses_inbox::{Options, Ses};

use crate::console::{log_to_stderr, say};
use crate::page;
use crate::stop::Stop;

const MORE: &str = "\
Examples:
  For programs on this machine:
    notify-me ses
    AWS_ENDPOINT_URL_SESV2=http://127.0.0.1:8005 your-program

  For containers, which reach this machine on Docker's bridge and not on 127.0.0.1:
    notify-me ses --listen 172.17.0.1:8005

  Any program that can reach the address can read and empty the inbox; there is no password.";

/// The captured SES's settings.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8005")]
    listen: SocketAddr,
    /// Keep the inbox in this file over restarts [default: in memory].
    #[arg(long, value_name = "FILE")]
    inbox: Option<PathBuf>,
}

impl Args {
    fn options(self) -> Options {
        Options { listen: self.listen, file: self.inbox, page: page::router(), ..Options::default() }
    }
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// When it can't listen where it was told to, or the file is not an inbox.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    log_to_stderr();
    let mut stop = Stop::listen().context("cannot listen for Ctrl-C")?;
    let ses = Ses::start(args.options()).await?;
    let url = ses.url();
    say(format_args!("SES v2 runs on {url}"));
    say(format_args!("The inbox:         {url}/"));
    say(format_args!("The inbox as JSON: {url}/_aws/ses"));
    stop.asked().await;
    tokio::select! {
        () = ses.stop() => {}
        // A caller that keeps its call open does not keep the program.
        () = stop.asked() => std::process::exit(130),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[tokio::test]
    async fn ses_and_its_inbox_are_where_the_command_line_says() {
        // All of 127.0.0.0/8 is this machine on Linux; elsewhere only its first address is.
        let address = if cfg!(target_os = "linux") { "127.0.0.2" } else { "127.0.0.1" };
        let line = Line::try_parse_from(["ses", "--listen", &format!("{address}:0")]).unwrap();
        let ses = Ses::start(line.args.options()).await.unwrap();
        assert!(ses.url().starts_with(&format!("http://{address}:")), "{}", ses.url());

        let http = crate::loopback::client_for(&ses.url()).build().unwrap();
        let mail = json!({
            "FromEmailAddress": "shop@example.com",
            "Destination": { "ToAddresses": ["user1@example.com"] },
            "Content": { "Simple": { "Subject": { "Data": "Hello" }, "Body": { "Text": { "Data": "Hello." } } } },
        });
        let sent =
            http.post(format!("{}/v2/email/outbound-emails", ses.url())).json(&mail).send().await.unwrap();
        assert_eq!(sent.status(), 200, "{:?}", sent.text().await);
        let inbox = http.get(format!("{}/_aws/ses", ses.url())).send().await.unwrap();
        let inbox: Value = inbox.json().await.unwrap();
        assert_eq!(inbox["messages"][0]["Subject"], "Hello", "{inbox:#}");
        ses.stop().await;
    }
}
