//! The bootstrap of the function `subscribe`.

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    subscribe::run().await
}
