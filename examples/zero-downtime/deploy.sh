#!/bin/sh
# Puts a new image of the app in the place of the running one. Exits with 0 when the old one has answered its last
# request and is gone; otherwise the old one goes on.
set -eu
cd "$(dirname "$0")"

old=$(docker compose ps --quiet app)
docker compose build --quiet app
if [ -z "$old" ]; then
  exec docker compose up --detach --wait
fi

# One more container, beside the old one. It takes over when all of its workers are ready.
docker compose up --detach --no-deps --no-recreate --scale app=2 app
new=$(docker compose ps --all --quiet app | grep -v "$old")

# The old one ends by itself then. Its last requests have 30 s (--graceful-timeout).
if [ "$(timeout "${DEPLOY_TIMEOUT:-90}" docker wait "$old")" != 0 ]; then
  docker logs --tail 20 "$new" >&2
  docker rm --force "$new" >&2
  echo 'The new image did not take over; see its log above.' >&2
  exit 1
fi
docker rm "$old"
