import base64
import hashlib
import hmac
import html
import os
import re
from pathlib import Path

SHOP = os.environ["SHOP_NAME"]
SENDER = f"{SHOP} <{os.environ['SENDER']}>"
LAYOUTS = Path(os.environ["LAYOUT_DIR"])
LAYOUT = {
    "Subject": "{{subject}}",
    "Html": (LAYOUTS / "layout.html").read_text("utf-8"),
    "Text": (LAYOUTS / "layout.txt").read_text("utf-8"),
}
KEY = os.environ["UNSUBSCRIBE_KEY"].encode()


def both(**values: str) -> dict[str, str]:
    """Each value as it is, and escaped for the HTML part, since SES escapes nothing."""
    data = {}
    for name, value in values.items():
        data[name] = value
        data[f"{name}Html"] = html.escape(value).replace("&#x27;", "&#39;")
    return data


def shared_data(restock: dict) -> dict[str, str]:
    """What every email about this restock says."""
    info = restock.get("product") or {}
    product = info.get("name") or restock["productId"]
    return {
        "lang": "en",
        "subject": f"{product} is back in stock",
        **both(
            product=product,
            productUrl=info.get("url")
            or os.environ["PRODUCT_URL"].replace("{productId}", percent_encoded(restock["productId"])),
            imageUrl=info.get("imageUrl") or "",
            price=info.get("price") or "",
            greeting="Hello,",
            news=f"{product} is back in stock at {SHOP}.",
            hurry="We notify people in the order they signed up. Stock may be limited.",
            action="See it in the shop",
            reason=f"You are receiving this email because you asked {SHOP} to notify you when {product} is back in stock.",
            unsubscribe="Unsubscribe from this alert",
        ),
    }


def recipient_data(name: str | None, unsubscribe_url: str) -> dict[str, str]:
    """What only this subscriber's email says."""
    greeting = {"greeting": f"Hello {name},"} if name else {}
    return both(**greeting, unsubscribeUrl=unsubscribe_url)


def unsubscribe_url(product_id: str, user_id: str) -> str:
    entry = f"{product_id}\0{user_id}".encode()
    mac = hmac.digest(KEY, b"notify-me unsubscribe\0" + entry, hashlib.sha256)
    token = base64.urlsafe_b64encode(b"\x01" + entry + mac[:16]).rstrip(b"=").decode()
    return os.environ["UNSUBSCRIBE_URL"].replace("{token}", token)


def headers(url: str) -> list[dict[str, str]]:
    return [
        {"Name": "List-Unsubscribe", "Value": f"<{url}>"},
        {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
    ]


def tags(restock: dict) -> list[dict[str, str]]:
    return [{"Name": "restock", "Value": re.sub("[^A-Za-z0-9-]", "_", restock.get("restockId", ""))}]


def percent_encoded(text: str) -> str:
    """Every byte but letters and digits, which is more than urllib's quote does."""
    return re.sub(b"[^A-Za-z0-9]", lambda byte: b"%%%02X" % byte[0][0], text.encode()).decode()
