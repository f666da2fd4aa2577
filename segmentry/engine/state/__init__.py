"""The state of one environment: a catalog that says what is so, and bulk Parquet that it lists."""

from segmentry.engine.state.records import ContactsRecord, RunRecord, SegmentFigures, SegmentRecord, Status
from segmentry.engine.state.state import Order, State

__all__ = ["ContactsRecord", "Order", "RunRecord", "SegmentFigures", "SegmentRecord", "State", "Status"]
