//! The bootstrap of the function `feedback`.

// One invocation at a time, mostly waiting: a second thread would only be woken and put to sleep.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    notify_me_feedback::run().await
}
