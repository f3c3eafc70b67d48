//! The bootstrap of the function `notify`.

// The futures of a fan-out, from here down to the socket, are nested deeper than the default.
#![recursion_limit = "256"]

// One invocation at a time, mostly waiting: a second thread would only be woken and put to sleep.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    notify_me_notify::run().await
}
