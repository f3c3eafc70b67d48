"""Notifies every subscriber of a product that it is back: as tutorials do it (FORM=naive), or as the SES and DynamoDB
guides advise (FORM=tuned)."""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from threading import Semaphore

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes import KafkaEvent, event_source
from aws_lambda_powertools.utilities.data_classes.kafka_event import KafkaEventRecord
from mail import LAYOUT, SENDER, headers, recipient_data, shared_data, tags, unsubscribe_url

CHUNK = 50  # SES's limit per bulk call.
IN_FLIGHT = 8
DELETES = 25  # DynamoDB's limit per batch.
TRIES = 6

TABLE = os.environ["TABLE_NAME"]
logger = Logger(service="peer")
# Made once, at init. Clients rather than resources: they start sooner and threads may share them; their pools hold ten
# connections each, which is enough for eight threads.
waits = boto3.client("dynamodb")
mailer = boto3.client("sesv2")
pool = ThreadPoolExecutor(IN_FLIGHT)


@event_source(data_class=KafkaEvent)
def handler(event: KafkaEvent, context) -> dict:
    records = list(event.records)
    restocks = [restock for record in records if (restock := read(record))]
    # A whole batch that cannot be read says that the producer changed, and wants to be seen.
    if len(records) > 1 and not restocks:
        raise ValueError(f"none of {len(records)} records can be read")
    tell = tuned if os.environ.get("FORM") == "tuned" else naive
    for restock in restocks:
        if restock.get("quantity", 0) > 0:
            tell(restock)
    return {"batchItemFailures": []}


def read(record: KafkaEventRecord) -> dict | None:
    try:
        restock = record.json_value
        if restock["productId"] and isinstance(restock["productId"], str):
            return restock
    except (ValueError, KeyError, TypeError):
        pass
    logger.warning(f"{record.topic}-{record.partition}@{record.offset} cannot be read")
    return None


def subscribers(product_id: str) -> Iterator[dict]:
    """The subscribers of a product that have no email yet."""
    pages = waits.get_paginator("query").paginate(
        TableName=TABLE,
        KeyConditionExpression="productId = :product",
        FilterExpression="attribute_not_exists(notifiedAt)",
        ExpressionAttributeValues={":product": {"S": product_id}},
    )
    for page in pages:
        for item in page["Items"]:
            yield {name: item[name]["S"] for name in ("userId", "address", "name") if name in item}


def key(restock: dict, to: dict) -> dict:
    return {"productId": {"S": restock["productId"]}, "userId": {"S": to["userId"]}}


def naive(restock: dict) -> None:
    shared = shared_data(restock)
    told = 0
    for to in subscribers(restock["productId"]):
        url = unsubscribe_url(restock["productId"], to["userId"])
        data = shared | recipient_data(to.get("name"), url)
        mailer.send_email(
            FromEmailAddress=SENDER,
            Destination={"ToAddresses": [to["address"]]},
            Content={
                "Template": {"TemplateContent": LAYOUT, "TemplateData": json.dumps(data), "Headers": headers(url)}
            },
            EmailTags=tags(restock),
        )
        waits.update_item(
            TableName=TABLE,
            Key=key(restock, to),
            UpdateExpression="SET notifiedAt = :now",
            ExpressionAttributeValues={":now": {"S": datetime.now(timezone.utc).isoformat()}},
        )
        told += 1
    logger.info(f"{restock['productId']}: {told} told, 0 failed")


def tuned(restock: dict) -> None:
    template = {"TemplateContent": LAYOUT, "TemplateData": json.dumps(shared_data(restock))}
    free = Semaphore(IN_FLIGHT)
    flights = []
    for chunk in chunks(restock["productId"]):
        free.acquire()  # Waits for a free place, so no more is read than can be sent.
        flight = pool.submit(tell_chunk, restock, template, chunk)
        flight.add_done_callback(lambda _: free.release())
        flights.append(flight)
    sums = [flight.result() for flight in flights]
    told, failed = (sum(column) for column in zip(*sums)) if sums else (0, 0)
    logger.info(f"{restock['productId']}: {told} told, {failed} failed")


def chunks(product_id: str) -> Iterator[list[dict]]:
    chunk = []
    for to in subscribers(product_id):
        chunk.append(to)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def tell_chunk(restock: dict, template: dict, chunk: list[dict]) -> tuple[int, int]:
    """Sends one chunk, takes the notified subscribers out of the table, and counts them and the others."""
    told = send_chunk(restock, template, chunk)
    for start in range(0, len(told), DELETES):
        requests = [{"DeleteRequest": {"Key": key(restock, to)}} for to in told[start : start + DELETES]]
        attempt = 0
        while requests:
            if attempt > 0:
                pause(min(attempt - 1, TRIES))
            answer = waits.batch_write_item(RequestItems={TABLE: requests})
            requests = answer.get("UnprocessedItems", {}).get(TABLE)
            attempt += 1
    return len(told), len(chunk) - len(told)


def send_chunk(restock: dict, template: dict, left: list[dict]) -> list[dict]:
    """Sends one chunk, retries the throttled, and returns the notified subscribers."""
    told = []
    for attempt in range(TRIES):
        if attempt > 0:
            pause(attempt - 1)
        try:
            answer = mailer.send_bulk_email(
                FromEmailAddress=SENDER,
                DefaultContent={"Template": template},
                DefaultEmailTags=tags(restock),
                BulkEmailEntries=[entry(restock, to) for to in left],
            )
        except mailer.exceptions.TooManyRequestsException:
            continue
        statuses = [result["Status"] for result in answer["BulkEmailEntryResults"]]
        told += [to for to, status in zip(left, statuses) if status == "SUCCESS"]
        left = [to for to, status in zip(left, statuses) if status in ("ACCOUNT_THROTTLED", "TRANSIENT_FAILURE")]
        if not left:
            break
    return told


def entry(restock: dict, to: dict) -> dict:
    url = unsubscribe_url(restock["productId"], to["userId"])
    data = json.dumps(recipient_data(to.get("name"), url))
    return {
        "Destination": {"ToAddresses": [to["address"]]},
        "ReplacementEmailContent": {"ReplacementTemplate": {"ReplacementTemplateData": data}},
        "ReplacementHeaders": headers(url),
    }


def pause(attempt: int) -> None:
    time.sleep(0.25 * 2**attempt)
