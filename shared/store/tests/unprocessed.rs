//! Keys of a request that DynamoDB leaves undone are asked for again, and not at once.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::delivery::Row;
use domain::{Position, ProductId, Shard};
use jiff::Timestamp;
use notify_me_store::Store;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The requests that were made, each with its time.
type Asked = Arc<Mutex<Vec<(Instant, Value)>>>;

async fn request(stream: &mut BufReader<TcpStream>) -> Value {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let line = line.trim().to_ascii_lowercase();
        if let Some(number) = line.strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// A table that gives these answers one after the other, each on a connection of its own.
async fn table_that_says(answers: Vec<Value>) -> (Store, Asked) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Asked::default();
    let noted = asked.clone();
    tokio::spawn(async move {
        for answer in answers {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let body = request(&mut stream).await;
            noted.lock().unwrap().push((Instant::now(), body));
            let answer = answer.to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    (Store::at(&aws, Some(&url), "table"), asked)
}

fn key(position: Position) -> Value {
    json!({ "pk": { "S": "W#p#m0.0" }, "sk": { "S": format!("E#{position}") } })
}

fn item(position: Position) -> Value {
    let mut item = key(position);
    item["address"] = json!({ "S": "jo@example.com" });
    item["locale"] = json!({ "S": "en" });
    item
}

#[tokio::test]
async fn keys_that_dynamodb_leaves_undone_are_asked_for_again_after_a_pause() {
    let (one, two) = (Position::new(1, 0), Position::new(2, 0));
    let left =
        |keys: &[Position]| json!({ "table": { "Keys": keys.iter().map(|p| key(*p)).collect::<Vec<_>>() } });
    let (store, asked) = table_that_says(vec![
        json!({ "Responses": {}, "UnprocessedKeys": left(&[one, two]) }),
        json!({ "Responses": { "table": [item(two)] }, "UnprocessedKeys": left(&[one]) }),
        json!({ "Responses": { "table": [item(one)] }, "UnprocessedKeys": {} }),
    ])
    .await;
    let product = ProductId::parse("p").unwrap();
    let waitlist = store.waitlist(&product, Shard::mail(0));
    let found = waitlist.entries_at(&[one, two], Timestamp::UNIX_EPOCH).await.unwrap();
    assert!(found.len() == 2 && found.values().all(|row| matches!(row, Row::Waiting(_))));

    let asked = asked.lock().unwrap();
    let keys = |n: usize| asked[n].1["RequestItems"]["table"]["Keys"].as_array().unwrap().len();
    assert_eq!((asked.len(), keys(0), keys(1), keys(2)), (3, 2, 2, 1));
    for pair in asked.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= Duration::from_millis(25), "it was asked again at once");
    }
}
