#!/bin/sh
# Stands for a backup whose disk is full.
echo "no space left on /mnt/backup" >&2
exit 28
