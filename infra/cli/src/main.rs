//! The program `notify-me`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    notify_me::run().await
}
