#!/bin/sh
# Adds one line to changes.log: what happened, to which item, and the change as JSON from standard input.
set -eu
printf '%s %s %s\n' "$1" "$2" "$(cat)" >> changes.log
