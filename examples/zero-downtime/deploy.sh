#!/bin/sh
# Puts a new image of the app in the place of the running one. Exits with 0 when the old one has answered its last
# request and is gone; otherwise one of the two goes on, which is said.
set -eu
cd "$(dirname "$0")"

# What a deploy that was interrupted has left: it would be started again in place of the new image.
docker compose rm --force app
old=$(docker compose ps --quiet app)
if [ "$(echo "$old" | wc -l)" -gt 1 ]; then
  echo 'Two containers of the app run: another deploy is under way.' >&2
  exit 1
fi
docker compose build --quiet app
if [ -z "$old" ]; then
  exec docker compose up --detach --wait
fi

# One more container, beside the old one. It takes over when all of its workers are ready.
docker compose up --detach --no-deps --no-recreate --scale app=2 app
new=$(docker compose ps --all --quiet app | grep -v "$old")

# The old one ends by itself then. Its last requests have 30 s (--graceful-timeout).
if [ "$(timeout "${DEPLOY_TIMEOUT:-90}" docker wait "$old")" != 0 ]; then
  # It is healthy only if it has the socket: then the old one has not finished its last requests, or not well.
  if docker exec "$new" fasticorn status >/dev/null 2>&1; then
    echo 'The new image serves, but the old one has not ended by itself; the next deploy removes it.' >&2
    exit 1
  fi
  docker logs --tail 20 "$new" >&2
  docker rm --force "$new" >&2
  echo 'The new image did not take over; see its log above.' >&2
  exit 1
fi
docker rm "$old"
