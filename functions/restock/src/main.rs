//! The bootstrap of the function `restock`.

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    restock::run().await
}
