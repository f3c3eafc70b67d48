//! A system to be put through its paces: the whole of it, each of its parts where it can be looked
//! into, and the wires between `notify` and the parts.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use axum::body::Bytes;
use domain::{Address, Lane, Locale, PersonId, Position, ProductId, RestockId, Shard, ShardCount};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lambda::clock;
use lambda_host::NOTIFY;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use ses_inbox::Ses;
use store::Store;
use store::fanout::BUCKETS;
use store::waitlist::{Entry, SEEDED_AT_ONCE};
use tokio::sync::mpsc::unbounded_channel;

use super::http_tap::HttpTap;
use super::kafka_tap::KafkaTap;
use super::wire::Wire;
use crate::embedded::dynamodb::DynamoDb;
use crate::embedded::kafka::{self, Kafka};
use crate::loopback::client_for;
use crate::up::feedback::Queue;
use crate::up::{self, Options, System, Target};

/// How many requests write entries at a time.
const WRITERS: usize = 4;
/// How often it is looked whether a fan-out has ended.
const LOOK: Duration = Duration::from_millis(100);
/// How long it is looked for in vain.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long an invocation may wait for a free process.
const ROOM: Duration = Duration::from_secs(30);
const YEAR_SECONDS: i64 = 366 * 86_400;

/// What kind of system.
pub(super) struct Setup {
    /// Settings of the functions.
    pub(super) environment: Vec<(&'static str, String)>,
    /// How many processes `notify` may have.
    pub(super) processes: usize,
    /// Shards of each waitlist.
    pub(super) shards: u16,
    /// The SES account.
    pub(super) ses: ses_inbox::Options,
    /// The directory in which the table and the inbox are kept for the next system; `None` keeps them in memory.
    pub(super) data: Option<PathBuf>,
    /// The time from one sweep to the next; `None` is the default.
    pub(super) sweep: Option<Duration>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            environment: Vec::new(),
            processes: 16,
            shards: 8,
            ses: ses_inbox::Options::default(),
            data: None,
            sweep: None,
        }
    }
}

/// A running system.
pub(super) struct Lab {
    system: System,
    /// The queue of what SES reports.
    feedback: Queue,
    /// SES, behind its wire.
    pub(super) ses: Ses,
    dynamodb: DynamoDb,
    kafka: Kafka,
    /// The wires.
    pub(super) wire: Arc<Wire>,
    taps: (HttpTap, HttpTap, KafkaTap),
    /// The table, past its wire.
    pub(super) store: Store,
    producer: FutureProducer,
    shards: u16,
}

/// What came of a restock, by what the table says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    /// Taken by SES.
    pub(super) sent: u64,
    /// Passed without an email.
    pub(super) skipped: u64,
    /// In calls whose fate a kill left open.
    pub(super) in_doubt: u64,
}

/// What people got, by what SES took.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Got {
    /// Nothing.
    pub(super) lost: usize,
    /// Emails beyond the first, all together.
    pub(super) doubled: usize,
}

