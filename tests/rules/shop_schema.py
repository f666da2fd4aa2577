"""The data that the rule tests are about: a shop's contacts, one table of named events, one of orders."""

import re

from segmentry.rules.schema import EventTable, Schema
from segmentry.rules.types import BOOLEAN, DATE, FLOAT32, FLOAT64, TEXT, TIMESTAMP, exact, list_of, struct_of


def regex_error(pattern: str) -> str | None:
    """Stands for RE2, of whose refusals these tests need two: what is no pattern anywhere, and look-around."""
    if "(?=" in pattern or "(?!" in pattern or "(?<" in pattern:
        return "invalid perl operator: (?" + pattern[pattern.index("(?") + 2]
    try:
        re.compile(pattern)
    except re.error:
        return "missing ): " + pattern
    return None


CONTACTS = {
    "contact_id": exact(19),
    "email": TEXT,
    "first_name": TEXT,
    "location": TEXT,
    "status": TEXT,
    "source": TEXT,
    "country": TEXT,
    "utm-source": TEXT,
    "Plan": TEXT,
    "plan": TEXT,
    "activity_count": exact(10),
    "lifetime_value": FLOAT64,
    "score": FLOAT32,
    "balance": exact(12, 2),
    "ratio": exact(38, 20),
    "lat": FLOAT64,
    "lon": FLOAT64,
    "date_added": TIMESTAMP,
    "last_seen": TIMESTAMP,
    "birthday": DATE,
    "tags": list_of(TEXT),
    "scores": list_of(FLOAT64),
    "email_consent": BOOLEAN,
    "home": struct_of({"city": TEXT, "zip code": TEXT, "geo": struct_of({"lat": FLOAT64, "lon": FLOAT64})}),
    "items": list_of(struct_of({"sku": TEXT, "price": exact(12, 2)})),
}

NAMED_EVENTS = EventTable(
    label="data/events/*/*.parquet",
    fields={
        "contact_id": exact(19),
        "occurred_at": TIMESTAMP,
        "event": TEXT,
        "form_id": TEXT,
        "page": TEXT,
        "campaign": TEXT,
        "duration": FLOAT64,
        "quantity": TEXT,
        "tags": list_of(TEXT),
        "opted_in": BOOLEAN,
    },
    names=frozenset({"form_submitted", "page_viewed", "email_opened", "email-clicked", "Order Placed", "invoice.paid"}),
)

ORDERS = EventTable(
    label="data/orders/*.parquet",
    fields={
        "customer_id": exact(19),
        "created_at": TIMESTAMP,
        "amount": exact(12, 2),
        "price": FLOAT64,
        "coupon": TEXT,
        "quantity": exact(10),
        "duration": exact(5),
        "delivery": DATE,
        "parcel": struct_of({"cost": exact(9, 2), "carrier": TEXT}),
        "campaign": TEXT,
    },
    event="order_placed",
)

SHOP = Schema(
    fields=CONTACTS,
    events=(NAMED_EVENTS, ORDERS),
    segments=frozenset({"vip", "staff", "uk_visitors"}),
    key="contact_id",
    key_type=exact(19),
    unusable={"address": "STRUCT(street VARCHAR, city VARCHAR)"},
    regex_error=regex_error,
)
