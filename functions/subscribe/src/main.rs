//! The bootstrap of the function `subscribe`.

// The futures of a transaction, from here down to the socket, are nested deeper than the default.
#![recursion_limit = "256"]

// One invocation at a time, mostly waiting: a second thread would only be woken and put to sleep.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    notify_me_subscribe::run().await
}
