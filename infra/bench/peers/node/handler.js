// Notifies every subscriber of a product that it is back: as tutorials do it (FORM=naive), or as the SES and DynamoDB
// guides advise (FORM=tuned).
import { setTimeout as sleep } from "node:timers/promises";
import { BatchWriteItemCommand, DynamoDBClient, paginateQuery, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import { SendBulkEmailCommand, SendEmailCommand, SESv2Client } from "@aws-sdk/client-sesv2";
import { headers, layout, recipientData, sender, sharedData, tags, unsubscribeUrl } from "./mail.js";

const { FORM, TABLE_NAME } = process.env;
// Made once, at init. The SDK's HTTP handler keeps up to 50 connections alive by itself.
const waits = new DynamoDBClient({});
const mailer = new SESv2Client({});

export async function handler(event) {
  const records = Object.values(event.records).flat();
  const restocks = records.map(read).filter(Boolean);
  // A whole batch that cannot be read says that the producer changed, and wants to be seen.
  if (records.length > 1 && restocks.length === 0) throw new Error(`none of ${records.length} records can be read`);
  for (const restock of restocks) {
    if (restock.quantity > 0) await (FORM === "tuned" ? tuned : naive)(restock);
  }
  return { batchItemFailures: [] };
}

function read({ topic, partition, offset, value }) {
  try {
    const restock = JSON.parse(Buffer.from(value, "base64").toString());
    if (typeof restock.productId === "string" && restock.productId) return restock;
  } catch {
    // Said below.
  }
  console.warn(`${topic}-${partition}@${offset} cannot be read`);
}

/** Page by page, the subscribers of a product that have no email yet. */
async function* subscribers(productId) {
  const pages = paginateQuery({ client: waits }, {
    TableName: TABLE_NAME,
    KeyConditionExpression: "productId = :product",
    FilterExpression: "attribute_not_exists(notifiedAt)",
    ExpressionAttributeValues: { ":product": { S: productId } },
  });
  for await (const { Items } of pages) {
    yield Items.map(({ userId, address, name }) => ({ userId: userId.S, address: address.S, name: name?.S }));
  }
}

const key = ({ productId }, { userId }) => ({ productId: { S: productId }, userId: { S: userId } });

async function naive(restock) {
  const shared = sharedData(restock);
  let told = 0;
  for await (const page of subscribers(restock.productId)) {
    for (const to of page) {
      const url = unsubscribeUrl(restock.productId, to.userId);
      const TemplateData = JSON.stringify({ ...shared, ...recipientData(to.name, url) });
      await mailer.send(new SendEmailCommand({
        FromEmailAddress: sender,
        Destination: { ToAddresses: [to.address] },
        Content: { Template: { TemplateContent: layout, TemplateData, Headers: headers(url) } },
        EmailTags: tags(restock),
      }));
      await waits.send(new UpdateItemCommand({
        TableName: TABLE_NAME,
        Key: key(restock, to),
        UpdateExpression: "SET notifiedAt = :now",
        ExpressionAttributeValues: { ":now": { S: new Date().toISOString() } },
      }));
      told += 1;
    }
  }
  console.log(`${restock.productId}: ${told} told, 0 failed`);
}

const CHUNK = 50; // SES's limit per bulk call.
const IN_FLIGHT = 8;
const DELETES = 25; // DynamoDB's limit per batch.
const TRIES = 6;
const pause = (attempt) => sleep(250 * 2 ** attempt);

async function tuned(restock) {
  const template = { TemplateContent: layout, TemplateData: JSON.stringify(sharedData(restock)) };
  const flying = new Set();
  const sums = { told: 0, failed: 0 };
  let failure;
  for await (const chunk of chunks(restock.productId)) {
    // Waits for a free place, so no more is read than can be sent.
    if (flying.size >= IN_FLIGHT) await Promise.race(flying);
    if (failure) break;
    const flight = tellChunk(restock, template, chunk)
      .then((told) => {
        sums.told += told.length;
        sums.failed += chunk.length - told.length;
      })
      // Kept for the end: a rejection without a handler at the time ends the process.
      .catch((error) => (failure ??= error))
      .finally(() => flying.delete(flight));
    flying.add(flight);
  }
  await Promise.all(flying);
  console.log(`${restock.productId}: ${sums.told} told, ${sums.failed} failed`);
  if (failure) throw failure;
}

async function* chunks(productId) {
  let rest = []; // What is left of a page fills up with the next one.
  for await (const page of subscribers(productId)) {
    rest = rest.concat(page);
    while (rest.length >= CHUNK) yield rest.splice(0, CHUNK);
  }
  if (rest.length > 0) yield rest;
}

async function tellChunk(restock, template, chunk) {
  const told = await sendChunk(restock, template, chunk);
  for (let start = 0; start < told.length; start += DELETES) {
    let requests = told.slice(start, start + DELETES).map((to) => ({ DeleteRequest: { Key: key(restock, to) } }));
    for (let attempt = 0; requests?.length > 0; attempt += 1) {
      if (attempt > 0) await pause(Math.min(attempt - 1, TRIES));
      const answer = await waits.send(new BatchWriteItemCommand({ RequestItems: { [TABLE_NAME]: requests } }));
      requests = answer.UnprocessedItems?.[TABLE_NAME];
    }
  }
  return told;
}

/** Sends one chunk, retries the throttled, and returns the notified subscribers. */
async function sendChunk(restock, template, chunk) {
  const told = [];
  let left = chunk;
  for (let attempt = 0; attempt < TRIES && left.length > 0; attempt += 1) {
    if (attempt > 0) await pause(attempt - 1);
    const BulkEmailEntries = left.map((to) => {
      const url = unsubscribeUrl(restock.productId, to.userId);
      return {
        Destination: { ToAddresses: [to.address] },
        ReplacementEmailContent: {
          ReplacementTemplate: { ReplacementTemplateData: JSON.stringify(recipientData(to.name, url)) },
        },
        ReplacementHeaders: headers(url),
      };
    });
    try {
      const { BulkEmailEntryResults } = await mailer.send(new SendBulkEmailCommand({
        FromEmailAddress: sender,
        DefaultContent: { Template: template },
        DefaultEmailTags: tags(restock),
        BulkEmailEntries,
      }));
      const having = (...statuses) => left.filter((_, i) => statuses.includes(BulkEmailEntryResults[i].Status));
      told.push(...having("SUCCESS"));
      left = having("ACCOUNT_THROTTLED", "TRANSIENT_FAILURE");
    } catch (error) {
      if (error.name !== "TooManyRequestsException") throw error;
    }
  }
  return told;
}
