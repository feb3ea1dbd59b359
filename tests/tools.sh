#!/bin/sh
# Fetches the programs that some tests drive and no package of ours brings, on Debian:
# Prometheus and Alertmanager unpacked into a folder, without their services; Chromium installed,
# for it needs many libraries. Without them those tests skip and say so.
#
# usage: tools.sh FOLDER
set -eu

folder=$1
if ! command -v apt-get >/dev/null 2>&1; then
  echo "no apt-get here: install Chromium, Prometheus and Alertmanager yourself" >&2
  exit 0
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

if [ "$(id -u)" = 0 ]; then
  apt-get update -qq || true
  [ -x /usr/bin/chromium ] ||
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null ||
    echo "Chromium could not be installed" >&2
fi

if [ ! -x "$folder/usr/bin/prometheus" ]; then
  fetched=$(mktemp -d)
  trap 'rm -rf "$fetched"' EXIT
  chmod 777 "$fetched"
  if (cd "$fetched" && apt-get download -qq prometheus prometheus-alertmanager); then
    for package in "$fetched"/*.deb; do dpkg -x "$package" "$folder"; done
  else
    echo "Prometheus could not be fetched" >&2
  fi
fi