impl Lab {
    /// Starts everything.
    ///
    /// # Errors
    /// The first part that cannot be started.
    pub(super) async fn start(setup: Setup) -> anyhow::Result<Self> {
        let wire = Arc::new(Wire::default());
        let kept = |name| setup.data.as_ref().map(|directory| directory.join(name));
        let dynamodb = DynamoDb::start(kept("table.sqlite").as_deref()).await?;
        let (reports, events) = unbounded_channel();
        let file = kept("inbox.jsonl");
        let ses = Ses::start(ses_inbox::Options { events: Some(reports), file, ..setup.ses }).await?;
        let kafka = tokio::task::spawn_blocking(Kafka::start).await??;
        let table_tap = HttpTap::start(dynamodb.url().to_owned(), wire.clone()).await?;
        let ses_tap = HttpTap::start(ses.url(), wire.clone()).await?;
        let kafka_tap = KafkaTap::start(kafka.servers().to_owned(), wire.clone()).await?;
        let target = |url: &str| url.parse::<Target>().map_err(anyhow::Error::msg);
        let mut environment = vec![("SHARDS".to_owned(), setup.shards.to_string())];
        if std::env::var_os("RUST_LOG").is_none() {
            // What goes wrong here is meant to.
            environment.push(("RUST_LOG".to_owned(), "off".to_owned()));
        }
        environment.extend(setup.environment.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let system = System::start(Options {
            dynamodb: Some(target(&table_tap.url)?),
            ses: Some(target(&ses_tap.url)?),
            kafka: Some(kafka_tap.servers.clone()),
            environment,
            notify_processes: Some(setup.processes),
            sweep: setup.sweep,
            ..Options::default()
        })
        .await?;
        let host = system.host().clone();
        let feedback = Queue::start(host.clone(), system.addresses().region.clone(), events);
        wire.kills_with(move || host.kill(NOTIFY, 1.0));
        let aws = up::aws(false).await;
        let store = Store::at(&aws, Some(dynamodb.url()), system.addresses().table.clone());
        let producer =
            ClientConfig::new().set("bootstrap.servers", kafka.servers()).set("linger.ms", "0").create()?;
        let taps = (table_tap, ses_tap, kafka_tap);
        Ok(Self { system, feedback, ses, dynamodb, kafka, wire, taps, store, producer, shards: setup.shards })
    }

    /// Ends everything.
    pub(super) async fn stop(self) {
        self.wire.disarm();
        self.wire.kafka_is_down.store(false, Ordering::SeqCst);
        self.feedback.stop().await;
        self.system.stop().await;
        self.taps.0.stop();
        self.taps.1.stop();
        self.taps.2.stop();
        self.ses.stop().await;
        self.dynamodb.stop().await;
        // Its thread ends within moments.
        let _ = tokio::task::spawn_blocking(move || self.kafka.stop()).await;
    }

    /// Lets `count` people wait for a product, spread over its shards. They are written to the
    /// table as `subscribe` would, but for the subscriptions, which telling them does not look at.
    ///
    /// # Errors
    /// When the table does not take them.
    pub(super) async fn seed(
        &self,
        product: &ProductId,
        count: usize,
        written: impl Fn(usize),
    ) -> anyhow::Result<()> {
        let now_ms = clock::now_ms();
        let ttl = clock::now().as_second() + YEAR_SECONDS;
        let shards = ShardCount::new(self.shards).context("no number of shards")?;
        ensure!(
            self.store.products().raise_shards(product, Lane::Mail, shards).await?.is_applied(),
            "{product} has more than {} shards",
            self.shards
        );
        let batches = (0..count).step_by(SEEDED_AT_ONCE).map(|from| {
            let written = &written;
            async move {
                let to = (from + SEEDED_AT_ONCE).min(count);
                let entries = (from..to).map(|number| {
                    let shard =
                        Shard::mail(u16::try_from(number % usize::from(self.shards)).unwrap_or_default());
                    let email = address(product, number);
                    let entry = Entry {
                        moved: false,
                        // Drills let nobody leave.
                        subscriber: PersonId::from_bytes((number as u128).to_be_bytes()),
                        address: Address::parse(&email).map_err(|_| anyhow::anyhow!("not an address"))?,
                        locale: Locale::default(),
                        name: None,
                        ttl,
                    };
                    // A minute ago and in their order.
                    let at = Position::new(now_ms - 60_000 + number as u64 / 1_000, number as u128);
                    anyhow::Ok((shard, at, entry))
                });
                let entries = entries.collect::<Result<Vec<_>, _>>()?;
                self.store.seed_entries(product, entries).await.context("people could not be written")?;
                written(to);
                Ok(())
            }
        });
        stream::iter(batches).buffer_unordered(WRITERS).try_collect().await
    }

    /// Puts a product in stock (or, with none, out of it).
    ///
    /// # Errors
    /// When Kafka does not take it.
    pub(super) async fn stock(
        &self,
        product: &ProductId,
        restock: &RestockId,
        quantity: u64,
    ) -> anyhow::Result<()> {
        let value = json!({
            "productId": product, "restockId": restock, "quantity": quantity, "occurredAt": jiff::Timestamp::now(),
        });
        self.produce(kafka::RESTOCKS, product.as_str(), &value.to_string()).await.map(drop)
    }

    /// Writes a record past the wire, and gives its partition and its offset.
    ///
    /// # Errors
    /// When Kafka does not take it.
    pub(super) async fn produce(&self, topic: &str, key: &str, value: &str) -> anyhow::Result<(i32, i64)> {
        let record = FutureRecord::to(topic).key(key).payload(value);
        let sent = self.producer.send(record, Duration::from_secs(10)).await;
        let sent = sent.map_err(|(error, _)| error).context("Kafka does not take a record")?;
        Ok((sent.partition, sent.offset))
    }

    /// Kills each process of `notify` with this chance.
    pub(super) fn kill(&self, chance: f64) {
        self.system.host().kill(NOTIFY, chance);
    }

    /// How many processes of `notify` were killed at work so far.
    pub(super) fn hit(&self) -> u64 {
        self.system.host().hit(NOTIFY)
    }

    /// What answers the next writes of producers as if another one had taken their place.
    pub(super) fn fence(&self, writes: usize) -> impl Fn() + Send + use<> {
        self.kafka.fence(writes)
    }

    /// Lets SES misbehave; see `ses/faults.rs`.
    ///
    /// # Errors
    /// When it does not take that.
    pub(super) async fn ses_faults(&self, faults: &Value) -> anyhow::Result<()> {
        let url = format!("{}/_aws/ses/faults", self.ses.url());
        client_for(&url).build()?.put(url).json(faults).send().await?.error_for_status()?;
        Ok(())
    }

    /// Lets every part work again.
    ///
    /// # Errors
    /// When SES cannot be told.
    pub(super) async fn mend(&self) -> anyhow::Result<()> {
        self.wire.disarm();
        self.wire.kafka_is_down.store(false, Ordering::SeqCst);
        self.ses_faults(&json!({})).await
    }

    /// Kafka as `notify`'s mappings see it.
    pub(super) fn servers(&self) -> &str {
        &self.taps.2.servers
    }

    /// Kafka, past its wire.
    pub(super) fn kafka_servers(&self) -> &str {
        self.kafka.servers()
    }

    /// The Invoke API.
    pub(super) fn api(&self) -> &str {
        &self.system.addresses().api
    }

    /// The sweep, for every fan-out that is not finished.
    pub(super) async fn sweep(&self) {
        let event = json!({
            "source": "aws.events", "detail-type": "Scheduled Event", "detail": { "olderThanSeconds": 0 },
        });
        // One that fails is followed by another.
        let _ = self.system.host().invoke(NOTIFY, Bytes::from(event.to_string()), ROOM).await;
    }

    /// Which products have a fan-out that is not finished.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) async fn unfinished(&self) -> anyhow::Result<Vec<ProductId>> {
        let mut products = Vec::new();
        for number in 0..BUCKETS.get() {
            let mut bucket = self.store.fan_outs().bucket(number);
            while let Some(page) = bucket.next().await? {
                products.extend(page.into_iter().flatten().map(|found| found.job.product_id));
            }
        }
        Ok(products)
    }

