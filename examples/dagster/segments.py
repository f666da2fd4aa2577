"""Segments as a Dagster asset, and their deliveries as one that follows: `dagster dev -f segments.py`.

A code location has an environment of its own, so the library is called, and what a run found is shown as metadata.
"""

import os

import dagster as dg

import segmentry as sg

WORKSPACE = os.environ.get("SEGMENTRY_WORKSPACE", "/srv/shop")
ENVIRONMENT = os.environ.get("SEGMENTRY_ENV", "prod")

AGAIN = dg.RetryPolicy(max_retries=3, delay=300)


class Shop(dg.ConfigurableResource):
    """A Segmentry workspace and its environment."""

    workspace: str
    environment: str

    def open(self) -> sg.Workspace:
        """The workspace, its files read anew."""
        return sg.Workspace.open(self.workspace, env=self.environment)


@dg.asset(
    group_name="segmentry",
    kinds={"duckdb", "polars"},
    check_specs=[dg.AssetCheckSpec("nothing_is_held", asset="segment_memberships")],
    retry_policy=AGAIN,
)
def segment_memberships(context: dg.AssetExecutionContext, shop: Shop) -> dg.MaterializeResult:
    """Every segment's members, committed whole or not at all. What a guard holds is told by the check; the rest counts."""
    try:
        run = shop.open().recompute()
    except (sg.LeaseHeld, sg.LeaseLost):
        raise  # another run is under way: tried again
    except sg.SegmentryError as problem:  # a rule, a file, a source, the clock: it would end in the same way
        raise dg.Failure(str(problem), allow_retries=False) from problem
    for warning in run.warnings:
        context.log.warning(warning.render())
    held = run.held
    context.log.info(run.headline())
    return dg.MaterializeResult(
        metadata={
            "run": run.id,
            "as_of": dg.MetadataValue.timestamp(run.as_of),
            "contacts": run.report["contacts"]["rows"],
            "entered_and_left": run.changes.height,
            "sizes": {name: int(size) for name, size in run.counts.items()},
        },
        # held is no failure that another try could mend: a person says approve or discard
        check_results=[
            dg.AssetCheckResult(
                check_name="nothing_is_held",
                passed=not held,
                description="; ".join(held) or None,
                metadata={"decide": f"segmentry approve {run.id}, or segmentry discard {run.id}"} if held else None,
            )
        ],
    )


@dg.asset(group_name="segmentry", deps=[segment_memberships])
def segment_deliveries(context: dg.AssetExecutionContext, shop: Shop) -> dg.MaterializeResult:
    """Whoever is to be told, told. An asset of its own, so that what failed is tried again without another run."""
    try:
        delivered = shop.open().deliver()
    except sg.SegmentryError as problem:
        raise dg.Failure(str(problem), allow_retries=False) from problem
    for name, one in delivered.destinations.items():
        context.log.info("%s: %d sent, %d later, %d rejected, %d unknown", name, one.sent, one.later, one.rejected, one.unknown)
    for message in delivered.messages:
        context.log.warning(message)
    if delivered.failed:
        raise dg.RetryRequested(max_retries=AGAIN.max_retries, seconds_to_wait=AGAIN.delay)
    return dg.MaterializeResult(metadata={"sent": {name: one.sent for name, one in delivered.destinations.items()}})


hourly = dg.define_asset_job("segmentry_hourly", selection=[segment_memberships, segment_deliveries])

definitions = dg.Definitions(
    assets=[segment_memberships, segment_deliveries],
    jobs=[hourly],
    schedules=[dg.ScheduleDefinition(job=hourly, cron_schedule="5 * * * *", execution_timezone="UTC")],
    resources={"shop": Shop(workspace=WORKSPACE, environment=ENVIRONMENT)},
)
