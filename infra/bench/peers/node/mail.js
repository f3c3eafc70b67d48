import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";

const { LAYOUT_DIR, PRODUCT_URL, SENDER, SHOP_NAME: shop, UNSUBSCRIBE_KEY, UNSUBSCRIBE_URL } = process.env;

export const sender = `${shop} <${SENDER}>`;
export const layout = {
  Subject: "{{subject}}",
  Html: readFileSync(`${LAYOUT_DIR}/layout.html`, "utf8"),
  Text: readFileSync(`${LAYOUT_DIR}/layout.txt`, "utf8"),
};

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Each value as it is, and escaped for the HTML part, since SES escapes nothing. */
function both(values) {
  const data = {};
  for (const [name, value] of Object.entries(values)) {
    data[name] = value;
    data[`${name}Html`] = value.replace(/[&<>"']/g, (c) => ESCAPES[c]);
  }
  return data;
}

/** What every email about this restock says. */
export function sharedData({ productId, product: info = {} }) {
  const product = info?.name || productId;
  return {
    lang: "en",
    subject: `${product} is back in stock`,
    ...both({
      product,
      productUrl: info?.url || PRODUCT_URL.replaceAll("{productId}", () => percentEncoded(productId)),
      imageUrl: info?.imageUrl ?? "",
      price: info?.price ?? "",
      greeting: "Hello,",
      news: `${product} is back in stock at ${shop}.`,
      hurry: "We notify people in the order they signed up. Stock may be limited.",
      action: "See it in the shop",
      reason: `You are receiving this email because you asked ${shop} to notify you when ${product} is back in stock.`,
      unsubscribe: "Unsubscribe from this alert",
    }),
  };
}

/** What only this subscriber's email says. */
export function recipientData(name, unsubscribeUrl) {
  return both({ ...(name && { greeting: `Hello ${name},` }), unsubscribeUrl });
}

export function unsubscribeUrl(productId, userId) {
  const entry = `${productId}\0${userId}`;
  const mac = createHmac("sha256", UNSUBSCRIBE_KEY).update(`notify-me unsubscribe\0${entry}`).digest();
  const token = Buffer.concat([Buffer.from(`\x01${entry}`), mac.subarray(0, 16)]).toString("base64url");
  return UNSUBSCRIBE_URL.replaceAll("{token}", token);
}

export function headers(url) {
  return [
    { Name: "List-Unsubscribe", Value: `<${url}>` },
    { Name: "List-Unsubscribe-Post", Value: "List-Unsubscribe=One-Click" },
  ];
}

export function tags({ restockId = "" }) {
  return [{ Name: "restock", Value: restockId.replace(/[^A-Za-z0-9-]/gu, "_") }];
}

/** Every byte but letters and digits, which is more than encodeURIComponent does. */
function percentEncoded(text) {
  return text.replace(/[^A-Za-z0-9]/gu, (c) =>
    Array.from(Buffer.from(c), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}
