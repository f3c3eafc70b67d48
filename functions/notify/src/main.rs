//! The bootstrap of the function `notify`.

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    notify::run().await
}
