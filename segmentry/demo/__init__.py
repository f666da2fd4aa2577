"""A shop to try things on: contacts and events made from a seed, a dozen segments, and an hour that passes.

`lay_out` makes a workspace's files as they would be at a full hour, `next_hour` what the following hour brings. The same seed and
size make the same data, at whatever hour. `python -m segmentry.demo` walks through it (`make demo` in a clone).
"""

from __future__ import annotations

from segmentry.demo.layout import lay_out, next_hour

__all__ = ["lay_out", "next_hour"]
