//! The bootstrap of the function `subscribe`.

// The futures of a transaction, from here down to the socket, are nested deeper than the default.
#![recursion_limit = "256"]

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    subscribe::run().await
}
