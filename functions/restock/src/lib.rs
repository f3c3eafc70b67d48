//! Placeholder while the function is being written.
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

/// Serves invocations until the runtime stops.
pub async fn run() -> Result<(), Error> {
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| async move {
        Ok::<_, Error>(event.payload)
    }))
    .await
}
