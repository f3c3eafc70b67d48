//! The poller between a Kafka (librdkafka's mock cluster) and an Invoke API written here.
//! Every test has its own cluster; a new group waits three seconds there before it is served.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::post;
use http::StatusCode;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{LambdaEndpoint, Mapping, Poller, StartingPosition};

const PATIENCE: Duration = Duration::from_secs(25);
const TOPIC: &str = "restocked";
const DEAD: &str = "restocked-dlq";

// ---- a Kafka ----

struct Kafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: FutureProducer,
}

impl Kafka {
    fn start(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, partitions, 1).unwrap();
        cluster.create_topic(DEAD, 1, 1).unwrap();
        let producer =
            ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
        Self { cluster, producer }
    }

    fn mapping(&self) -> Mapping {
        let mut mapping = Mapping::new(self.cluster.bootstrap_servers(), [TOPIC], "notify");
        mapping.window = Duration::from_millis(20);
        mapping.stop_grace = Duration::from_secs(5);
        // The mock cluster waits for about a session before it serves a group that lost a member.
        mapping.kafka = [
            ("statistics.interval.ms", "100"),
            ("session.timeout.ms", "3000"),
            ("heartbeat.interval.ms", "500"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        mapping
    }

    async fn write(&self, partition: i32, values: impl IntoIterator<Item = impl AsRef<str>>) {
        let sent: Vec<_> = values
            .into_iter()
            .map(|value| {
                let record = FutureRecord::to(TOPIC).partition(partition).key("k").payload(value.as_ref());
                self.producer.send_result(record).map_err(|(error, _)| error).unwrap()
            })
            .collect();
        for delivery in sent {
            delivery.await.unwrap().unwrap();
        }
    }

    fn committed(&self, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("group.id", "notification-service")
            .create()
            .unwrap();
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(TOPIC, partition);
        let found = consumer.committed_offsets(wanted, Duration::from_secs(10)).unwrap();
        match found.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// So many records of the failure destination: value and headers.
    fn dead(&self, count: usize) -> Vec<(Option<String>, HashMap<String, String>)> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("group.id", "reader")
            .create()
            .unwrap();
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(DEAD, 0, Offset::Beginning).unwrap();
        consumer.assign(&from).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut found = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        // One poll more than there should be, so that one too many is seen.
        while found.len() < count || Instant::now() < deadline {
            let Some(message) = consumer.poll(Duration::from_millis(300)) else {
                if found.len() >= count {
                    break;
                }
                assert!(Instant::now() < deadline, "only {} dead letters", found.len());
                continue;
            };
            let Ok(message) = message else { continue };
            let headers = message.headers().unwrap().iter();
            let headers = headers.map(|h| (h.key.to_owned(), text(h.value.unwrap_or_default()))).collect();
            found.push((message.payload().map(text), headers));
        }
        found
    }
}

// ---- a Lambda ----

/// One invocation as the function saw it.
#[derive(Clone, Debug)]
struct Call {
    event: Value,
    lane: String,
    offsets: Vec<i64>,
    values: Vec<String>,
}

#[derive(Clone)]
enum Reply {
    Success,
    Answer(Value),
    Error,
    Status(u16, &'static str),
    /// Succeeds after a while.
    After(Duration),
}

type Script = dyn Fn(&Call, usize) -> Reply + Send + Sync;

#[derive(Clone)]
struct Lambda {
    calls: Arc<Mutex<Vec<(Call, bool)>>>,
    busy: Arc<Mutex<HashMap<String, usize>>>,
    most_busy_in_lane: Arc<AtomicUsize>,
    most_busy: Arc<AtomicUsize>,
    script: Arc<Script>,
    address: SocketAddr,
}

impl Lambda {
    /// `script` gets each call, and how many came before it.
    async fn start(script: impl Fn(&Call, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    fn start_at(
        listener: TcpListener,
        script: impl Fn(&Call, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let (give, take) = tokio::sync::oneshot::channel::<Lambda>();
        tokio::spawn(async move {
            let state = take.await.unwrap();
            let app = Router::new()
                .route("/2015-03-31/functions/{name}/invocations", post(invocation))
                .layer(axum::extract::DefaultBodyLimit::disable())
                .with_state(state);
            axum::serve(listener, app).await.unwrap();
        });
        let lambda = Self {
            calls: Arc::default(),
            busy: Arc::default(),
            most_busy_in_lane: Arc::default(),
            most_busy: Arc::default(),
            script: Arc::new(script),
            address,
        };
        assert!(give.send(lambda.clone()).is_ok());
        lambda
    }

    fn endpoint(&self) -> LambdaEndpoint {
        LambdaEndpoint::Url(format!("http://{}", self.address))
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().iter().map(|(call, _)| call.clone()).collect()
    }

    /// The values of invocations that succeeded, of one partition, in order.
    fn taken(&self, partition: i32) -> Vec<String> {
        let lane = format!("{TOPIC}-{partition}");
        let calls = self.calls.lock().unwrap();
        calls
            .iter()
            .filter(|(call, ok)| *ok && call.lane == lane)
            .flat_map(|(call, _)| call.values.clone())
            .collect()
    }

    fn taken_all(&self) -> usize {
        self.calls.lock().unwrap().iter().filter(|(_, ok)| *ok).map(|(call, _)| call.values.len()).sum()
    }
}

async fn invocation(State(lambda): State<Lambda>, body: Bytes) -> axum::response::Response {
    let event: Value = serde_json::from_slice(&body).unwrap();
    let records = event["records"].as_object().unwrap();
    assert_eq!(records.len(), 1, "one partition in one payload");
    let (lane, records) = records.iter().next().unwrap();
    let decode = |value: &Value| {
        use base64::Engine as _;
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let records = records.as_array().unwrap();
    let call = Call {
        lane: lane.clone(),
        offsets: records.iter().map(|record| record["offset"].as_i64().unwrap()).collect(),
        values: records.iter().map(|record| decode(&record["value"])).collect(),
        event: event.clone(),
    };
    {
        let mut busy = lambda.busy.lock().unwrap();
        *busy.entry(call.lane.clone()).or_default() += 1;
        lambda.most_busy_in_lane.fetch_max(busy[&call.lane], Ordering::SeqCst);
        lambda.most_busy.fetch_max(busy.values().sum(), Ordering::SeqCst);
    }
    let reply = {
        let mut calls = lambda.calls.lock().unwrap();
        let reply = (lambda.script)(&call, calls.len());
        calls.push((call.clone(), false));
        reply
    };
    let mine = lambda
        .calls
        .lock()
        .unwrap()
        .iter()
        .rposition(|(other, _)| other.offsets == call.offsets && other.lane == call.lane);
    tokio::time::sleep(match reply {
        Reply::After(time) => time,
        _ => Duration::from_millis(5),
    })
    .await;
    *lambda.busy.lock().unwrap().get_mut(&call.lane).unwrap() -= 1;
    match reply {
        Reply::Success | Reply::After(_) | Reply::Answer(_) => {
            let answer = if let Reply::Answer(answer) = reply { answer } else { Value::Null };
            lambda.calls.lock().unwrap()[mine.unwrap()].1 = answer.is_null();
            axum::Json(answer).into_response()
        }
        Reply::Error => (
            [("X-Amz-Function-Error", "Unhandled")],
            axum::Json(json!({"errorType": "Boom", "errorMessage": "on purpose"})),
        )
            .into_response(),
        Reply::Status(status, code) => (
            StatusCode::from_u16(status).unwrap(),
            [("X-Amzn-Errortype", code)],
            axum::Json(json!({"Type": "User", "message": "on purpose"})),
        )
            .into_response(),
    }
}

// ---- helpers ----

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

// ---- the tests ----

#[tokio::test(flavor = "multi_thread")]
async fn each_partition_keeps_its_order_under_retries_while_others_go_on() {
    let kafka = Kafka::start(3);
    for partition in 0..3 {
        kafka.write(partition, numbered(0..30)).await;
    }
    // Partition 0 fails on every first sight of a batch, partition 1 never gets past its fourth.
    let seen = Mutex::new(std::collections::HashSet::new());
    let lambda = Lambda::start(move |call, _| match call.lane.as_str() {
        "restocked-0" if seen.lock().unwrap().insert(call.offsets.clone()) => Reply::Error,
        "restocked-1" if call.offsets.iter().any(|offset| *offset >= 15) => Reply::Error,
        _ => Reply::After(Duration::from_millis(20)),
    })
    .await;
    let mut mapping = kafka.mapping();
    mapping.batch_size = 5;
    let poller = Poller::start(mapping, lambda.endpoint()).await.unwrap();

    eventually("the two other partitions are done", || {
        lambda.taken(0).len() >= 30 && lambda.taken(2).len() >= 30 && lambda.taken(1).len() >= 15
    })
    .await;
    eventually("their commits arrived", || {
        let progress = poller.progress();
        progress.iter().map(|partition| partition.committed).collect::<Vec<_>>()
            == [Some(30), Some(15), Some(30)]
    })
    .await;
    assert_eq!(lambda.taken(0), numbered(0..30));
    assert_eq!(lambda.taken(1), numbered(0..15));
    assert_eq!(lambda.taken(2), numbered(0..30));
    assert_eq!(lambda.most_busy_in_lane.load(Ordering::SeqCst), 1, "one batch in flight per partition");
    assert!(lambda.most_busy.load(Ordering::SeqCst) > 1, "partitions side by side");
    // A retry shows the same batch again.
    let first: Vec<_> = lambda
        .calls()
        .into_iter()
        .filter(|call| call.lane == "restocked-0")
        .map(|call| call.offsets)
        .collect();
    assert_eq!(first[0], first[1]);
    poller.stop().await;
    assert_eq!(
        tokio::task::block_in_place(|| kafka.committed(1)),
        Some(15),
        "nothing is committed past a failure"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_comes_again_when_the_poller_dies_between_invocation_and_commit() {
    let kafka = Kafka::start(1);
    kafka.write(0, numbered(0..4)).await;
    let lambda =
        Lambda::start(
            |_, before| if before == 0 { Reply::After(Duration::from_secs(2)) } else { Reply::Success },
        )
        .await;
    let poller = Poller::start(kafka.mapping(), lambda.endpoint()).await.unwrap();
    eventually("the function is at work", || lambda.calls().len() == 1).await;
    drop(poller);

    let again = Poller::start(kafka.mapping(), lambda.endpoint()).await.unwrap();
    eventually("the same records came again", || lambda.calls().len() >= 2).await;
    assert_eq!(lambda.calls()[0].offsets, lambda.calls()[1].offsets);
    again.stop().await;
    assert_eq!(tokio::task::block_in_place(|| kafka.committed(0)), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_failure_commits_below_it_and_retries_from_there() {
    let kafka = Kafka::start(1);
    kafka.write(0, numbered(0..6)).await;
    let lambda = Lambda::start(|call, before| match before {
        0 => Reply::Answer(json!({"batchItemFailures": [
            {"itemIdentifier": {"topic-partition": "restocked-0", "offset": 4}},
            {"itemIdentifier": {"topic-partition": "restocked-0", "offset": 2}},
        ]})),
        // Names what was not in the batch: the whole batch failed.
        1 => Reply::Answer(json!({"batchItemFailures": [
            {"itemIdentifier": {"topic-partition": "restocked-0", "offset": call.offsets[0] - 1}},
        ]})),
        _ => Reply::Success,
    })
    .await;
    let mut mapping = kafka.mapping();
    mapping.report_batch_item_failures = true;
    let poller = Poller::start(mapping, lambda.endpoint()).await.unwrap();
    eventually("the rest was taken", || lambda.calls().len() == 3).await;
    poller.stop().await;
    let offsets: Vec<_> = lambda.calls().into_iter().map(|call| call.offsets).collect();
    assert_eq!(offsets, [vec![0, 1, 2, 3, 4, 5], vec![2, 3, 4, 5], vec![2, 3, 4, 5]]);
    assert_eq!(tokio::task::block_in_place(|| kafka.committed(0)), Some(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn halving_puts_the_one_bad_record_aside_and_lets_its_neighbours_through() {
    let kafka = Kafka::start(1);
    let mut values = numbered(0..12);
    values[7] = "bad".to_owned();
    kafka.write(0, &values).await;
    let lambda = Lambda::start(|call, _| {
        if call.values.iter().any(|value| value == "bad") { Reply::Error } else { Reply::Success }
    })
    .await;
    let mut mapping = kafka.mapping();
    mapping.bisect_on_error = true;
    mapping.maximum_retry_attempts = Some(1);
    mapping.on_failure = Some(DEAD.to_owned());
    let poller = Poller::start(mapping, lambda.endpoint()).await.unwrap();
    eventually("its neighbours are through", || lambda.taken(0).len() == 11).await;
    eventually("all is committed", || poller.progress()[0].committed == Some(12)).await;
    values.remove(7);
    assert_eq!(lambda.taken(0), values);
    assert_eq!(lambda.calls().iter().filter(|call| call.values == ["bad"]).count(), 2, "once, and one retry");
    assert_eq!(poller.totals().given_up, 1);
    poller.stop().await;
    let dead = tokio::task::block_in_place(|| kafka.dead(1));
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].0.as_deref(), Some("bad"));
    for (name, value) in [
        ("failure.reason", "RetryAttemptsExhausted"),
        ("failure.topic", TOPIC),
        ("failure.partition", "0"),
        ("failure.offset", "7"),
        ("failure.attempts", "2"),
        ("failure.function", "notify"),
        ("failure.error", "Boom"),
    ] {
        assert_eq!(dead[0].1[name], value, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_past_their_age_go_aside_unseen_with_what_they_carried() {
    let kafka = Kafka::start(1);
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    for (value, timestamp) in [("old", now - 3_600_000), ("young", now)] {
        let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some("abc") });
        let record = FutureRecord::to(TOPIC)
            .partition(0)
            .key("k")
            .payload(value)
            .timestamp(timestamp)
            .headers(headers);
        kafka.producer.send(record, PATIENCE).await.unwrap();
    }
    let lambda = Lambda::start(|_, _| Reply::Success).await;
    let mut mapping = kafka.mapping();
    mapping.maximum_record_age = Some(Duration::from_secs(600));
    mapping.on_failure = Some(DEAD.to_owned());
    let poller = Poller::start(mapping, lambda.endpoint()).await.unwrap();
    eventually("both are dealt with", || {
        poller.progress().first().is_some_and(|lane| lane.committed == Some(2))
    })
    .await;
    poller.stop().await;
    assert_eq!(lambda.taken(0), ["young"]);
    let dead = tokio::task::block_in_place(|| kafka.dead(1));
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].0.as_deref(), Some("old"));
    assert_eq!(dead[0].1["trace"], "abc");
    assert_eq!(dead[0].1["failure.reason"], "RecordAgeExceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn throttles_errors_of_the_service_and_an_endpoint_that_is_down_count_as_no_attempt() {
    let kafka = Kafka::start(1);
    kafka.write(0, ["only"]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut mapping = kafka.mapping();
    mapping.maximum_retry_attempts = Some(0);
    mapping.on_failure = Some(DEAD.to_owned());
    let endpoint = LambdaEndpoint::Url(format!("http://{address}"));
    let poller = Poller::start(mapping, endpoint).await.unwrap();
    eventually("the record is in hand", || {
        poller.progress().first().is_some_and(|lane| lane.fetched == Some(1))
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let lambda = Lambda::start_at(TcpListener::bind(address).await.unwrap(), |_, before| match before {
        0 | 1 => Reply::Status(429, "TooManyRequestsException"),
        2 => Reply::Status(500, "ServiceException"),
        3 => Reply::Status(404, "ResourceNotFoundException"),
        _ => Reply::Success,
    });
    eventually("the record was taken", || lambda.taken(0) == ["only"]).await;
    assert_eq!(lambda.calls().len(), 5, "no hidden retries");
    assert_eq!((poller.totals().failures, poller.totals().given_up), (0, 0));
    poller.stop().await;
    assert_eq!(tokio::task::block_in_place(|| kafka.committed(0)), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_poller_takes_its_share_and_then_all_without_losing_a_record() {
    let kafka = Kafka::start(2);
    let lambda = Lambda::start(|_, _| Reply::Success).await;
    let mut mapping = kafka.mapping();
    mapping.batch_size = 3;
    let first = Poller::start(mapping.clone(), lambda.endpoint()).await.unwrap();
    kafka.write(0, numbered(0..20)).await;
    kafka.write(1, numbered(0..20)).await;
    eventually("the first has both partitions", || first.progress().len() == 2).await;
    let second = Poller::start(mapping, lambda.endpoint()).await.unwrap();
    eventually("they share", || first.progress().len() == 1 && second.progress().len() == 1).await;
    kafka.write(0, numbered(20..40)).await;
    kafka.write(1, numbered(20..40)).await;
    first.stop().await;
    eventually("the second has both partitions", || second.progress().len() == 2).await;
    kafka.write(0, numbered(40..60)).await;
    kafka.write(1, numbered(40..60)).await;
    eventually("all is committed", || second.progress().iter().all(|lane| lane.committed == Some(60))).await;
    second.stop().await;
    for partition in 0..2 {
        // Records may come twice across a handover, but first sights are complete and in order.
        let mut first_sights: Vec<usize> = Vec::new();
        for value in lambda.taken(partition) {
            let value = value.parse().unwrap();
            if !first_sights.contains(&value) {
                first_sights.push(value);
            }
        }
        assert_eq!(first_sights, (0..60).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_and_header_bytes_arrive_as_lambda_gives_them() {
    let kafka = Kafka::start(1);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "bytes", value: Some(&[0_u8, 127, 128, 255][..]) })
        .insert(Header { key: "bytes", value: Some(&[1_u8][..]) })
        .insert(Header::<&[u8]> { key: "none", value: None });
    let tombstone: FutureRecord<'_, str, [u8]> =
        FutureRecord::to(TOPIC).partition(0).key("iphone15").headers(headers);
    kafka.producer.send(tombstone, PATIENCE).await.unwrap();
    let bare: FutureRecord<'_, [u8], str> =
        FutureRecord::to(TOPIC).partition(0).payload("v").timestamp(1_700_000_000_000);
    kafka.producer.send(bare, PATIENCE).await.unwrap();
    let lambda = Lambda::start(|_, _| Reply::Success).await;
    let poller = Poller::start(kafka.mapping(), lambda.endpoint()).await.unwrap();
    eventually("both came", || lambda.taken(0).len() == 2).await;
    poller.stop().await;
    let event = lambda.calls()[0].event.clone();
    assert_eq!(event["eventSource"], "SelfManagedKafka");
    assert_eq!(event["bootstrapServers"], kafka.cluster.bootstrap_servers());
    let records = &event["records"]["restocked-0"];
    assert_eq!(records[0]["key"], "aXBob25lMTU=");
    assert!(records[0].get("value").is_none(), "a tombstone has no value");
    assert_eq!(records[0]["headers"], json!([{"bytes": [0, 127, -128, -1]}, {"bytes": [1]}, {"none": []}]));
    let second = json!({
        "topic": TOPIC, "partition": 0, "offset": 1, "timestamp": 1_700_000_000_000_i64,
        "timestampType": "CREATE_TIME", "value": "dg==", "headers": [],
    });
    assert_eq!(records[1], second, "no key, no field");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_finishes_what_is_in_flight_and_takes_nothing_new() {
    let kafka = Kafka::start(1);
    kafka.write(0, numbered(0..10)).await;
    let lambda = Lambda::start(|_, _| Reply::After(Duration::from_millis(700))).await;
    let mut mapping = kafka.mapping();
    mapping.batch_size = 2;
    let poller = Poller::start(mapping, lambda.endpoint()).await.unwrap();
    eventually("the function is at work", || lambda.calls().len() == 1).await;
    let shared = Arc::downgrade(&poller.shared);
    poller.stop().await;
    assert_eq!(lambda.calls().len(), 1);
    assert_eq!(lambda.taken(0).len(), 2);
    // The thread, its consumer and the workers are gone with everything they held.
    eventually("nothing is left", || shared.strong_count() == 0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(lambda.calls().len(), 1);
    assert_eq!(tokio::task::block_in_place(|| kafka.committed(0)), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_paused_while_its_function_is_behind_and_then_read_to_the_end() {
    let kafka = Kafka::start(1);
    kafka.write(0, (0..200).map(|number| format!("{number:01000}"))).await;
    let most_held = Arc::new(AtomicUsize::new(0));
    let lambda =
        Lambda::start(|_, before| Reply::After(Duration::from_millis(if before == 0 { 600 } else { 1 })))
            .await;
    let mut mapping = kafka.mapping();
    mapping.batch_size = 10;
    mapping.hold_bytes = 64 * 1024;
    let poller = Poller::start(mapping, lambda.endpoint()).await.unwrap();
    eventually("the end is reached", || {
        for lane in poller.progress() {
            most_held.fetch_max(lane.held_bytes, Ordering::SeqCst);
        }
        poller.progress().iter().any(|lane| lane.at_end)
    })
    .await;
    let values: Vec<usize> = lambda.taken(0).iter().map(|value| value.parse().unwrap()).collect();
    assert_eq!(values, (0..200).collect::<Vec<_>>());
    let most_held = most_held.load(Ordering::SeqCst);
    assert!((64 * 1024..128 * 1024).contains(&most_held), "held {most_held} bytes");
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_and_comes_back_costs_nothing_and_one_that_stays_away_does_not_hold_up_a_stop() {
    let kafka = Kafka::start(1);
    let lambda = Lambda::start(|_, _| Reply::After(Duration::from_millis(100))).await;
    let mut mapping = kafka.mapping();
    mapping.batch_size = 2;
    mapping.kafka.clear();
    let poller = Poller::start(mapping, lambda.endpoint()).await.unwrap();
    kafka.write(0, numbered(0..10)).await;
    eventually("the first batches are through", || lambda.taken(0).len() >= 4).await;
    kafka.cluster.broker_down(1).unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    kafka.cluster.broker_up(1).unwrap();
    kafka.write(0, numbered(10..20)).await;
    eventually("all is committed", || poller.progress().iter().any(|lane| lane.committed == Some(20))).await;
    let mut taken: Vec<usize> = lambda.taken(0).iter().map(|value| value.parse().unwrap()).collect();
    taken.dedup();
    assert_eq!(taken, (0..20).collect::<Vec<_>>());

    kafka.write(0, numbered(20..22)).await;
    eventually("more is in flight", || lambda.calls().len() > taken.len() / 2).await;
    kafka.cluster.broker_down(1).unwrap();
    tokio::time::timeout(PATIENCE, poller.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_later_is_waited_for() {
    let kafka = Kafka::start(1);
    let lambda = Lambda::start(|_, _| Reply::Success).await;
    let mut mapping = kafka.mapping();
    mapping.topics = vec!["later".to_owned()];
    mapping.kafka.push(("topic.metadata.refresh.interval.ms".to_owned(), "500".to_owned()));
    let poller = Poller::start(mapping, lambda.endpoint()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(poller.progress().is_empty());
    kafka.cluster.create_topic("later", 2, 1).unwrap();
    eventually("its partitions are ours", || poller.progress().len() == 2).await;
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_begins_once_and_a_restart_skips_nothing_that_came_since() {
    let kafka = Kafka::start(1);
    kafka.write(0, ["before"]).await;
    let lambda = Lambda::start(|_, _| Reply::Success).await;
    let mut mapping = kafka.mapping();
    mapping.starting_position = StartingPosition::Latest;
    let poller = Poller::start(mapping.clone(), lambda.endpoint()).await.unwrap();
    eventually("the start is settled", || {
        poller.progress().first().is_some_and(|lane| lane.committed == Some(1))
    })
    .await;
    poller.stop().await;
    kafka.write(0, ["between"]).await;
    let poller = Poller::start(mapping, lambda.endpoint()).await.unwrap();
    eventually("what came between was taken", || lambda.taken_all() == 1).await;
    poller.stop().await;
    assert_eq!(lambda.taken(0), ["between"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_work_are_refused_by_name() {
    let refused = |change: fn(&mut Mapping)| async move {
        let mut mapping = Mapping::new("127.0.0.1:1", [TOPIC], "notify");
        change(&mut mapping);
        let error =
            Poller::start(mapping, LambdaEndpoint::Url("http://127.0.0.1:1".into())).await.err().unwrap();
        std::error::Error::source(&error).unwrap().to_string()
    };
    assert!(refused(|mapping| mapping.batch_size = 10_001).await.contains("10,000"));
    assert!(refused(|mapping| mapping.batch_size = 0).await.contains("10,000"));
    assert!(refused(|mapping| mapping.window = Duration::from_secs(301)).await.contains("300 s"));
    assert!(refused(|mapping| mapping.topics.clear()).await.contains("topics"));
    assert!(refused(|mapping| mapping.on_failure = Some(TOPIC.into())).await.contains(TOPIC));
    assert!(
        refused(|mapping| mapping.kafka.push(("group.id".into(), "x".into()))).await.contains("group.id")
    );
}
