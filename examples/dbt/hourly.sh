#!/bin/sh
# dbt makes the hour's snapshot, Segmentry recomputes from it. Ends with segmentry's exit code, or with dbt's where dbt fails.
set -eu
cd "$(dirname "$0")"
snapshot=$(date -u +%Y-%m-%dT%H)
ready=export/contacts/$snapshot._SUCCESS

mkdir -p export/contacts
# a second time within an hour: while its file is written anew, the snapshot does not exist
rm -f "$ready"
# the models and their tests
"${DBT:-dbt}" build --profiles-dir . --vars "{snapshot: '$snapshot'}" >&2
touch "$ready"
exec "${SEGMENTRY:-segmentry}" recompute "$@"
