//! The function `feedback`: reads what SES reports of emails after it has accepted them, from a queue or from EventBridge.
//! Addresses that take no email, and persons who complain, get none any more; the breaker pauses fan-outs.
//!
//! What an event means is decided by [`domain::feedback`]. An event is worked on before it is marked as known, and the work may be
//! repeated: so none is swallowed whose work failed, and none counts twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::breaker::sender_name;
use domain::feedback::Event;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use store::Store;

mod breaker;
mod config;
mod event;
mod marks;
mod metrics;
mod work;

pub use config::{Config, SETTINGS};
pub use event::Failed;
use event::Trigger;

/// An event, with the index of its message.
type Received = (usize, Event);
/// The messages that must come again, each with the reason.
type InVain = BTreeMap<usize, String>;

/// What the function is made of.
pub struct App {
    config: Config,
    store: Store,
    /// What the sender's pause and counts are named by.
    sender: String,
}

impl App {
    /// The function with these settings, on this table.
    pub fn new(config: Config, store: Store) -> Self {
        let sender = sender_name(&config.sender);
        Self { config, store, sender }
    }
}

/// Serves invocations until the runtime stops.
///
/// # Errors
/// When the settings make no function, or the runtime fails.
pub async fn run() -> Result<(), Error> {
    lambda::logs::init();
    let config = Config::read(&|name| std::env::var(name).ok())?;
    let metrics = metrics::start(config.function_name.clone())?;
    let store = Store::new(&lambda::aws::config().await, config.table.clone());
    let app = Arc::new(App::new(config, store));
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let app = Arc::clone(&app);
        async move {
            let answer = handle(&app, event.payload).await;
            metrics::write(metrics);
            answer
        }
    }))
    .await
}

/// Works off one invocation: reads its events, leaves out those that are known, works on the others, marks and counts those
/// whose work is done, and looks whether fan-outs are to pause. Of a batch it answers which messages must come again.
///
/// # Errors
/// When the payload is no batch and no event, and when what came without a queue could not be worked on.
pub async fn handle(app: &App, payload: Value) -> Result<Value, Failed> {
    let trigger = Trigger::read(payload)?;
    let mut in_vain = InVain::new();
    let events = read(&trigger, &mut in_vain);
    let (known, new) = marks::sort(app, events, &mut in_vain).await;
    let done = work::on_all(app, new, &mut in_vain).await;
    let marked = marks::write(app, done, &mut in_vain).await;
    breaker::look(app, marked.iter().chain(&known), &mut in_vain).await;
    trigger.answer(&in_vain)
}

/// The events. A message that holds none comes again until its queue gives it up and keeps it for an operator.
fn read(trigger: &Trigger, in_vain: &mut InVain) -> Vec<Received> {
    let mut events = Vec::new();
    for (index, message) in trigger.messages().iter().enumerate() {
        match domain::feedback::read(&message.body) {
            Ok(event) => events.push((index, event)),
            Err(reason) => {
                metrics::unreadable();
                tracing::error!(message = message.id, %reason, "an event cannot be read");
                in_vain.insert(index, reason.to_string());
            }
        }
    }
    events
}