    /// Waits until a restock is planned and delivered.
    ///
    /// # Errors
    /// When that takes too long.
    pub(super) async fn settled(&self, product: &ProductId, restock: &RestockId) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let known = self.store.products().get(product).await?;
            let planned = known.is_some_and(|known| known.bound_of.as_ref() == Some(restock));
            // Jobs are written down before the record of the restock is committed.
            if planned && self.drained().await? && !self.unfinished().await?.contains(product) {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                bail!("{product} is not told after {} s", PATIENCE.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn drained(&self) -> anyhow::Result<bool> {
        let servers = self.kafka.servers().to_owned();
        Ok(tokio::task::spawn_blocking(move || kafka::drain(&servers, kafka::RESTOCKS, Duration::ZERO))
            .await??)
    }

    /// What the table says of a restock.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn counted(&self, restock: &RestockId) -> anyhow::Result<Counted> {
        let mut counted = Counted::default();
        for shard in (0..self.shards).map(Shard::mail) {
            if let Some(tally) = self.store.summaries().shard(restock, shard, clock::now()).await? {
                counted.sent += tally.sent;
                counted.skipped += tally.skipped;
                counted.in_doubt += tally.in_doubt;
            }
        }
        Ok(counted)
    }

    /// How many were written down as passed in a restock.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) async fn written_down(&self, restock: &RestockId) -> anyhow::Result<usize> {
        let failures: u64 = self.store.summaries().failures(restock, clock::now()).await?.into_values().sum();
        Ok(usize::try_from(failures)?)
    }

    /// What the subscribers of each product got.
    pub(super) fn got(&self, products: &[(ProductId, usize)]) -> HashMap<String, Got> {
        let mut mails = HashMap::<String, usize>::new();
        for mail in self.ses.captured() {
            *mails.entry(mail.to).or_default() += 1;
        }
        let of = |(product, count): &(ProductId, usize)| {
            let mut got = Got::default();
            for number in 0..*count {
                let times = mails.get(&address(product, number)).copied().unwrap_or_default();
                got.lost += usize::from(times == 0);
                got.doubled += times.saturating_sub(1);
            }
            (product.to_string(), got)
        };
        products.iter().map(of).collect()
    }
}

/// A product and its restock, both of this name.
///
/// # Errors
/// When it is none that an id may have.
pub(super) fn names(name: &str) -> anyhow::Result<(ProductId, RestockId)> {
    let wrong = |_| anyhow::anyhow!("{name} is not a name");
    Ok((ProductId::parse(name).map_err(wrong)?, RestockId::parse(name).map_err(wrong)?))
}

/// The address of a product's `number`th subscriber.
pub(super) fn address(product: &ProductId, number: usize) -> String {
    format!("{number}.{product}@example.com")
}
